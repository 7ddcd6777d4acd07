use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::archive::Listed;
use crate::deb::Version;
use crate::home::Home;
use crate::model::{Diststr, Layout, Repository, SuiteOptions};
use crate::store::{self, Transaction, items};

use super::ls::{ARGUMENTS, listed, tree};

pub(super) const CALL: Call = Call {
    name: "show",
    doc: "Show all about a source package\n\n\
          As ls; with the path of its .dsc below /repositories/, the paths of its .changes below /static/events/, \
          whether one may upload there, and where it migrates to.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: ARGUMENTS,
    run: |context, arguments| Box::pin(run(context, arguments)),
};

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let listed = listed(context, arguments).await?;
    let dists = listed.iter().map(|listed| listed.diststr.clone());
    let dists: Vec<Diststr> = dists.filter(|dist| dist.rollback.is_none()).collect();
    let rules = context
        .read(move |tx| {
            let mut rules = BTreeMap::new();
            for dist in dists {
                if let Some(rule) = rule(tx, &dist)? {
                    rules.insert(dist, rule);
                }
            }
            Ok(rules)
        })
        .await?;
    let home = context.instance.home.clone();
    blocking("look for .changes files", move || {
        describe(&home, &listed, &rules)
    })
    .await
}

fn rule(tx: &Transaction<'_>, dist: &Diststr) -> Result<Option<SuiteOptions>, store::Error> {
    let Some((repository, _)) = items::get::<Repository>(tx, dist.repository.as_str())? else {
        return Ok(None);
    };
    let layout = items::get::<Layout>(tx, &repository.layout)?;
    Ok(layout.and_then(|(layout, _)| layout.suite(&dist.suite).cloned()))
}

fn describe(
    home: &Home,
    listed: &[Listed],
    rules: &BTreeMap<Diststr, SuiteOptions>,
) -> io::Result<Value> {
    let mut failed = Ok(());
    let tree = tree(listed, &mut |one, said| {
        let dsc = Path::new(one.diststr.repository.as_str()).join(&one.dsc);
        said.insert("dsc_path".into(), json!(dsc));
        let Some(rule) = rules.get(&one.diststr) else {
            return;
        };
        match changes(home, one) {
            Ok(paths) => _ = said.insert("changes_paths".into(), json!(paths)),
            Err(error) => failed = Err(error),
        }
        said.insert("uploadable".into(), json!(rule.uploadable));
        if let Some(suite) = &rule.migrates_to {
            let to = Diststr {
                suite: suite.clone(),
                ..one.diststr.clone()
            };
            said.insert("migrates_to".into(), json!(to));
            said.insert("is_migrated".into(), json!(has(listed, &to, &one.version)));
        }
    });
    failed.map(|()| tree)
}

fn has(listed: &[Listed], dist: &Diststr, version: &Version) -> bool {
    listed
        .iter()
        .any(|listed| listed.diststr == *dist && listed.version == *version)
}

/// Paths of its uploads' .changes below var/events, oldest first.
fn changes(home: &Home, listed: &Listed) -> io::Result<Vec<PathBuf>> {
    let events = home.events();
    let version = Path::new(listed.source.as_str()).join(listed.version.as_str());
    let mut found = Vec::new();
    for timecode in entries(&events.join(version))? {
        for architecture in entries(&timecode)? {
            let name = architecture
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            if !name.starts_with("source") {
                continue;
            }
            let is_changes = |path: &PathBuf| path.extension().is_some_and(|end| end == "changes");
            let below = |path: PathBuf| path.strip_prefix(&events).map(Path::to_owned).ok();
            let files = entries(&architecture)?.into_iter().filter(is_changes);
            found.extend(files.filter_map(below));
        }
    }
    Ok(found)
}

/// Sorted; none where there is no directory.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
