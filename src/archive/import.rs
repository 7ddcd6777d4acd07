//! Packages, dists and snapshots of another archive manager's directory, by what its indices say.
//!
//! First packages, in parts: each file is held against its index and its own control data, placed in the pool, and
//! noted. Then dists, each with its snapshots in one transaction. What is there already is not read again.
mod stock;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::deb::{Checksums, FileName, PackageName};
use crate::model::Diststr;
use crate::model::snapshot::SnapshotName;
use crate::store::{During, Transaction};

use super::dist::{self, Dist};
use super::install::{check_place, put_package};
use super::membership::{self, Member};
use super::pool::{self, Incoming};
use super::prepare::{self, Kind, Package};
use super::view::{self, View};
use super::{ArchiveDir, Error, disk, snapshot};

use stock::Entry;
pub use stock::{State, Stock};

/// Files that are open at once; a process may have 1024 by default.
const OPEN: usize = 384;

/// Ids of packages that were taken in, by their numbers.
#[derive(Debug, Default)]
pub struct Taken(HashMap<usize, i64>);

/// What became of a dist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedDist {
    /// Packages that are new in it.
    pub packages: usize,
    /// Snapshots that are new.
    pub snapshots: Vec<SnapshotName>,
    /// Snapshots that lack a package that could not be taken in.
    pub incomplete: Vec<SnapshotName>,
    /// Sources of which it has something else already, which stays.
    pub left: Vec<PackageName>,
}

/// A package that was read.
struct Found<'a> {
    number: usize,
    entry: &'a Entry,
    package: Package,
    files: Vec<Incoming>,
}

impl ArchiveDir {
    /// Tells whether a dist publishes all that a state of another has.
    pub fn check_import(
        &self,
        tx: &Transaction<'_>,
        stock: &Stock,
        state: &State,
        diststr: &Diststr,
    ) -> Result<(), Error> {
        let dist = dist::get(tx, &self.repository, diststr)?;
        for entry in state.entries.iter().map(|number| &stock.entries[*number]) {
            let component = entry.component.as_str();
            check_place(&dist, component, &entry.index_name(), || entry.title())?;
        }
        Ok(())
    }

    /// Takes in the packages of states; one that is not as its index says is told and left out.
    ///
    /// May be cut off and repeated. Writes to the database: not to be called inside a transaction.
    pub fn import_packages(
        &self,
        stock: &Stock,
        states: &[&State],
        fault: &mut dyn FnMut(Error),
    ) -> Result<Taken, Error> {
        let wanted: BTreeSet<usize> = states
            .iter()
            .flat_map(|state| state.entries.iter().copied())
            .collect();
        let mut taken = Taken::default();
        let missing = self.store.read(|tx| {
            let mut missing = Vec::new();
            for number in wanted {
                match there(self, tx, &stock.entries[number])? {
                    Some(id) => _ = taken.0.insert(number, id),
                    None => missing.push(number),
                }
            }
            Ok::<_, Error>(missing)
        })?;
        let mut part = Vec::new();
        let mut open = 0;
        for number in missing {
            let entry = &stock.entries[number];
            match read(self, stock, entry) {
                Ok((package, files)) => {
                    open += files.len();
                    part.push(Found {
                        number,
                        entry,
                        package,
                        files,
                    });
                }
                Err(error) => fault(error),
            }
            if open >= OPEN {
                take_in(self, &part, &mut taken, fault)?;
                part.clear();
                open = 0;
            }
        }
        take_in(self, &part, &mut taken, fault)?;
        Ok(taken)
    }

    /// Gives a dist the packages and snapshots that another's states have; `states` are in the order of their time.
    ///
    /// A snapshot is content that the dist had for a moment before what it has now.
    pub fn import_dist(
        &self,
        tx: &Transaction<'_>,
        stock: &Stock,
        taken: &Taken,
        states: &[&State],
        diststr: &Diststr,
    ) -> Result<ImportedDist, Error> {
        let dist = dist::get(tx, &self.repository, diststr)?;
        let members = view::members(tx, &View::now(dist.id))?;
        let mut members: BTreeSet<Member> = members.into_iter().collect();
        // As it is before it holds what a snapshot has.
        let sources = sources(tx, &dist)?;
        let before = members.len();
        let mut held = members.clone();
        let mut imported = ImportedDist::default();
        for state in states {
            let Some(name) = &state.snapshot else {
                imported
                    .left
                    .extend(add_new(stock, taken, state, &sources, &mut members));
                continue;
            };
            if snapshot::exists(tx, dist.id, name)? {
                continue;
            }
            let numbers = state.entries.iter();
            let then: Option<BTreeSet<Member>> =
                numbers.map(|number| taken.member(stock, *number)).collect();
            let Some(then) = then else {
                imported.incomplete.push(name.clone());
                continue;
            };
            let change = self.change(tx, format!("import snapshot {name} of {diststr}"));
            membership::hold(&change, dist.id, &held, &then)?;
            snapshot::create(tx, &self.repository, diststr, name, state.created)?;
            imported.snapshots.push(name.clone());
            held = then;
        }
        let change = self.change(tx, format!("import {diststr}"));
        membership::hold(&change, dist.id, &held, &members)?;
        imported.packages = members.len() - before;
        Ok(imported)
    }
}

impl Taken {
    /// `None`: it could not be taken in.
    fn member(&self, stock: &Stock, number: usize) -> Option<Member> {
        let package = *self.0.get(&number)?;
        let entry = &stock.entries[number];
        Some(Member {
            component: entry.component.to_string(),
            index_name: entry.index_name(),
            name: entry.indexed.name.to_string(),
            package,
        })
    }
}

/// Adds the sources of which a dist has nothing, each with all its packages; returns those of which it has others.
fn add_new(
    stock: &Stock,
    taken: &Taken,
    state: &State,
    present: &HashSet<String>,
    members: &mut BTreeSet<Member>,
) -> Vec<PackageName> {
    let mut sources: BTreeMap<&PackageName, Vec<usize>> = BTreeMap::new();
    for number in &state.entries {
        let source = &stock.entries[*number].indexed.source;
        sources.entry(source).or_default().push(*number);
    }
    let key =
        |member: &Member| [&member.component, &member.index_name, &member.name].map(String::clone);
    let names: HashSet<[String; 3]> = members.iter().map(key).collect();
    let mut left = Vec::new();
    for (source, numbers) in sources {
        let numbers = numbers.iter();
        let new: Option<Vec<Member>> = numbers.map(|number| taken.member(stock, *number)).collect();
        let Some(new) = new else {
            continue;
        };
        if new.iter().all(|member| members.contains(member)) {
            continue;
        }
        if present.contains(source.as_str()) || new.iter().any(|new| names.contains(&key(new))) {
            left.push(source.clone());
        } else {
            members.extend(new);
        }
    }
    left
}

/// Names of the sources whose packages a dist has.
fn sources(tx: &Transaction<'_>, dist: &Dist) -> Result<HashSet<String>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT DISTINCT source FROM slot JOIN package ON package.id = slot.package
             WHERE dist = ? AND removed IS NULL",
        )
        .and_then(|mut query| query.query_map([dist.id], |row| row.get(0))?.collect())
        .during("read the sources of a dist")?)
}

/// The id of a package that is there with all its files.
fn there(archive: &ArchiveDir, tx: &Transaction<'_>, entry: &Entry) -> Result<Option<i64>, Error> {
    let indexed = &entry.indexed;
    let rows: Vec<(i64, String, Checksums)> = tx
        .sql()
        .prepare_cached(
            "SELECT package.id, path, size, md5, sha1, sha256
             FROM package CROSS JOIN package_file ON package_file.package = package.id
             CROSS JOIN pool_file USING (repository, path)
             WHERE package.repository = ? AND kind = ? AND package.name = ? AND version = ?
               AND architecture = ? AND source_version = ?",
        )
        .and_then(|mut query| {
            let key = (
                archive.repository.as_str(),
                entry.kind.as_str(),
                indexed.name.as_str(),
                indexed.version.as_str(),
                indexed.architecture.as_str(),
                indexed.source_version.as_str(),
            );
            query
                .query_map(key, |row| {
                    let checksums = Checksums {
                        size: row.get::<_, i64>(2)?.cast_unsigned(),
                        md5: row.get(3)?,
                        sha1: row.get(4)?,
                        sha256: row.get(5)?,
                    };
                    Ok((row.get(0)?, row.get(1)?, checksums))
                })?
                .collect()
        })
        .during("look for a package")?;
    let directory = pool::directory(&entry.component, &indexed.source);
    let has = |(_, path, checksums): &(i64, String, Checksums)| {
        indexed.files.iter().any(|listed| {
            *path == format!("{directory}/{}", listed.name)
                && listed.compare(checksums).is_ok()
                && disk::has_size(&archive.directory.join(path), checksums.size)
        })
    };
    let is_whole = rows.len() == indexed.files.len() && rows.iter().all(has);
    Ok(rows.first().filter(|_| is_whole).map(|(id, ..)| *id))
}

/// Reads a package, which must be what the index says of it.
fn read(
    archive: &ArchiveDir,
    stock: &Stock,
    entry: &Entry,
) -> Result<(Package, Vec<Incoming>), Error> {
    let indexed = &entry.indexed;
    let directory = stock.root.join(&indexed.directory);
    let first = match entry.kind {
        Kind::Dsc => dsc(entry)?,
        Kind::Deb | Kind::Udeb => &indexed.files[0].name,
    };
    let path = directory.join(first.as_str());
    let component = Some(&entry.component);
    let (package, files) = match entry.kind {
        Kind::Dsc => prepare::read_source(archive, &path, &[directory], component)?,
        Kind::Deb | Kind::Udeb => {
            let source = (&indexed.source, &indexed.source_version);
            let (package, file) = prepare::read_binary(source, &path, component)?;
            (package, vec![file])
        }
    };
    let fault = |fault: String| Error::Fault {
        file: path.display().to_string(),
        fault,
    };
    if (package.kind, package.title()) != (entry.kind, entry.title()) {
        let (own, listed) = (package.title(), entry.title());
        return Err(fault(format!("is {own}, but the index says {listed}")));
    }
    if files.len() != indexed.files.len() {
        return Err(fault("lists other files than the index".into()));
    }
    for file in &files {
        let listed = indexed.files.iter().find(|listed| listed.name == file.name);
        let differs = match listed {
            Some(listed) => listed.compare(&file.checksums).err(),
            None => Some("is not in the index".to_owned()),
        };
        if let Some(differs) = differs {
            let name = &file.name;
            return Err(fault(format!("{name} is not as in the index: {differs}")));
        }
    }
    Ok((package, files))
}

/// Name of the .dsc that Sources lists.
fn dsc(entry: &Entry) -> Result<&FileName, Error> {
    let is_dsc = |name: &&FileName| {
        Path::new(name.as_str())
            .extension()
            .is_some_and(|end| end == "dsc")
    };
    let mut names = entry.indexed.files.iter().map(|file| &file.name);
    names.find(is_dsc).ok_or_else(|| Error::Fault {
        file: entry.title(),
        fault: "the index lists no .dsc".into(),
    })
}

/// Places and notes packages; where one is refused, one by one.
fn take_in(
    archive: &ArchiveDir,
    part: &[Found<'_>],
    taken: &mut Taken,
    fault: &mut dyn FnMut(Error),
) -> Result<(), Error> {
    match note(archive, part) {
        Ok(ids) => {
            let numbers = part.iter().map(|found| found.number);
            taken.0.extend(numbers.zip(ids));
            Ok(())
        }
        Err(refused @ (Error::OtherContent { .. } | Error::OtherFiles { .. })) => {
            if part.len() == 1 {
                fault(refused);
                return Ok(());
            }
            part.chunks(1)
                .try_for_each(|one| take_in(archive, one, taken, fault))
        }
        Err(error) => Err(error),
    }
}

fn note(archive: &ArchiveDir, part: &[Found<'_>]) -> Result<Vec<i64>, Error> {
    let files: Vec<&Incoming> = part.iter().flat_map(|found| &found.files).collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    pool::place(archive, &files)?;
    archive.store.write(|tx| {
        part.iter()
            .map(|Found { entry, package, .. }| {
                let source = (&entry.indexed.source, &entry.indexed.source_version);
                put_package(tx, &archive.repository, source, package)
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
