//! The forms in which an index is published, made of pieces that are compressed on their own.
//!
//! A file is [`Form::header`], its pieces, and [`Form::trailer`]: whoever keeps the pieces compresses only those that
//! change. gzip has a member and zstd a frame for each; xz has a block, for apt reads the first of several streams only.
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

mod xz;

/// A third of the time of level 8, for a twentieth more bytes.
const ZSTD_LEVEL: i32 = 4;

/// How an index file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    Plain,
    Gz,
    Xz,
    Zst,
}

/// Compressed text that can stand between others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub bytes: Vec<u8>,
    pub sizes: Sizes,
}

/// What the end of a file has to know of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of the text.
    pub raw: u64,
    /// Of the bytes; in xz without the padding that makes them a multiple of four.
    pub unpadded: u64,
}

impl Form {
    pub const ALL: [Form; 4] = [Form::Plain, Form::Gz, Form::Xz, Form::Zst];

    pub fn extension(self) -> &'static str {
        match self {
            Form::Plain => "",
            Form::Gz => ".gz",
            Form::Xz => ".xz",
            Form::Zst => ".zst",
        }
    }

    /// Compresses a text that is not empty.
    pub fn compress(self, text: &[u8]) -> io::Result<Piece> {
        assert!(!text.is_empty(), "a piece is never empty");
        let bytes = match self {
            Form::Plain => text.to_vec(),
            Form::Gz => gzip(text)?,
            Form::Xz => return xz::block(text),
            Form::Zst => zstd(text)?,
        };
        let sizes = Sizes {
            raw: text.len() as u64,
            unpadded: bytes.len() as u64,
        };
        Ok(Piece { bytes, sizes })
    }

    /// What a file begins with.
    pub fn header(self) -> &'static [u8] {
        match self {
            Form::Plain | Form::Gz | Form::Zst => &[],
            Form::Xz => &xz::HEADER,
        }
    }

    /// What a file of these pieces ends with.
    ///
    /// One without pieces is an empty member or frame: no bytes at all are not of gzip or zstd.
    pub fn trailer(self, pieces: &[Sizes]) -> Vec<u8> {
        match self {
            Form::Xz => xz::trailer(pieces),
            Form::Gz if pieces.is_empty() => gzip(&[]).expect("memory can be written"),
            Form::Zst if pieces.is_empty() => zstd(&[]).expect("memory can be written"),
            Form::Plain | Form::Gz | Form::Zst => Vec::new(),
        }
    }
}

/// A member without name and time.
fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}

/// A frame that tells the size of the text.
fn zstd(text: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(text, ZSTD_LEVEL)
}

#[cfg(test)]
mod tests;
