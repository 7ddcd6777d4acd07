-- What is mailed to somebody to prove an address, once: purpose is activate or reset, digest the SHA-256 of the secret.
CREATE TABLE link (
    digest     TEXT PRIMARY KEY,
    user       TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    purpose    TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_of_user ON link (user);
