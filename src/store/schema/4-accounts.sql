-- Who may log in; password is an Argon2 hash in PHC string format, empty where no password fits.
CREATE TABLE user (
    name      TEXT PRIMARY KEY,
    email     TEXT NOT NULL,
    password  TEXT NOT NULL DEFAULT '',
    active    INTEGER NOT NULL,
    staff     INTEGER NOT NULL,
    superuser INTEGER NOT NULL,
    joined_at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT, WITHOUT ROWID;

-- What browsers and stock's clients have as a cookie; digest is the SHA-256 of that.
CREATE TABLE session (
    digest     TEXT PRIMARY KEY,
    user       TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_user ON session (user);

-- What programs have; calls is a JSON list of those that it is good for, NULL for all. Ids are not given again.
CREATE TABLE token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    digest     TEXT NOT NULL UNIQUE,
    user       TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    title      TEXT NOT NULL,
    calls      TEXT,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    expires_at INTEGER,
    used_at    INTEGER
) STRICT;
CREATE INDEX token_of_user ON token (user);

-- Whom to tell of which packages; empty is any.
CREATE TABLE subscription (
    user         TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
    package      TEXT NOT NULL,
    distribution TEXT NOT NULL,
    PRIMARY KEY (user, package, distribution)
) STRICT, WITHOUT ROWID;
