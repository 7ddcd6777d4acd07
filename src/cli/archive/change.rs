//! Packages come, go to another distribution, leave.
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Instance};
use crate::deb::{PackageName, Version};
use crate::model::Diststr;

/// Installs packages from files into a distribution.
///
/// What was there moves into the rollbacks, as with an upload. Whoever has this shell needs no signature, but the
/// suite's rule for versions holds. May be repeated: what is there already changes nothing.
#[derive(Args, Debug)]
pub(super) struct Include {
    distribution: Diststr,
    /// .changes, or .dsc with its .debs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Copies a source package with its binaries into any distribution of the same repository.
#[derive(Args, Debug)]
pub(super) struct Copy {
    from: Diststr,
    to: Diststr,
    source: PackageName,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

/// Migrates a source package with its binaries to where its suite migrates; from a rollback, back into its suite.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    source: PackageName,
    /// From here.
    distribution: Diststr,
    /// Migrate all the way up.
    #[arg(short = 'F', long)]
    full: bool,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

/// Removes a source package with its binaries: from a suite into its rollbacks, or out of a rollback.
#[derive(Args, Debug)]
pub(super) struct Remove {
    source: PackageName,
    distribution: Diststr,
    /// Don't keep it in the rollbacks.
    #[arg(long)]
    without_rollback: bool,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

impl Instance {
    pub(super) fn include(&self, options: &Include) -> Result<(), Failure> {
        let mut said = Ok(());
        let included =
            self.repositories
                .include(&options.distribution, &options.files, &mut |included| {
                    let state = if included.changed {
                        "installed"
                    } else {
                        "is there already"
                    };
                    let (source, version) = (included.source, included.version);
                    if said.is_ok() {
                        said = writeln!(stdout(), "{source} {version} {state}");
                    }
                });
        // What came before a fault is installed.
        self.publish()?;
        included?;
        Ok(said?)
    }

    pub(super) fn copy(&self, options: &Copy) -> Result<(), Failure> {
        let copied = self.repositories.copy(
            &options.source,
            [&options.from, &options.to],
            options.version.as_ref(),
        )?;
        self.publish()?;
        let state = if copied.changed {
            "is now"
        } else {
            "is already"
        };
        writeln!(
            stdout(),
            "{} {} {state} in {}",
            options.source,
            copied.version,
            options.to
        )?;
        Ok(())
    }

    pub(super) fn migrate(&self, options: &Migrate) -> Result<(), Failure> {
        let went = self.repositories.migrate(
            &options.source,
            &options.distribution,
            options.version.as_ref(),
            options.full,
        )?;
        self.publish()?;
        for (diststr, transferred) in went {
            writeln!(
                stdout(),
                "{} {} is now in {diststr}",
                options.source,
                transferred.version
            )?;
        }
        Ok(())
    }

    pub(super) fn remove(&self, options: &Remove) -> Result<(), Failure> {
        let removed = self.repositories.remove(
            &options.source,
            &options.distribution,
            options.version.as_ref(),
            options.without_rollback,
        )?;
        self.publish()?;
        writeln!(
            stdout(),
            "{} {} is no longer in {}",
            options.source,
            removed.version,
            options.distribution
        )?;
        Ok(())
    }
}
