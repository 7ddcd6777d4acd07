-- What changed in a repository, in order. at is in milliseconds since the epoch, and no two are the same.
CREATE TABLE moment (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    at         INTEGER NOT NULL,
    action     TEXT NOT NULL,
    UNIQUE (repository, at)
) STRICT;

INSERT INTO moment (repository, at, action)
    SELECT DISTINCT dist.repository, changed.at * 1000, 'change'
    FROM (SELECT dist, added_at AS at FROM slot
          UNION SELECT dist, removed_at FROM slot WHERE removed_at IS NOT NULL) AS changed
    JOIN dist ON dist.id = changed.dist
    ORDER BY changed.at;

-- Membership of a package in an index, from the moment added until the moment removed.
ALTER TABLE slot RENAME TO slot_by_time;
DROP INDEX live_slot;
DROP INDEX slot_of_package;
CREATE TABLE slot (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    dist       INTEGER NOT NULL REFERENCES dist (id),
    component  TEXT NOT NULL,
    index_name TEXT NOT NULL,
    name       TEXT NOT NULL,
    package    INTEGER NOT NULL REFERENCES package (id),
    added      INTEGER NOT NULL REFERENCES moment (id),
    removed    INTEGER REFERENCES moment (id)
) STRICT;
INSERT INTO slot
    SELECT old.id, old.dist, component, index_name, old.name, package, began.id, ended.id
    FROM slot_by_time AS old
    JOIN dist ON dist.id = old.dist
    JOIN moment AS began ON began.repository = dist.repository AND began.at = old.added_at * 1000
    LEFT JOIN moment AS ended ON ended.repository = dist.repository AND ended.at = old.removed_at * 1000;
DROP TABLE slot_by_time;
-- Names first: an index is read by ranges of them, and a name is looked for in all indices.
CREATE UNIQUE INDEX live_slot ON slot (dist, component, name, index_name, package) WHERE removed IS NULL;
CREATE INDEX slot_of_package ON slot (package, dist);
CREATE INDEX slot_added ON slot (dist, added);
CREATE INDEX slot_removed ON slot (dist, removed) WHERE removed IS NOT NULL;

CREATE INDEX slot_ended ON slot (removed) WHERE removed IS NOT NULL;
CREATE INDEX unused_pool_file ON pool_file (repository, unused_since) WHERE unused_since IS NOT NULL;

-- The moment that the last publication shows.
ALTER TABLE dist ADD COLUMN published INTEGER NOT NULL DEFAULT 0;

-- Sums that only some dists list, and states of all sums at offsets, from which they can go on.
ALTER TABLE index_file ADD COLUMN sha512 TEXT;
ALTER TABLE index_file ADD COLUMN states BLOB NOT NULL DEFAULT x'';

-- Pieces of a published index, each compressed on its own: sizes in its plain, gzip, xz (unpadded) and zstd files.
-- path is the index's without an extension; first the key of the first entry, empty in the first piece.
CREATE TABLE piece (
    dist   INTEGER NOT NULL REFERENCES dist (id),
    path   TEXT NOT NULL,
    first  TEXT NOT NULL,
    digest BLOB NOT NULL,
    raw    INTEGER NOT NULL,
    gz     INTEGER NOT NULL,
    xz     INTEGER NOT NULL,
    zst    INTEGER NOT NULL,
    PRIMARY KEY (dist, path, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX piece_by_digest ON piece (digest);

-- A state of a dist that is kept under a name; removed while its directory is being deleted.
CREATE TABLE snapshot (
    dist       INTEGER NOT NULL REFERENCES dist (id),
    name       TEXT NOT NULL,
    moment     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    published  INTEGER NOT NULL DEFAULT 0,
    removed    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (dist, name)
) STRICT, WITHOUT ROWID;
