//! `mini-buildd repository`: which repositories there are, for which codenames, in which layout.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::configured::{Changing, Shown, read};
use crate::deb::Codename;
use crate::model::Repository;
use crate::model::repository::Identity;

/// Lists and changes repositories: which codenames they have, in which layout.
///
/// A daemon may run meanwhile; what changes is published at once.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists all repositories.
    List(Shown),
    /// Shows a repository.
    Show {
        identity: Identity,
        #[command(flatten)]
        shown: Shown,
    },
    /// Makes a repository; who may upload to it is told by `mini-buildd up --uploader-key`.
    Add {
        identity: Identity,
        #[arg(long, value_name = "NAME", default_value = "Default")]
        layout: String,
        /// Codename that packages are built for; may be repeated.
        #[arg(long = "codename", value_name = "CODENAME", required = true)]
        codenames: Vec<Codename>,
        #[command(flatten)]
        changing: Changing,
    },
    /// Makes or replaces a repository.
    Put {
        /// File with its JSON, as `show --json` writes it; - is standard input.
        file: PathBuf,
        #[command(flatten)]
        changing: Changing,
    },
    /// Removes a repository; the files of its packages stay until they are cleaned up.
    Remove {
        identity: Identity,
        #[command(flatten)]
        changing: Changing,
    },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match &options.action {
        Action::List(shown) => {
            let head = ["repository", "layout", "codenames"];
            shown.list(&head, |repository: &Repository| {
                let codenames = repository.distributions.iter().map(Codename::as_str);
                vec![
                    repository.identity.to_string(),
                    repository.layout.clone(),
                    codenames.collect::<Vec<_>>().join(" "),
                ]
            })?;
        }
        Action::Show { identity, shown } => shown.show::<Repository>(identity.as_str())?,
        Action::Add {
            identity,
            layout,
            codenames,
            changing,
        } => {
            let repository = Repository::new(identity.clone(), layout.clone(), codenames.clone());
            changing.make(|change| change.add_repository(&repository))?;
        }
        Action::Put { file, changing } => {
            let repository = read(file)?;
            changing.make(|change| change.put_repository(&repository))?;
        }
        Action::Remove { identity, changing } => {
            changing.make(|change| change.remove_repository(identity))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
