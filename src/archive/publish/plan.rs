//! What a dist's files are to be: those that change are written to the scratch directory.
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::deb::release::IndexFile;
use crate::store::Transaction;

use super::super::assembly::{Assembled, Assembly, Before, FORMS, Packed, Piece, Published, SMALL};
use super::super::digests::{self, Digests, Sums};
use super::super::dist::Dist;
use super::super::index::{self, Changes, Entry, Index};
use super::super::pieces::{self, Form, Sizes};
use super::super::view::View;
use super::super::{ArchiveDir, Error, contents, disk, moment, release};
use super::rows::{self, Live};
use super::{Kind, Pass, Plan, Planned, by_hash, names_of};

/// Input of files that are compared with what is on disk.
const COMPARED: &str = "";
/// From so many packages in one place on, their text is not gathered before it is written.
const MANY: usize = 256;

/// What is planned for one dist.
struct Planning<'a> {
    tx: &'a Transaction<'a>,
    dist: &'a Dist,
    directory: &'a Path,
    live: &'a HashMap<String, Live>,
    changes: Changes,
    sums: digests::Kind,
}

impl Pass<'_> {
    /// Finds out what the dist's files are to be, and writes those that are new to the scratch directory.
    pub(super) fn plan(&mut self, tx: &Transaction<'_>, dist: Dist) -> Result<Plan, Error> {
        let directory = self.directory(&dist);
        let live = rows::live(tx, dist.id)?;
        let upto = moment::latest(tx, &self.archive.repository)?;
        let planning = Planning {
            tx,
            dist: &dist,
            directory: &directory,
            live: &live,
            changes: Changes::since(tx, dist.id, dist.published)?,
            sums: if dist.settings.sha512 {
                digests::Kind::WithSha512
            } else {
                digests::Kind::Usual
            },
        };
        let (mut files, mut pieces) = (Vec::new(), Vec::new());
        for index in index::indices(&dist.settings) {
            let names = index.changed(&planning.changes);
            let is_complete = planning.is_complete(&index);
            if is_complete && names.is_empty() {
                files.extend(planning.kept(&index));
                continue;
            }
            let before = if is_complete {
                planning.before(&index)?
            } else {
                None
            };
            let Some(after) = self.assemble(&planning, &index, &names, before.as_ref())? else {
                files.extend(planning.kept(&index));
                continue;
            };
            let number = Form::ALL.into_iter().zip(&after.files);
            for (form, (path, sums, states)) in number {
                if path.exists() {
                    self.adopt(sums, path)?;
                }
                files.push(Planned {
                    index: index_file(path_of(&index, form), sums),
                    input: index.input(),
                    states: states.clone(),
                    kind: Kind::Hashed,
                });
            }
            let known = rows::pieces(tx, dist.id, &index.path)?;
            pieces.push((index.path, known, after.pieces));
        }
        for (path, text) in release::of_indices(&dist.settings) {
            let sums = Digests::of(planning.sums, text.as_bytes());
            let is_there =
                fs::read(directory.join(&path)).is_ok_and(|present| present == text.as_bytes());
            if !is_there {
                self.stage(&sums, text.as_bytes())?;
            }
            files.push(Planned {
                index: index_file(path, &sums),
                input: COMPARED.to_owned(),
                states: Vec::new(),
                kind: Kind::Plain,
            });
        }
        Ok(Plan {
            dist,
            files,
            live,
            pieces,
            upto,
        })
    }

    /// Makes the files of an index: what changed alone where the others are known, else all; `None`: nothing did.
    fn assemble(
        &mut self,
        planning: &Planning<'_>,
        index: &Index,
        names: &BTreeSet<String>,
        before: Option<&Before>,
    ) -> Result<Option<Assembled>, Error> {
        let Planning { tx, dist, sums, .. } = planning;
        let view = View::now(dist.id);
        let packages = match before {
            Some(_) => Vec::new(),
            None => index.packages(tx, &view, "", None)?,
        };
        let is_empty = before.is_none() && packages.is_empty();
        if let Some(empty) = self.empty.get(&dist.settings.sha512).filter(|_| is_empty) {
            return Ok(Some(empty.clone()));
        }
        let archive = self.archive;
        let mut elsewhere = |digest: &[u8; 32]| elsewhere(archive, tx, digest);
        let name = self.scratch.path().join("index");
        let (name, memory, elsewhere) = (&name, &mut self.memory, &mut elsewhere);
        let assembly = if let Some(before) = before {
            planning.change(index, names, before, || {
                Assembly::begin(name, *sums, Some(before), memory, elsewhere)
            })?
        } else {
            let mut assembly = Assembly::begin(name, *sums, None, memory, elsewhere)?;
            index.entries(tx, &packages, &mut |entry| assembly.add(&entry))?;
            Some(assembly)
        };
        let assembled = assembly.map(Assembly::finish).transpose()?;
        if is_empty && let Some(assembled) = &assembled {
            self.empty.insert(dist.settings.sha512, assembled.clone());
        }
        Ok(assembled)
    }
}

impl Planning<'_> {
    /// Tells whether all forms of an index are there, made as they would be now.
    fn is_complete(&self, index: &Index) -> bool {
        Form::ALL.into_iter().all(|form| {
            let path = path_of(index, form);
            self.live.get(&path).is_some_and(|live| {
                live.input == index.input()
                    && live.index.sha512.is_some() == self.dist.settings.sha512
                    && names_of(self.directory, &live.index)
                        .iter()
                        .all(|hashed| disk::has_size(hashed, live.index.size))
            })
        })
    }

    /// The files of an index as they are.
    fn kept(&self, index: &Index) -> impl Iterator<Item = Planned> {
        Form::ALL.into_iter().filter_map(|form| {
            let live = self.live.get(&path_of(index, form))?;
            Some(Planned {
                index: live.index.clone(),
                input: live.input.clone(),
                states: live.states.clone(),
                kind: Kind::Hashed,
            })
        })
    }

    /// The files of an index and their pieces; `None`: they don't fit, or there is nothing to go on with.
    fn before(&self, index: &Index) -> Result<Option<Before>, Error> {
        let pieces = rows::pieces(self.tx, self.dist.id, &index.path)?;
        if pieces.is_empty() {
            return Ok(None);
        }
        let files = Form::ALL.map(|form| {
            let path = path_of(index, form);
            let live = self.live.get(&path)?;
            Some(Published {
                path: by_hash(self.directory, &path, &live.index.sha256),
                size: live.index.size,
                states: live.states.clone(),
            })
        });
        let [Some(plain), Some(gz), Some(xz), Some(zst)] = files else {
            return Ok(None);
        };
        let before = Before {
            files: [plain, gz, xz, zst],
            pieces,
        };
        Ok(before.fits().then_some(before))
    }

    /// Goes through the pieces: those with a change are made anew, in files that the first of them begins.
    fn change<'b>(
        &self,
        index: &Index,
        names: &BTreeSet<String>,
        before: &Before,
        begin: impl FnOnce() -> Result<Assembly<'b>, Error>,
    ) -> Result<Option<Assembly<'b>>, Error> {
        let mut begin = Some(begin);
        let mut assembly = None;
        let delta = match index.kind {
            index::Kind::Contents => Some(self.delta(index, names)?),
            index::Kind::Stanzas | index::Kind::Translation => None,
        };
        let places = match &delta {
            Some(delta) => places(&before.pieces, delta.keys()),
            None => places(&before.pieces, names.iter()),
        };
        let mut done = 0;
        for mut place in places {
            if place.end <= done {
                continue;
            }
            place.start = place.start.max(done);
            if delta.is_none() && names.len() >= MANY {
                let packages = self.packages_of(index, &before.pieces, &place)?;
                if packages.len() >= MANY {
                    let assembly = under_way(&mut assembly, &mut begin)?;
                    assembly.keep(done..place.start)?;
                    index.entries(self.tx, &packages, &mut |entry| assembly.add(&entry))?;
                    done = place.end;
                    continue;
                }
            }
            let entries = loop {
                let entries = match &delta {
                    Some(delta) => contents_of(before, &place, delta)?,
                    None => self.stanzas_of(index, &before.pieces, &place)?,
                };
                let size: usize = entries.iter().map(|entry| entry.text.len()).sum();
                // An end that became small goes together with a neighbour.
                if size as u64 >= SMALL || size == 0 {
                    break entries;
                }
                if place.end < before.pieces.len() {
                    place.end += 1;
                } else if place.start > done {
                    place.start -= 1;
                } else {
                    break entries;
                }
            };
            // The same files or descriptions in another version.
            if place.len() == 1 && before.pieces[place.start].is_of(&entries) {
                continue;
            }
            let assembly = under_way(&mut assembly, &mut begin)?;
            assembly.keep(done..place.start)?;
            assembly.add_place(&entries)?;
            done = place.end;
        }
        if let Some(assembly) = &mut assembly {
            assembly.keep(done..before.pieces.len())?;
        }
        Ok(assembly)
    }

    fn stanzas_of(
        &self,
        index: &Index,
        pieces: &[Piece],
        place: &Range<usize>,
    ) -> Result<Vec<Entry>, Error> {
        let packages = self.packages_of(index, pieces, place)?;
        let mut entries = Vec::new();
        index.entries(self.tx, &packages, &mut |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    fn packages_of(
        &self,
        index: &Index,
        pieces: &[Piece],
        place: &Range<usize>,
    ) -> Result<Vec<index::Package>, Error> {
        let first = &pieces[place.start].first;
        let end = pieces.get(place.end).map(|piece| piece.first.as_str());
        index.packages(self.tx, &View::now(self.dist.id), first, end)
    }

    /// What changes in a Contents index.
    fn delta(&self, index: &Index, names: &BTreeSet<String>) -> Result<contents::Delta, Error> {
        let [came, left] = index.came_and_left(&self.changes);
        let view = View::now(self.dist.id);
        let mut stay = BTreeSet::new();
        for name in names {
            let end = format!("{name}\0");
            let same = index.packages(self.tx, &view, name, Some(&end))?;
            stay.extend(same.into_iter().map(|package| package.id));
        }
        contents::delta(self.tx, &came, &left, &stay)
    }
}

/// The files under way, begun where there are none.
fn under_way<'a, 'b>(
    assembly: &'a mut Option<Assembly<'b>>,
    begin: &mut Option<impl FnOnce() -> Result<Assembly<'b>, Error>>,
) -> Result<&'a mut Assembly<'b>, Error> {
    if let Some(begin) = begin.take() {
        *assembly = Some(begin()?);
    }
    Ok(assembly.as_mut().expect("begun above"))
}

/// The lines of some pieces after a change; keys of the next piece are left to it.
fn contents_of(
    before: &Before,
    place: &Range<usize>,
    delta: &contents::Delta,
) -> Result<Vec<Entry>, Error> {
    let first = before.pieces[place.start].first.clone();
    let here = match before.pieces.get(place.end) {
        Some(next) => delta.range(first..next.first.clone()),
        None => delta.range(first..),
    };
    let here = here
        .map(|(path, locations)| (path.clone(), locations.clone()))
        .collect();
    Ok(contents::apply(&before.text(place.clone())?, &here))
}

/// Pieces that hold the keys, those side by side together.
fn places<'a>(pieces: &[Piece], keys: impl Iterator<Item = &'a String>) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for key in keys {
        let after = pieces.partition_point(|piece| piece.first <= *key);
        let number = after.saturating_sub(1);
        match places.last_mut() {
            Some(last) if last.end > number => {}
            Some(last) if last.end == number => last.end = number + 1,
            _ => places.push(number..number + 1),
        }
    }
    places
}

/// A compressed piece as another index has it; `None`: it is to be compressed.
pub(in super::super) fn elsewhere(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    digest: &[u8; 32],
) -> Option<Packed> {
    let dists = archive.directory.join("dists");
    let found = rows::elsewhere(tx, &dists, archive.repository.as_str(), digest).ok()??;
    let read = |form: usize| -> Option<pieces::Piece> {
        let (path, offset) = &found.places[form];
        let mut bytes = vec![0; usize::try_from(found.piece.length(form)).ok()?];
        let file = disk::open_regular(path).ok()?;
        file.read_exact_at(&mut bytes, *offset).ok()?;
        Some(pieces::Piece {
            bytes,
            sizes: Sizes {
                raw: found.piece.sizes[0],
                unpadded: found.piece.sizes[form],
            },
        })
    };
    let packed: Vec<pieces::Piece> = (0..FORMS).map(read).collect::<Option<_>>()?;
    packed.try_into().ok()
}

fn path_of(index: &Index, form: Form) -> String {
    format!("{}{}", index.path, form.extension())
}

fn index_file(path: String, sums: &Sums) -> IndexFile {
    IndexFile {
        path,
        size: sums.size,
        md5: sums.md5.clone(),
        sha256: sums.sha256.clone(),
        sha512: sums.sha512.clone(),
    }
}
