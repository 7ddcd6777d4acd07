//! Real programs read what the archive publishes.
mod apt;
mod apt_ftparchive;
mod aptly;
mod client;
mod debootstrap;
mod private_apt;
mod readers;
mod repository;
mod reprepro;
#[path = "../../src/archive/sample.rs"]
mod sample;
mod server;
