-- Whether letters about an event are written. Events from before are not told again.
ALTER TABLE event ADD COLUMN mailed INTEGER NOT NULL DEFAULT 1;
CREATE INDEX unmailed_event ON event (id) WHERE mailed = 0;

-- Letters that the relay has not taken yet; due_at in seconds since the epoch.
CREATE TABLE letter (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    event     INTEGER NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    recipient TEXT NOT NULL,
    reason    TEXT NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    due_at    INTEGER NOT NULL,
    UNIQUE (event, recipient)
) STRICT;
CREATE INDEX due_letter ON letter (due_at, attempts, id);
