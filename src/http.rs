//! The HTTP server: API, repository, builds and events.
