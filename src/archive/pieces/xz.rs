//! Blocks of one xz stream (xz-file-format.txt 1.2): liblzma makes each, here they get an index.
use std::io::{self, Write};

use liblzma::stream::{Check, Filters, LzmaOptions, MatchFinder, Stream};
use liblzma::write::XzEncoder;

use super::{Piece, Sizes};

/// Magic bytes, flags (CRC64 is 4), and their CRC32.
pub(super) const HEADER: [u8; 12] = *b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46";
const FOOTER: usize = 12;

const PRESET: u32 = 2;
/// Candidates for a match: more find hardly longer ones in a text as short as a piece.
const DEPTH: u32 = 8;
/// The preset's (xz(1)).
const DICTIONARY: usize = 2 << 20;

/// Compresses a text as a block: cut out of a stream that has no other.
pub(super) fn block(text: &[u8]) -> io::Result<Piece> {
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream(text.len())?);
    encoder.write_all(text)?;
    let mut bytes = encoder.finish()?;

    let (rest, _) = bytes.split_last_chunk::<4>().expect("a footer");
    let (_, size) = rest.split_last_chunk::<4>().expect("a footer");
    let index = (u32::from_le_bytes(*size) as usize + 1) * 4;
    let trailer = bytes.split_off(bytes.len() - FOOTER - index);
    bytes.drain(..HEADER.len());

    let length = bytes.len() as u64;
    let sizes = (0..4)
        .map(|padding| Sizes {
            raw: text.len() as u64,
            unpadded: length - padding,
        })
        .find(|sizes| self::trailer(&[*sizes]) == trailer)
        .expect("liblzma writes one block of CRC64");
    Ok(Piece { bytes, sizes })
}

/// With a dictionary as long as the text: the encoder's memory is several times the preset's, whatever it is given.
fn stream(length: usize) -> io::Result<Stream> {
    let dictionary = length.next_power_of_two().clamp(4 << 10, DICTIONARY);
    let mut options = LzmaOptions::new_preset(PRESET)?;
    options
        .dict_size(u32::try_from(dictionary).expect("not more than the preset's"))
        .depth(DEPTH)
        // Half the tables of the preset's, which are cleared for each piece.
        .match_finder(MatchFinder::HashChain3)
        // Contexts that a short text never fills: without them it takes two thirds of the time, and as many bytes.
        .literal_context_bits(0)
        .position_bits(0);
    Ok(Stream::new_stream_encoder(
        Filters::new().lzma2(&options),
        Check::Crc64,
    )?)
}

/// Index and footer.
pub(super) fn trailer(blocks: &[Sizes]) -> Vec<u8> {
    let mut bytes = vec![0];
    number(&mut bytes, blocks.len() as u64);
    for block in blocks {
        number(&mut bytes, block.unpadded);
        number(&mut bytes, block.raw);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let backward = u32::try_from(bytes.len() / 4).expect("an index is smaller than 16 GiB");
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());

    let mut fields = backward.to_le_bytes().to_vec();
    fields.extend(&HEADER[6..8]);
    bytes.extend(crc32fast::hash(&fields).to_le_bytes());
    bytes.extend(fields);
    bytes.extend(b"YZ");
    bytes
}

/// Seven bits a byte, the lowest first; all but the last have the eighth.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}
