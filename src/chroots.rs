//! A chroot's backend, the sessions that run on it, and its upkeep: bootstrap, upgraded layer, build-dependency layers.
