//! mini-buildd's own words. No I/O, no clock, no async.
//!
//! Reading order: [`status`], [`diststr`], the items that administrators configure and how one names another
//! ([`mod@reference`]): [`daemon`] with [`limits`], [`source`] with [`apt_key`] and [`quirks`], [`layout`], [`distribution`],
//! [`repository`] with [`snapshot`], [`chroot`], [`remote`], [`email_address`], [`user`]; then what happens to an upload:
//! [`upload_options`], [`build_check`], [`version_scheme`], [`key`], [`build_sources`], [`message`],
//! [`buildrequest`], [`buildresult`], [`failure`], [`job`], [`event`].
pub mod address;
pub mod apt_key;
pub mod build_check;
pub mod build_sources;
pub mod buildrequest;
pub mod buildresult;
pub mod chroot;
pub mod daemon;
pub mod distribution;
pub mod diststr;
pub mod email_address;
pub mod event;
pub mod failure;
pub mod job;
pub mod key;
pub mod layout;
pub mod limits;
pub mod message;
pub mod quirks;
pub mod reference;
pub mod remote;
pub mod repository;
pub mod setup_block;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod upload_options;
pub mod user;
pub mod version_scheme;

pub use address::Address;
pub use apt_key::AptKey;
pub use buildrequest::Buildrequest;
pub use buildresult::Buildresult;
pub use chroot::Chroot;
pub use daemon::Daemon;
pub use distribution::Distribution;
pub use diststr::Diststr;
pub use email_address::EmailAddress;
pub use event::{Event, EventType};
pub use failure::Failure;
pub use key::{BuildKey, PackageKey, Timecode};
pub use layout::{Layout, SuiteOptions};
pub use limits::Limits;
pub use message::MessageKind;
pub use quirks::{Quirk, Quirks};
pub use reference::{Kind, Reference};
pub use remote::Remote;
pub use repository::Repository;
pub use snapshot::{SnapshotName, SnapshotRule};
pub use source::{Archive, SignedBy, Source};
pub use status::{Check, Status};
pub use upload_options::UploadOptions;
pub use user::Uploader;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something that administrators configure, kept by `store` under its kind and name.
pub trait Item: Serialize + DeserializeOwned + Clone + Send + 'static {
    /// Name of the kind: `repository`.
    const KIND: &'static str;
    /// Unique among its kind.
    fn name(&self) -> String;
    /// Names every fault of the fields.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
    /// The other items that it names; they must be there.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name:?}: {field}: {fault}")]
pub struct Invalid {
    pub kind: &'static str,
    pub name: String,
    pub field: &'static str,
    pub fault: String,
}

/// Makes the error of one field of an item.
pub(crate) fn invalid<T: Item>(item: &T, field: &'static str, fault: impl Into<String>) -> Invalid {
    Invalid {
        kind: T::KIND,
        name: item.name(),
        field,
        fault: fault.into(),
    }
}

/// A text for one line of a configuration file or control field.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
