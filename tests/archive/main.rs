//! Real programs read what the archive publishes.
mod apt;
mod private_apt;
mod repository;
#[path = "../../src/archive/sample.rs"]
mod sample;
mod server;
