//! Snapshots: all files are in one directory, as its Release lists them.
use std::collections::BTreeMap;
use std::path::Path;

use crate::deb::release::IndexFile;
use crate::deb::{Architecture, Component, Paragraph};

use super::super::dist::Dist;
use super::super::index;
use super::super::pieces::Form;
use super::super::view::View;
use super::super::{Error, snapshot};
use super::{Check, Problem, Repair, files, indices};

impl Check<'_> {
    pub(super) fn snapshots(&mut self, dist: &Dist) -> Result<(), Error> {
        let rows = self.archive.store.read(|tx| snapshot::rows(tx, dist.id))?;
        for row in rows {
            self.at(&format!("{}/snapshots/{}", dist.settings.diststr, row.name));
            let problems = self.published_faults(|| self.snapshot(dist, &row.name))?;
            self.report(problems);
        }
        Ok(())
    }

    fn snapshot(&self, dist: &Dist, name: &str) -> Result<Vec<Problem>, Error> {
        let rows = self.archive.store.read(|tx| snapshot::rows(tx, dist.id))?;
        let is_meant = |row: &&snapshot::Row| row.name == name && row.published && !row.removed;
        let Some(row) = rows.iter().find(is_meant) else {
            return Ok(Vec::new());
        };
        let directory = snapshot::directory(self.archive, &dist.settings.diststr, name);
        let problem = |path: &str, fault: String| {
            let repair = Repair::Snapshot {
                dist: dist.id,
                name: name.to_owned(),
            };
            Problem::new(self.relative(&directory.join(path)), fault, repair)
        };
        if !files::is_directory(&directory) {
            return Ok(vec![problem("", "is missing".to_owned())]);
        }
        let release = match files::signed(&directory, &self.keyring) {
            Ok(text) => text.parse::<Paragraph>().unwrap_or_default(),
            Err((file, fault)) => return Ok(vec![problem(file, fault)]),
        };
        let suite = format!("{}/snapshots/{name}", dist.settings.diststr);
        if release.get("Suite") != Some(&suite) {
            return Ok(vec![problem("Release", format!("is not of {suite}"))]);
        }
        let listed = listed(&release);
        let mut problems = Vec::new();
        for (path, file) in &listed {
            let fault = files::examine(&directory.join(path), file)
                .and_then(|_| decode(&directory, path, &listed));
            if let Err(fault) = fault {
                problems.push(problem(path, fault));
            }
        }
        // What the database makes can be compared while the dist has the same indices.
        let same = |field, words: Vec<&str>| release.get(field) == Some(&words.join(" "));
        let settings = &dist.settings;
        let components = settings.components.iter().map(Component::as_str);
        let architectures = settings.architectures.iter().map(Architecture::as_str);
        if same("Components", components.collect())
            && same("Architectures", architectures.collect())
        {
            let view = View::at(dist.id, row.moment);
            for index in index::indices(settings) {
                let store = &self.archive.store;
                let (size, sha256) = store.read(|tx| indices::text(tx, &index, &view))?;
                let is_same = |file: &IndexFile| file.size == size && file.sha256 == sha256;
                if !listed.get(&index.path).is_some_and(is_same) {
                    let fault = "is not what the packages in the database make";
                    problems.push(problem(&index.path, fault.to_owned()));
                }
            }
        }
        Ok(problems)
    }
}

/// Compares a compressed file with the plain one that is listed.
fn decode(
    directory: &Path,
    path: &str,
    listed: &BTreeMap<String, IndexFile>,
) -> Result<(), String> {
    let form = Form::ALL.into_iter().skip(1).find_map(|form| {
        let plain = path.strip_suffix(form.extension())?;
        Some((form, listed.get(plain)?))
    });
    match form {
        Some((form, plain)) => files::decode(&directory.join(path), form, plain),
        None => Ok(()),
    }
}

/// What a Release lists; a file that is not in all lists has sums that none has.
fn listed(release: &Paragraph) -> BTreeMap<String, IndexFile> {
    let mut files: BTreeMap<String, IndexFile> = BTreeMap::new();
    for (field, set) in [
        (
            "SHA256",
            (|file, sum| file.sha256 = sum) as fn(&mut IndexFile, String),
        ),
        ("MD5Sum", |file, sum| file.md5 = sum),
        ("SHA512", |file, sum| file.sha512 = Some(sum)),
    ] {
        for line in release.get(field).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [sum, size, path] = words[..] else {
                continue;
            };
            let file = files.entry(path.to_owned()).or_insert_with(|| IndexFile {
                path: path.to_owned(),
                size: size.parse().unwrap_or_default(),
                md5: String::new(),
                sha256: String::new(),
                sha512: None,
            });
            set(file, sum.to_owned());
        }
    }
    files
}
