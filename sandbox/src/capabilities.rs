//! The capabilities that root of a session, and programs with setuid root, can have.
use std::str::FromStr;

use caps::{CapSet, Capability};
use oci_spec::runtime::Spec;

use crate::refusal::{Attempt, Refusal};

/// What root of a session keeps unless the spec's process says otherwise.
///
/// Enough for dpkg, apt and debootstrap. No CAP_SYS_ADMIN, so mounts and masked paths stay as they
/// are, and no CAP_SYS_PTRACE.
pub(crate) const DEFAULT: [Capability; 14] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];

/// Names of the bounding set that the spec asks for.
pub(crate) fn names(spec: &Spec) -> Vec<String> {
    let bounding = spec
        .process()
        .as_ref()
        .and_then(|process| process.capabilities().as_ref())
        .and_then(|capabilities| capabilities.bounding().as_ref());
    match bounding {
        Some(bounding) => bounding.iter().map(|name| format!("CAP_{name}")).collect(),
        None => DEFAULT.iter().map(ToString::to_string).collect(),
    }
}

/// A bounding set.
#[derive(Debug)]
pub(crate) struct Capabilities {
    keep: Vec<Capability>,
}

impl Capabilities {
    /// Names that this program does not know are not kept.
    pub(crate) fn named(names: &[String]) -> Capabilities {
        Capabilities {
            keep: names
                .iter()
                .filter_map(|name| Capability::from_str(name).ok())
                .collect(),
        }
    }

    /// Leaves out those that a network namespace's owner has over what goes out of it.
    pub(crate) fn without_network(&self) -> Capabilities {
        let network = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
        let mut keep = self.keep.clone();
        keep.retain(|capability| !network.contains(capability));
        Capabilities { keep }
    }

    /// Drops all others for good; what is left takes effect with exec (capabilities(7)).
    pub(crate) fn bound(&self) -> Result<(), Refusal> {
        let refused =
            |error: caps::errors::CapsError| Attempt::DropCapabilities.said(error.to_string());
        for capability in caps::runtime::thread_all_supported() {
            if !self.keep.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability).map_err(refused)?;
            }
        }
        caps::clear(None, CapSet::Inheritable).map_err(refused)
    }
}

/// Leaves the process none.
pub(crate) fn drop_all() -> Result<(), Refusal> {
    [CapSet::Effective, CapSet::Permitted]
        .into_iter()
        .try_for_each(|set| caps::clear(None, set))
        .map_err(|error| Attempt::DropCapabilities.said(error.to_string()))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{LinuxCapabilitiesBuilder, ProcessBuilder, SpecBuilder};

    use super::*;

    #[test]
    fn bounding_set_of_the_spec_is_taken() {
        let bounding = [oci_spec::runtime::Capability::SysAdmin];
        let capabilities = LinuxCapabilitiesBuilder::default()
            .bounding(bounding)
            .build()
            .unwrap();
        let process = ProcessBuilder::default()
            .capabilities(capabilities)
            .build()
            .unwrap();
        let spec = SpecBuilder::default().process(process).build().unwrap();
        assert_eq!(names(&spec), ["CAP_SYS_ADMIN"]);
    }

    #[test]
    fn names_of_the_spec_are_names_of_the_kernel() {
        let names: Vec<String> = DEFAULT.iter().map(ToString::to_string).collect();
        assert_eq!(Capabilities::named(&names).keep, DEFAULT);
    }
}
