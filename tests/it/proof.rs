//! The whole program, really: sources go in by FTP, packages come out by apt.
mod architectures;
mod debian_sources;
mod full_disk;
mod kills;
mod network;
mod own_dependencies;
mod revisions;
