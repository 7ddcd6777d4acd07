//! Real programs read what the archive publishes.
mod apt;
mod apt_ftparchive;
mod aptly;
mod client;
mod debootstrap;
mod private_apt;
#[path = "../it/program.rs"]
mod program;
mod readers;
mod releases;
mod repository;
mod reprepro;
#[path = "../../src/archive/sample.rs"]
mod sample;
mod server;
