//! The one integration test program: one file a user-visible matter.
mod build;
mod ftp;
mod http;
mod http_apt;
mod instance;
mod package;
mod restarts;
mod results;
mod site;
mod uploads;
