//! The one integration test program: one file a user-visible matter.
mod build;
mod ftp;
mod http;
