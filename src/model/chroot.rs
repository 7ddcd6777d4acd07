use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Codename};
use crate::model::Item;

/// What administrators keep; builds see snapshots of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chroot {
    pub codename: Codename,
    pub architecture: Architecture,
    /// Name of the [`crate::model::Source`] it is bootstrapped from.
    pub source: String,
    pub backend: Backend,
    /// Extra options for debootstrap.
    pub debootstrap_extra_options: Vec<String>,
}

/// Kinds of storage, in stock's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    Dir,
}

impl Item for Chroot {
    const KIND: &'static str = "chroot";
    /// `trixie:amd64`
    fn name(&self) -> String {
        format!("{}:{}", self.codename, self.architecture)
    }
}
