//! Files of an index, in all forms at once, from pieces of the files before and new ones.
//!
//! What stands before the first new piece is copied by the kernel and not read: its sums go on from a kept state.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::iter::Peekable;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::vec::IntoIter;

use sha2::{Digest, Sha256};

use super::Error;
use super::digests::{Digests, Kind, Sums};
use super::disk::{self, Doing};
use super::index::Entry;
use super::pieces::{self, Form, Sizes};

/// Size of a piece's text, about. Smaller ones cost bytes, larger ones time.
const PIECE: usize = 16 << 10;
/// A piece that became smaller is made anew together with a neighbour.
pub(super) const SMALL: u64 = (PIECE / 4) as u64;
/// A piece is split when it became this much larger.
const LARGE: usize = PIECE * 3 / 2;
const BUFFER: usize = 256 << 10;
/// Text of all pieces that are remembered in one pass.
const REMEMBERED: usize = 8 << 20;

/// A piece of a published index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Key of its first entry; empty in the first piece.
    pub(super) first: String,
    /// SHA-256 of its text.
    pub(super) digest: [u8; 32],
    /// In the order of [`Form::ALL`]; without the padding of xz.
    pub(super) sizes: [u64; FORMS],
}

pub(super) const FORMS: usize = Form::ALL.len();

impl Piece {
    /// Tells whether these entries are its text.
    pub(super) fn is_of(&self, entries: &[Entry]) -> bool {
        let mut digest = Sha256::new();
        for entry in entries {
            digest.update(&entry.text);
        }
        *digest.finalize() == self.digest
    }

    /// Bytes in the file.
    pub(super) fn length(&self, form: usize) -> u64 {
        match Form::ALL[form] {
            Form::Xz => self.sizes[form].next_multiple_of(4),
            Form::Plain | Form::Gz | Form::Zst => self.sizes[form],
        }
    }

    pub(super) fn sizes(&self, form: usize) -> Sizes {
        Sizes {
            raw: self.sizes[0],
            unpadded: self.sizes[form],
        }
    }
}

/// A published file, and what is known of it.
pub(super) struct Published {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) states: Vec<u8>,
}

/// The files that are there, in the order of [`Form::ALL`], and their pieces.
pub(super) struct Before {
    pub(super) files: [Published; FORMS],
    pub(super) pieces: Vec<Piece>,
}

impl Before {
    /// Tells whether the files have the sizes that their pieces make.
    pub(super) fn fits(&self) -> bool {
        (0..FORMS).all(|number| {
            let form = Form::ALL[number];
            let sizes: Vec<Sizes> = self
                .pieces
                .iter()
                .map(|piece| piece.sizes(number))
                .collect();
            let lengths = self.pieces.iter().map(|piece| piece.length(number));
            let ends = form.header().len() + form.trailer(&sizes).len();
            ends as u64 + lengths.sum::<u64>() == self.files[number].size
        })
    }

    /// Text of some pieces.
    pub(super) fn text(&self, pieces: std::ops::Range<usize>) -> Result<String, Error> {
        let offset: u64 = self.pieces[..pieces.start]
            .iter()
            .map(|piece| piece.sizes[0])
            .sum();
        let length: u64 = self.pieces[pieces].iter().map(|piece| piece.sizes[0]).sum();
        let path = &self.files[0].path;
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        disk::open_regular(path)
            .and_then(|file| file.read_exact_at(&mut text, offset))
            .and_then(|()| String::from_utf8(text).map_err(io::Error::other))
            .doing("read", path)
    }
}

/// What pieces became when they were compressed, by the digest of their text.
#[derive(Default)]
pub(super) struct Memory {
    pieces: HashMap<[u8; 32], Rc<Packed>>,
    size: usize,
}

/// By form; nothing of the plain one.
pub(super) type Packed = [pieces::Piece; FORMS];

impl Memory {
    /// Compresses a text; `elsewhere` may know where that was done before.
    fn packed(
        &mut self,
        digest: [u8; 32],
        text: &str,
        elsewhere: &mut dyn FnMut(&[u8; 32]) -> Option<Packed>,
    ) -> io::Result<Rc<Packed>> {
        if let Some(packed) = self.pieces.get(&digest) {
            return Ok(Rc::clone(packed));
        }
        let packed = if let Some(packed) = elsewhere(&digest) {
            packed
        } else {
            let [plain, gz, xz, zst] = Form::ALL.map(|form| form.compress(text.as_bytes()));
            [plain?, gz?, xz?, zst?]
        };
        let packed = Rc::new(packed);
        if self.size + text.len() > REMEMBERED {
            self.pieces.clear();
            self.size = 0;
        }
        self.size += text.len();
        self.pieces.insert(digest, Rc::clone(&packed));
        Ok(packed)
    }
}

/// Files under way.
pub(super) struct Assembly<'a> {
    before: Option<&'a Before>,
    files: Vec<Growing<'a>>,
    pieces: Vec<Piece>,
    memory: &'a mut Memory,
    elsewhere: &'a mut dyn FnMut(&[u8; 32]) -> Option<Packed>,
    /// Entries that are not yet in a piece.
    text: String,
    first: String,
    /// Where pieces are to begin, the next one first; else they are cut by size.
    cuts: Peekable<IntoIter<String>>,
}

/// The files of an index as they are to be.
#[derive(Clone)]
pub(super) struct Assembled {
    /// In the order of [`Form::ALL`]: where it is, its sums, and the states to keep.
    pub(super) files: Vec<(PathBuf, Sums, Vec<u8>)>,
    pub(super) pieces: Vec<Piece>,
}

struct Growing<'a> {
    form: Form,
    kind: Kind,
    path: PathBuf,
    file: File,
    before: Option<(File, &'a Published)>,
    size: u64,
    /// `None`: all is as it was.
    digests: Option<Digests>,
}

impl<'a> Assembly<'a> {
    /// Begins files `NAME.FORM` in a directory.
    pub(super) fn begin(
        name: &Path,
        kind: Kind,
        before: Option<&'a Before>,
        memory: &'a mut Memory,
        elsewhere: &'a mut dyn FnMut(&[u8; 32]) -> Option<Packed>,
    ) -> Result<Assembly<'a>, Error> {
        let mut files = Vec::with_capacity(FORMS);
        for (number, form) in Form::ALL.into_iter().enumerate() {
            let path = name.with_extension(format!("{form:?}"));
            disk::remove_file(&path).doing("remove", &path)?;
            let mut growing = Growing {
                form,
                kind,
                file: disk::write_new(&path, &[]).doing("write", &path)?,
                path,
                before: None,
                size: 0,
                digests: None,
            };
            if let Some(before) = before {
                let published = &before.files[number];
                let file = disk::open_regular(&published.path).doing("open", &published.path)?;
                growing.before = Some((file, published));
                growing.keep(0, form.header().len() as u64)?;
            } else {
                growing.digests = Some(Digests::new(kind));
                growing.write(form.header())?;
            }
            files.push(growing);
        }
        Ok(Assembly {
            before,
            files,
            pieces: Vec::new(),
            memory,
            elsewhere,
            text: String::new(),
            first: String::new(),
            cuts: Vec::new().into_iter().peekable(),
        })
    }

    /// Cuts pieces where another index has them, so that most are the same.
    pub(super) fn cut_as(&mut self, pieces: Vec<Piece>) {
        let cuts: Vec<String> = pieces.into_iter().map(|piece| piece.first).collect();
        self.cuts = cuts.into_iter().peekable();
    }

    /// Goes on with pieces of the files before.
    pub(super) fn keep(&mut self, pieces: std::ops::Range<usize>) -> Result<(), Error> {
        self.end_piece()?;
        let Some(before) = self.before.filter(|_| !pieces.is_empty()) else {
            return Ok(());
        };
        for (number, file) in self.files.iter_mut().enumerate() {
            let length =
                |pieces: &[Piece]| -> u64 { pieces.iter().map(|piece| piece.length(number)).sum() };
            let offset = file.form.header().len() as u64 + length(&before.pieces[..pieces.start]);
            file.keep(offset, length(&before.pieces[pieces.clone()]))?;
        }
        let is_first = self.pieces.is_empty();
        let start = self.pieces.len();
        self.pieces.extend_from_slice(&before.pieces[pieces]);
        if is_first {
            self.pieces[start].first.clear();
        }
        Ok(())
    }

    /// Goes on with an entry.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut is_cut = self.text.len() >= LARGE;
        while self.cuts.next_if(|cut| *cut <= entry.key).is_some() {
            is_cut = true;
        }
        if is_cut || (self.cuts.peek().is_none() && self.text.len() >= PIECE) {
            self.end_piece()?;
        }
        if self.text.is_empty() {
            self.first.clone_from(&entry.key);
        }
        self.text.push_str(&entry.text);
        Ok(())
    }

    /// Goes on with all entries of a place, in pieces of about the same size.
    pub(super) fn add_place(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let total: usize = entries.iter().map(|entry| entry.text.len()).sum();
        let size = if total < LARGE {
            usize::MAX
        } else {
            total.div_ceil(total.div_ceil(PIECE))
        };
        for entry in entries {
            if self.text.len() >= size {
                self.end_piece()?;
            }
            if self.text.is_empty() {
                self.first.clone_from(&entry.key);
            }
            self.text.push_str(&entry.text);
        }
        self.end_piece()
    }

    fn end_piece(&mut self) -> Result<(), Error> {
        if self.text.is_empty() {
            return Ok(());
        }
        let digest: [u8; 32] = Sha256::digest(&self.text).into();
        let packed = self
            .memory
            .packed(digest, &self.text, self.elsewhere)
            .doing("compress", &self.files[0].path)?;
        for (file, piece) in self.files.iter_mut().zip(packed.iter()) {
            file.write(&piece.bytes)?;
        }
        let first = std::mem::take(&mut self.first);
        self.pieces.push(Piece {
            first: if self.pieces.is_empty() {
                String::new()
            } else {
                first
            },
            digest,
            sizes: std::array::from_fn(|form| packed[form].sizes.unpadded),
        });
        self.text.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Assembled, Error> {
        self.end_piece()?;
        let mut files = Vec::with_capacity(FORMS);
        for (number, mut file) in self.files.into_iter().enumerate() {
            let sizes: Vec<Sizes> = self
                .pieces
                .iter()
                .map(|piece| piece.sizes(number))
                .collect();
            file.write(&file.form.trailer(&sizes))?;
            file.changed()?;
            let digests = file.digests.expect("brought to where the file is");
            let (sums, states) = digests.finish();
            files.push((file.path, sums, states));
        }
        Ok(Assembled {
            files,
            pieces: self.pieces,
        })
    }
}

impl Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.changed()?.update(bytes);
        disk::append(&mut self.file, &self.path, bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Goes on with bytes of the file before.
    fn keep(&mut self, mut offset: u64, mut length: u64) -> Result<(), Error> {
        let Some((before, _)) = &self.before else {
            return Ok(());
        };
        if self.digests.is_none() && offset == self.size {
            disk::copy_range(before, offset, (&mut self.file, &self.path), length)
                .doing("write", &self.path)?;
            self.size += length;
            return Ok(());
        }
        self.changed()?;
        let mut buffer = vec![0; BUFFER];
        while length > 0 {
            let now = usize::try_from(length).map_or(BUFFER, |length| length.min(BUFFER));
            let bytes = &mut buffer[..now];
            if let Some((before, published)) = &self.before {
                before
                    .read_exact_at(bytes, offset)
                    .doing("read", &published.path)?;
            }
            self.write(bytes)?;
            offset += now as u64;
            length -= now as u64;
        }
        Ok(())
    }

    /// The sums, brought to where the file is.
    fn changed(&mut self) -> Result<&mut Digests, Error> {
        if self.digests.is_none() {
            let states = self.before.as_ref().map(|(_, published)| &published.states);
            let mut digests =
                Digests::resume(states.map_or(&[], Vec::as_slice), self.kind, self.size);
            let mut buffer = vec![0; BUFFER];
            while let Some((before, published)) = &self.before
                && digests.size() < self.size
            {
                let left = usize::try_from(self.size - digests.size()).unwrap_or(BUFFER);
                let bytes = &mut buffer[..left.min(BUFFER)];
                before
                    .read_exact_at(bytes, digests.size())
                    .doing("read", &published.path)?;
                digests.update(bytes);
            }
            self.digests = Some(digests);
        }
        Ok(self.digests.as_mut().expect("set above"))
    }
}
