//! Real sessions over a root file system of busybox, run by root or by a user with subordinate ids.
mod files;
mod forwarded;
mod isolation;
mod lifetime;
mod limits;
mod nested;
mod overlay;
mod preflight;
mod processes;
mod root;
mod seccomp;
mod traps;
