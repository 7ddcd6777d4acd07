//! Pieces of indices against their files, and texts against the rows.
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::deb::hexadecimal;
use crate::deb::release::IndexFile;
use crate::store::Transaction;

use super::super::assembly::Piece;
use super::super::index::{self, Index};
use super::super::pieces::Form;
use super::super::view::View;
use super::super::{Error, disk};
use super::files;

/// Size and SHA-256 of the text that the rows make.
pub(super) fn text(
    tx: &Transaction<'_>,
    index: &Index,
    view: &View,
) -> Result<(u64, String), Error> {
    let (mut size, mut digest) = (0, Sha256::new());
    let packages = index.packages(tx, view, "", None)?;
    index.entries(tx, &packages, &mut |entry| {
        size += entry.text.len() as u64;
        digest.update(&entry.text);
        Ok(())
    })?;
    Ok((size, hexadecimal(&digest.finalize())))
}

/// A form of an index: what is listed, and where it is.
pub(super) struct Formed<'a> {
    pub(super) form: Form,
    pub(super) listed: &'a IndexFile,
    pub(super) path: &'a Path,
}

/// Tells which of an index's files does not hold its pieces, and how.
pub(super) fn pieces(
    kind: index::Kind,
    forms: &[Formed<'_>],
    pieces: &[Piece],
) -> Result<(), String> {
    for (number, Formed { form, listed, path }) in forms.iter().enumerate() {
        let sizes: Vec<_> = pieces.iter().map(|piece| piece.sizes(number)).collect();
        let lengths = pieces.iter().map(|piece| piece.length(number));
        let trailer = form.trailer(&sizes);
        let start = form.header().len() as u64;
        let size = lengths.fold(start + trailer.len() as u64, u64::saturating_add);
        if size != listed.size {
            return Err(format!("its pieces make {size} bytes, not {}", listed.size));
        }
        let file = disk::open_regular(path).map_err(|error| format!("can't be read: {error}"))?;
        let mut offset = start;
        for (position, piece) in pieces.iter().enumerate() {
            let part = Part {
                file: &file,
                offset,
                end: offset + piece.length(number),
            };
            let trailer = form.trailer(&sizes[position..=position]);
            let whole = form.header().chain(part).chain(&*trailer);
            let is_first = position == 0;
            let is_sound = files::decoded(*form, whole)
                .and_then(|mut text| holds(kind, piece, is_first, &mut text));
            if !is_sound.unwrap_or(false) {
                return Err(format!("piece {position} is not what is noted of it"));
            }
            offset += piece.length(number);
        }
    }
    Ok(())
}

/// Tells whether a text is that of a piece.
fn holds(
    kind: index::Kind,
    piece: &Piece,
    is_first: bool,
    text: &mut dyn Read,
) -> io::Result<bool> {
    let key = match kind {
        index::Kind::Stanzas | index::Kind::Translation => format!("Package: {}\n", piece.first),
        index::Kind::Contents => format!("{} ", piece.first),
    };
    let mut head = Vec::new();
    text.take(key.len() as u64).read_to_end(&mut head)?;
    let begins = if is_first {
        piece.first.is_empty()
    } else {
        head == key.as_bytes()
    };
    let mut digest = Sha256::new();
    digest.update(&head);
    io::copy(text, &mut Hashing(&mut digest))?;
    Ok(begins && digest.finalize()[..] == piece.digest)
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part of a file.
struct Part<'a> {
    file: &'a std::fs::File,
    offset: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let most = bytes.len().min(left);
        let read = self.file.read_at(&mut bytes[..most], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
