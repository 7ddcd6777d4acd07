//! Debian packages of this host that the program needs: found missing, and installed when we may.
use std::io::{self, IsTerminal, Write, stderr, stdin};
use std::path::Path;
use std::process::{Command, Stdio};

/// A package, told by a file of it.
struct Needed {
    package: &'static str,
    file: &'static str,
    /// Root maps ids itself.
    as_root: bool,
}

const NEEDED: &[Needed] = &[
    Needed {
        package: "debootstrap",
        file: "/usr/sbin/debootstrap",
        as_root: true,
    },
    Needed {
        package: "debian-archive-keyring",
        file: "/usr/share/keyrings/debian-archive-keyring.gpg",
        as_root: true,
    },
    Needed {
        package: "distro-info-data",
        file: "/usr/share/distro-info/debian.csv",
        as_root: true,
    },
    Needed {
        package: "gpgv",
        file: "/usr/bin/gpgv",
        as_root: true,
    },
    Needed {
        package: "wget",
        file: "/usr/bin/wget",
        as_root: true,
    },
    Needed {
        package: "uidmap",
        file: "/usr/bin/newuidmap",
        as_root: false,
    },
];

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("missing Debian packages; as root: {command}")]
    Missing { command: String },
    #[error("can't run {command}")]
    Run { command: String, source: io::Error },
    #[error("{command} ended with {status}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
}

/// Names of the packages that this user lacks.
pub(super) fn missing() -> Vec<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    NEEDED
        .iter()
        .filter(|needed| needed.as_root || !is_root)
        .filter(|needed| !Path::new(needed.file).exists())
        .map(|needed| needed.package)
        .collect()
}

/// The command that installs them.
pub(super) fn install_command(packages: &[&str]) -> String {
    format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs what is missing, as root, after showing the command; asks before unless `yes`.
pub(super) fn provide(yes: bool) -> Result<(), Error> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let command = install_command(&packages);
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Missing { command });
    }
    // Nobody is left to be told that standard error can't be written.
    let _ = writeln!(stderr(), "+ {command}");
    if !(yes || confirmed()) {
        return Err(Error::Missing { command });
    }
    let status = Command::new("sh")
        .args(["-c", &format!("apt-get update -q && {command}")])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(stderr())
        .status()
        .map_err(|source| Error::Run {
            command: command.clone(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed { command, status })
    }
}

fn confirmed() -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    let _ = write!(stderr(), "Run it now? [Y/n] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "" | "y" | "Y" | "yes")
}
