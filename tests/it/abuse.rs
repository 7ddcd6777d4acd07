//! The list of abuses, on each kind of storage; what became of each is looked at from outside.
mod builds;
mod lent;
mod list;
mod outside;
mod place;
mod repositories;
mod sessions;
