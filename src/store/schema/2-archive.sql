-- Files below pool/COMPONENT/PREFIX/SOURCE/; unused_since is set while no package has the file.
CREATE TABLE pool_file (
    repository   TEXT NOT NULL,
    path         TEXT NOT NULL,
    source       TEXT NOT NULL,
    name         TEXT NOT NULL,
    size         INTEGER NOT NULL,
    md5          TEXT NOT NULL,
    sha1         TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    added_at     INTEGER NOT NULL DEFAULT (unixepoch()),
    unused_since INTEGER DEFAULT (unixepoch()),
    PRIMARY KEY (repository, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX pool_file_by_name ON pool_file (repository, source, name);

-- A source or binary package, shared by all dists; its id is never given again.
CREATE TABLE package (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    repository     TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('dsc', 'deb', 'udeb')),
    name           TEXT NOT NULL,
    version        TEXT NOT NULL,
    architecture   TEXT NOT NULL,
    source         TEXT NOT NULL,
    source_version TEXT NOT NULL,
    component      TEXT NOT NULL,
    section        TEXT NOT NULL,
    priority       TEXT NOT NULL,
    stanza         TEXT NOT NULL,
    file_list      TEXT NOT NULL,
    UNIQUE (repository, kind, name, version, architecture)
) STRICT;
CREATE INDEX package_by_source ON package (repository, source);

-- A .deb has one, a .dsc itself and what it lists.
CREATE TABLE package_file (
    package    INTEGER NOT NULL REFERENCES package (id),
    repository TEXT NOT NULL,
    path       TEXT NOT NULL,
    PRIMARY KEY (package, path),
    FOREIGN KEY (repository, path) REFERENCES pool_file (repository, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX package_of_file ON package_file (repository, path);

-- dirty counts the changes since the last publication, serial the publications.
CREATE TABLE dist (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    repository   TEXT NOT NULL,
    name         TEXT NOT NULL,
    settings     TEXT NOT NULL,
    dirty        INTEGER NOT NULL DEFAULT 1,
    serial       INTEGER NOT NULL DEFAULT 0,
    published_at INTEGER,
    removed_at   INTEGER,
    UNIQUE (repository, name)
) STRICT;

-- Membership of a package in an index; ended rows stay, so that indices of any past time are a query.
CREATE TABLE slot (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    dist       INTEGER NOT NULL REFERENCES dist (id),
    component  TEXT NOT NULL,
    index_name TEXT NOT NULL,
    name       TEXT NOT NULL,
    package    INTEGER NOT NULL REFERENCES package (id),
    added_at   INTEGER NOT NULL DEFAULT (unixepoch()),
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX live_slot ON slot (dist, component, index_name, name) WHERE removed_at IS NULL;
CREATE INDEX slot_of_package ON slot (package);

-- Index files that Release lists, or listed until retired; input is the digest of the packages they were made of.
CREATE TABLE index_file (
    dist           INTEGER NOT NULL REFERENCES dist (id),
    path           TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    md5            TEXT NOT NULL,
    size           INTEGER NOT NULL,
    input          TEXT NOT NULL,
    generation     INTEGER NOT NULL,
    published_at   INTEGER NOT NULL,
    retired        INTEGER,
    retired_at     INTEGER,
    PRIMARY KEY (dist, path, sha256)
) STRICT, WITHOUT ROWID;
