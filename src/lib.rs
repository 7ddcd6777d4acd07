//! mini-buildd: build daemon and apt repository for Debian packagers.
//!
//! Six layers, in reading order; a module uses lower layers only (`tests/layers.rs` holds this):
//! 0 formats ([`deb`], [`endpoint`], [`cause`]), 1 model ([`model`]), 2 outside ([`home`], [`command`], [`store`], [`pgp`],
//! [`upload`], [`fetch`], [`accounts`], [`keys`], [`archive`], [`message`]), 3 engine ([`chroots`], [`remotes`], [`events`], [`build`], [`incoming`],
//! [`repositories`], [`packager`], [`builder`], [`setup`], [`cron`], [`instance`]), 4 calls ([`api`]), 5 front ends ([`http`], [`ftp`], [`cli`]).
pub mod cause;
pub mod deb;
pub mod endpoint;

pub mod model;

pub mod accounts;
pub mod archive;
pub mod certificate;
pub mod command;
mod fault;
pub mod fetch;
pub mod home;
pub mod keys;
pub mod mail;
pub mod message;
pub mod pgp;
pub mod store;
pub mod upload;

pub mod build;
pub mod builder;
pub mod chroots;
pub mod cron;
pub mod events;
pub mod incoming;
pub mod instance;
pub mod lifecycle;
pub mod maintenance;
pub mod packager;
pub mod remotes;
pub mod repositories;
pub mod setup;
pub mod shares;

pub mod api;

pub mod cli;
pub mod ftp;
pub mod http;
