//! `mini-buildd archive import`.
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Instance};
use crate::archive::ImportedDist;
use crate::cause::with_causes;
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::repositories::import::{Told, Wanted};

/// Takes in a repository of mini-buildd 2 or reprepro: its packages, distributions, rollbacks and snapshots.
///
/// The directory is only read: files are linked where that is possible, else copied. What can't be taken in is named and
/// left out. May be cut off and repeated: what is there already stays as it is.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Holds dists and pool.
    directory: PathBuf,
    /// Into this repository, instead of those that the distributions' names say.
    #[arg(short, long, value_name = "ID")]
    repository: Option<Identity>,
    /// Only this distribution with its rollbacks and snapshots; may be repeated.
    #[arg(short, long = "distribution", value_name = "DIST")]
    distributions: Vec<Diststr>,
    /// Only tell what would be taken in.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(instance: &Instance, options: &Options) -> Result<ExitCode, Failure> {
    let wanted = Wanted {
        directory: &options.directory,
        repository: options.repository.as_ref(),
        distributions: &options.distributions,
    };
    let mut faults = 0;
    let mut said = Ok(());
    let mut told = |told| {
        if said.is_ok() {
            said = tell(told, &mut faults);
        }
    };
    let repositories = &instance.repositories;
    if options.dry_run {
        repositories.plan_import(&wanted, &mut told)?;
    } else {
        let imported = repositories.import(&wanted, &mut told);
        // What came before a fault is there.
        instance.publish()?;
        imported?;
    }
    said?;
    if faults == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        stderr(),
        "{faults} left out; to go on when that is mended, repeat the command"
    )?;
    Ok(ExitCode::FAILURE)
}

fn tell(told: Told, faults: &mut usize) -> std::io::Result<()> {
    match told {
        Told::Fault(error) => {
            *faults += 1;
            writeln!(stderr(), "left out: {}", with_causes(&error))
        }
        Told::Dist(diststr, imported) => tell_dist(&diststr, &imported, faults),
    }
}

fn tell_dist(
    diststr: &Diststr,
    imported: &ImportedDist,
    faults: &mut usize,
) -> std::io::Result<()> {
    let ImportedDist {
        packages,
        snapshots,
        incomplete,
        left,
    } = imported;
    writeln!(
        stdout(),
        "{diststr}: {packages} packages, {} snapshots",
        snapshots.len()
    )?;
    for source in left {
        writeln!(stdout(), "{diststr}: has another {source}, which stays")?;
    }
    for name in incomplete {
        *faults += 1;
        writeln!(
            stderr(),
            "left out: snapshot {name} of {diststr}, which lacks packages"
        )?;
    }
    Ok(())
}
