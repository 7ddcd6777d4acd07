//! Which architectures this machine runs without emulation.
use std::io;
use std::process::{Command, Stdio};

use crate::deb::Architecture;

/// What else the CPUs of an architecture may run, and what runs it.
const RUN: [(&str, &str, &str); 6] = [
    (
        "amd64",
        "i386",
        "a kernel with CONFIG_IA32_EMULATION, started without ia32_emulation=0",
    ),
    ("arm64", "armel", ARM_32_BITS),
    ("arm64", "armhf", ARM_32_BITS),
    ("armhf", "armel", "a kernel for armel"),
    ("i386", "amd64", "a CPU and a kernel of 64 bits"),
    ("mips64el", "mipsel", "a kernel with CONFIG_MIPS32_O32"),
];
const ARM_32_BITS: &str =
    "a CPU with 32-bit EL0 (many newer ones have none) and a kernel with CONFIG_COMPAT";

/// Why chroots of an architecture are of no use here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotRun {
    #[error("{0} is no machine")]
    NoMachine(Architecture),
    #[error("{machine} runs {architecture} by emulation only, which builds don't use")]
    Foreign {
        machine: Architecture,
        architecture: Architecture,
    },
    #[error("arch-test is not installed, so nothing tells whether this machine runs {0}")]
    Untried(Architecture),
    #[error("this machine does not run programs of {architecture}")]
    Refused {
        architecture: Architecture,
        needs: &'static str,
    },
}

/// Program, and Debian package, that runs a small program of an architecture.
const ARCH_TEST: &str = "arch-test";

impl CannotRun {
    pub fn remedy(&self) -> Option<String> {
        match self {
            CannotRun::NoMachine(_) => None,
            CannotRun::Foreign { architecture, .. } => {
                Some(format!("run an instance on a machine of {architecture}"))
            }
            CannotRun::Untried(_) => Some(format!("apt install {ARCH_TEST}")),
            CannotRun::Refused { needs, .. } => Some(format!("use {needs}")),
        }
    }
}

/// All that a machine runs so, its own first.
pub fn native(machine: &Architecture) -> Vec<Architecture> {
    let others = RUN.iter().filter(|(of, _, _)| machine.as_str() == *of);
    let others = others.filter_map(|(_, other, _)| other.parse().ok());
    let runnable = others.filter(|other| check(machine, other).is_ok());
    std::iter::once(machine.clone()).chain(runnable).collect()
}

/// Tries whether `machine`, on which this runs, runs programs of `architecture`.
pub fn check(machine: &Architecture, architecture: &Architecture) -> Result<(), CannotRun> {
    if machine == architecture {
        return Ok(());
    }
    let needs = needs(machine, architecture)?;
    // Without -n, what an emulator runs would count.
    let tried = Command::new(ARCH_TEST)
        .args(["-n", architecture.as_str()])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CannotRun::Untried(architecture.clone()))
        }
        Ok(_) | Err(_) => Err(CannotRun::Refused {
            architecture: architecture.clone(),
            needs,
        }),
    }
}

/// What a machine must have to run `architecture`, if it can.
fn needs(machine: &Architecture, architecture: &Architecture) -> Result<&'static str, CannotRun> {
    if !architecture.is_machine() {
        return Err(CannotRun::NoMachine(architecture.clone()));
    }
    let mut known = RUN.iter();
    let found = known.find(|(on, runs, _)| machine == on && architecture == runs);
    found
        .map(|(_, _, needs)| *needs)
        .ok_or_else(|| CannotRun::Foreign {
            machine: machine.clone(),
            architecture: architecture.clone(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(machine: &str, architecture: &str) -> Result<(), CannotRun> {
        check(&machine.parse().unwrap(), &architecture.parse().unwrap())
    }

    #[test]
    fn machine_runs_its_own_programs() {
        assert_eq!(checked("s390x", "s390x"), Ok(()));
    }

    #[test]
    fn architecture_of_other_machines_is_told_so() {
        for architecture in ["s390x", "armhf"] {
            let fault = checked("amd64", architecture).unwrap_err();
            assert!(matches!(fault, CannotRun::Foreign { .. }), "{fault}");
        }
        let fault = checked("amd64", "all").unwrap_err();
        assert_eq!(fault.to_string(), "all is no machine");
    }

    #[test]
    fn refused_architecture_names_what_it_needs() {
        let architecture = "armhf".parse().unwrap();
        let needs = needs(&"arm64".parse().unwrap(), &architecture).unwrap();
        let fault = CannotRun::Refused {
            architecture,
            needs,
        };
        assert!(fault.to_string().contains("armhf"), "{fault}");
        assert!(fault.remedy().unwrap().contains("32-bit EL0"));
    }
}
