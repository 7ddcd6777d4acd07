//! The packager: checks an upload, asks builders, installs what comes back.
