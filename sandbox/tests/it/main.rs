//! Real sessions over a root file system of busybox, run by root or by a user with subordinate ids.
mod processes;
mod root;
