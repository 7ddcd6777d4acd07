//! The one integration test program: one file a user-visible matter.
mod api;
mod build;
mod daemon;
mod ftp;
mod http;
mod http_apt;
mod instance;
mod package;
mod packager;
mod restarts;
mod results;
mod site;
mod uploads;
