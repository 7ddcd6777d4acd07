//! `mini-buildd layout`: which suites repositories have, and their rules.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::configured::{Changing, Shown, read};
use super::{Failure, output};
use crate::model::Layout;
use crate::setup::Error;

/// Lists and changes layouts: which suites repositories have, and their rules.
///
/// A daemon may run meanwhile; what changes is published at once.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists all layouts.
    List(Shown),
    /// Shows a layout.
    Show {
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Makes or replaces a layout.
    Put {
        /// File with its JSON, as `show --json` writes it; - is standard input.
        file: PathBuf,
        #[command(flatten)]
        changing: Changing,
    },
    /// Makes a layout that mini-buildd brings along, or makes it again what it was; without NAME, names them.
    Preset {
        name: Option<String>,
        #[command(flatten)]
        changing: Changing,
    },
    /// Removes a layout that no repository has.
    Remove {
        name: String,
        #[command(flatten)]
        changing: Changing,
    },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match &options.action {
        Action::List(shown) => shown.list(&["layout", "suites"], |layout: &Layout| {
            let suites = layout.suites.iter().map(|options| options.suite.as_str());
            vec![layout.name.clone(), suites.collect::<Vec<_>>().join(" ")]
        })?,
        Action::Show { name, shown } => shown.show::<Layout>(name)?,
        Action::Put { file, changing } => {
            let layout = read(file)?;
            changing.make(|change| change.put_layout(&layout))?;
        }
        Action::Preset { name, changing } => preset(name.as_deref(), changing)?,
        Action::Remove { name, changing } => changing.make(|change| change.remove_layout(name))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn preset(name: Option<&str>, changing: &Changing) -> Result<(), Failure> {
    let presets = Layout::presets();
    let names = presets.iter().map(|preset| preset.name.as_str());
    let names: Vec<&str> = names.collect();
    let Some(name) = name else {
        return Ok(output::write(&(names.join("\n") + "\n"))?);
    };
    let Some(preset) = presets.iter().find(|preset| preset.name == name) else {
        let unknown = Error::Unknown {
            kind: "preset",
            name: name.to_owned(),
            known: names.join(", "),
        };
        return Err(unknown.into());
    };
    changing.make(|change| change.put_layout(preset))
}
