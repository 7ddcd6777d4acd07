//! Builders by load: this instance and its remotes.
