-- What administrators configure.
CREATE TABLE item (
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    status TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Jobs: id is the order of arrival.
CREATE TABLE received (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    staging BLOB NOT NULL,
    changes TEXT NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (staging, changes)
) STRICT;

CREATE TABLE packaging (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    key      TEXT NOT NULL UNIQUE,
    finished INTEGER NOT NULL,
    body     TEXT NOT NULL
) STRICT;
CREATE INDEX unfinished_packaging ON packaging (id) WHERE finished = 0;

CREATE TABLE build (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    key      TEXT NOT NULL UNIQUE,
    finished INTEGER NOT NULL,
    body     TEXT NOT NULL
) STRICT;
CREATE INDEX unfinished_build ON build (id) WHERE finished = 0;

-- Messages that were taken; a repetition has the same digest.
CREATE TABLE message (
    kind   TEXT NOT NULL,
    key    TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    directory TEXT NOT NULL,
    written   INTEGER NOT NULL DEFAULT 0,
    body      TEXT NOT NULL
) STRICT;
CREATE INDEX unwritten_event ON event (id) WHERE written = 0;
