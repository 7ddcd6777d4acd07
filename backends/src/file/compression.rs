use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bzip2::read::MultiBzDecoder;
use bzip2::write::BzEncoder;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;
use serde::{Deserialize, Serialize};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Nobody waits longer for a base than for the bootstrap before it; more than this gains little.
const XZ_PRESET: u32 = 3;
/// The fastest.
const ZSTD_LEVEL: i32 = 1;

impl Compression {
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Bzip2,
        Compression::Xz,
        Compression::Zstd,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        }
    }

    /// File name of an archive.
    pub(super) fn archive(self) -> &'static str {
        match self {
            Compression::None => "root.tar",
            Compression::Gzip => "root.tar.gz",
            Compression::Bzip2 => "root.tar.bz2",
            Compression::Xz => "root.tar.xz",
            Compression::Zstd => "root.tar.zst",
        }
    }

    pub(super) fn reader(self, from: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Compression::None => Box::new(from),
            Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
            Compression::Bzip2 => Box::new(MultiBzDecoder::new(from)),
            Compression::Xz => Box::new(XzDecoder::new_multi_decoder(from)),
            Compression::Zstd => Box::new(zstd::Decoder::new(from)?),
        })
    }

    /// Compresses what `fill` writes; each format gets a checksum where it has one.
    pub(super) fn write<E: From<io::Error>>(
        self,
        mut to: impl Write,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = u32::try_from(threads).unwrap_or(1);
        match self {
            Compression::None => {
                fill(&mut to)?;
                to.flush()?;
            }
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(to, flate2::Compression::default());
                fill(&mut encoder)?;
                encoder.finish()?;
            }
            Compression::Bzip2 => {
                let mut encoder = BzEncoder::new(to, bzip2::Compression::default());
                fill(&mut encoder)?;
                encoder.finish()?;
            }
            Compression::Xz => {
                let stream = MtStreamBuilder::new()
                    .threads(threads)
                    .preset(XZ_PRESET)
                    .check(Check::Crc64)
                    .encoder()
                    .map_err(io::Error::from)?;
                let mut encoder = XzEncoder::new_stream(to, stream);
                fill(&mut encoder)?;
                encoder.finish()?;
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.multithread(threads)?;
                fill(&mut encoder)?;
                encoder.finish()?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// None of the names of [`Compression`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression; there are none, gzip, bzip2, xz and zstd")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Compression, UnknownCompression> {
        let mut all = Compression::ALL.into_iter();
        all.find(|compression| compression.as_str() == text)
            .ok_or_else(|| UnknownCompression(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let text = b"some text, some text, some text".repeat(1000);
        for compression in Compression::ALL {
            let mut archive = Vec::new();
            compression
                .write(&mut archive, |to| to.write_all(&text))
                .unwrap();
            let mut read = Vec::new();
            let mut reader = compression.reader(io::Cursor::new(archive)).unwrap();
            reader.read_to_end(&mut read).unwrap();

            assert_eq!(read, text, "{compression}");
            assert_eq!(compression.as_str().parse(), Ok(compression));
        }
    }
}
