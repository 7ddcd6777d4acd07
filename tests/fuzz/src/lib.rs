//! What is fuzzed: modules of mini-buildd that need nothing of the rest; here by links, so that a build takes a minute.
pub mod deb;
pub mod pieces;
