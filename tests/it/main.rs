//! Tests of the whole program; one file a matter that users see.
mod ftp;
