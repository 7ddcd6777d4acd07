-- Long work that administrators asked for; times are in seconds since the epoch.
-- error says why it failed, result is the JSON that it gave, log what it did, a line a step.
CREATE TABLE action (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    title    TEXT NOT NULL,
    user     TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    begun_at INTEGER,
    ended_at INTEGER,
    error    TEXT,
    result   TEXT,
    log      TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX unfinished_action ON action (id) WHERE ended_at IS NULL;
