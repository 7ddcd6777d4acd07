//! What there is.
use std::io::{Write, stdout};

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Instance, print_json, print_table};
use crate::archive::Listed;
use crate::deb::PackageName;
use crate::model::Diststr;

/// Lists source packages with their versions, by distribution.
#[derive(Args, Debug)]
pub(super) struct Ls {
    /// Only these source packages.
    #[arg(value_name = "SOURCE")]
    sources: Vec<PackageName>,
    /// Only this distribution.
    #[arg(short, long, value_name = "DIST")]
    distribution: Option<Diststr>,
    /// Rollbacks too.
    #[arg(short, long)]
    rollbacks: bool,
    #[arg(long)]
    json: bool,
}

/// Shows all about a source package: versions, architectures, where its .dsc is.
#[derive(Args, Debug)]
pub(super) struct Show {
    source: PackageName,
    #[arg(long)]
    json: bool,
}

impl Instance {
    pub(super) fn ls(&self, options: &Ls) -> Result<(), Failure> {
        let mut listed = self.listed(&options.sources, options.distribution.as_ref())?;
        let is_wanted = |listed: &Listed| {
            let dist = &listed.diststr;
            options.rollbacks
                || dist.rollback.is_none()
                || options.distribution.as_ref() == Some(dist)
        };
        listed.retain(is_wanted);
        if options.json {
            return print_json(&listed.iter().map(about).collect());
        }
        let rows = listed.iter().map(|listed| {
            [
                listed.diststr.to_string(),
                listed.source.to_string(),
                listed.version.to_string(),
                listed.component.to_string(),
                listed.architectures.join(" "),
            ]
        });
        print_table(rows.collect())
    }

    fn listed(
        &self,
        sources: &[PackageName],
        distribution: Option<&Diststr>,
    ) -> Result<Vec<Listed>, Failure> {
        let archives = match distribution {
            Some(diststr) => vec![self.archive_of(diststr)?],
            None => self.repositories.archives()?,
        };
        let mut listed = Vec::new();
        for archive in archives {
            listed.extend(self.store.read(|tx| {
                if sources.is_empty() {
                    return archive.list_all(tx, distribution);
                }
                let lists = sources.iter().map(|source| archive.list(tx, source));
                Ok(lists.collect::<Result<Vec<_>, _>>()?.concat())
            })?);
        }
        listed.retain(|listed| distribution.is_none_or(|diststr| listed.diststr == *diststr));
        Ok(listed)
    }

    pub(super) fn show(&self, options: &Show) -> Result<(), Failure> {
        let listed = self.listed(std::slice::from_ref(&options.source), None)?;
        if options.json {
            return print_json(&listed.iter().map(about).collect());
        }
        if listed.is_empty() {
            return Err(format!("{} is in no repository", options.source).into());
        }
        let mut out = stdout().lock();
        for listed in listed {
            writeln!(out, "Distribution: {}", listed.diststr)?;
            writeln!(out, "Source: {}", listed.source)?;
            writeln!(out, "Version: {}", listed.version)?;
            writeln!(out, "Component: {}", listed.component)?;
            writeln!(out, "Architecture: {}", listed.architectures.join(" "))?;
            writeln!(out, "Dsc: {}\n", listed.dsc.display())?;
        }
        Ok(())
    }
}

fn about(listed: &Listed) -> Value {
    json!({
        "distribution": listed.diststr.to_string(),
        "source": listed.source.as_str(),
        "version": listed.version.as_str(),
        "component": listed.component.as_str(),
        "architectures": listed.architectures,
        "dsc": listed.dsc,
    })
}
