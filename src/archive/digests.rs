//! Sums of a file that grows from kept parts and new ones: they go on from a state before the first new one.
use md5::Md5;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256, Sha512};

use crate::deb::hexadecimal;

/// A state is kept each so many bytes at first; a multiple of all block sizes.
const STEP: u64 = 16 << 10;
/// With so many states, every other is dropped, and the step is twice as long.
const MOST: usize = 128;

/// Which sums are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// MD5 and SHA-256.
    Usual,
    /// SHA-512 too.
    WithSha512,
}

/// What Release lists of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) sha256: String,
    pub(super) sha512: Option<String>,
}

#[derive(Clone)]
struct State {
    md5: Md5,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

/// Sums under way.
pub(super) struct Digests {
    size: u64,
    state: State,
    step: u64,
    /// The states so far, one a step.
    kept: Vec<Vec<u8>>,
}

impl Kind {
    fn state(self) -> State {
        State {
            md5: Md5::new(),
            sha256: Sha256::new(),
            sha512: match self {
                Kind::Usual => None,
                Kind::WithSha512 => Some(Sha512::new()),
            },
        }
    }
}

impl State {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.md5.serialize().to_vec();
        bytes.extend(self.sha256.serialize());
        if let Some(sha512) = &self.sha512 {
            bytes.extend(sha512.serialize());
        }
        bytes
    }

    /// Takes a state off the front; `None`: there is none that this program can read.
    fn read(from: &mut &[u8], kind: Kind) -> Option<State> {
        fn take<T: SerializableState>(from: &mut &[u8]) -> Option<T> {
            let mut state = SerializedState::<T>::default();
            let (bytes, rest) = from.split_at_checked(state.len())?;
            state.copy_from_slice(bytes);
            *from = rest;
            T::deserialize(&state).ok()
        }
        Some(State {
            md5: take(from)?,
            sha256: take(from)?,
            sha512: match kind {
                Kind::Usual => None,
                Kind::WithSha512 => Some(take(from)?),
            },
        })
    }
}

impl Digests {
    /// Begins an empty file.
    pub(super) fn new(kind: Kind) -> Digests {
        Digests {
            size: 0,
            state: kind.state(),
            step: STEP,
            kept: Vec::new(),
        }
    }

    /// Goes on from the last of the kept states that is not behind `offset`; [`Digests::size`] tells where that is.
    pub(super) fn resume(kept: &[u8], kind: Kind, offset: u64) -> Digests {
        let mut digests = Digests::new(kind);
        let Some((step, mut rest)) = kept.split_first_chunk() else {
            return digests;
        };
        match u64::from_le_bytes(*step) {
            step if step > 0 && step.is_multiple_of(STEP) => digests.step = step,
            _ => return digests,
        }
        while digests.size + digests.step <= offset {
            let before = rest;
            let Some(state) = State::read(&mut rest, kind) else {
                break;
            };
            digests.state = state;
            digests.size += digests.step;
            let length = before.len() - rest.len();
            digests.kept.push(before[..length].to_vec());
        }
        digests
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.step - self.size % self.step).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.state.update(now);
            self.size += now.len() as u64;
            if self.size.is_multiple_of(self.step) {
                self.keep();
            }
            bytes = later;
        }
    }

    fn keep(&mut self) {
        self.kept.push(self.state.bytes());
        if self.kept.len() == MOST {
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.step *= 2;
        }
    }

    /// The sums, and the states to keep: their step, then one after another.
    pub(super) fn finish(self) -> (Sums, Vec<u8>) {
        let mut kept = self.step.to_le_bytes().to_vec();
        kept.extend(self.kept.concat());
        let State {
            md5,
            sha256,
            sha512,
        } = self.state;
        let sums = Sums {
            size: self.size,
            md5: hexadecimal(&md5.finalize()),
            sha256: hexadecimal(&sha256.finalize()),
            sha512: sha512.map(|sha512| hexadecimal(&sha512.finalize())),
        };
        (sums, kept)
    }

    /// Sums of a text.
    pub(super) fn of(kind: Kind, bytes: &[u8]) -> Sums {
        let mut digests = Digests::new(kind);
        digests.update(bytes);
        digests.finish().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: u64) -> Vec<u8> {
        (0..length).map(|n| (n * n % 251) as u8).collect()
    }

    #[test]
    fn sums_go_on_from_any_offset() {
        for kind in [Kind::Usual, Kind::WithSha512] {
            let old = bytes(3 * STEP + 17);
            let mut digests = Digests::new(kind);
            digests.update(&old);
            let (_, kept) = digests.finish();
            for (offset, expected) in [
                (0, 0),
                (STEP - 1, 0),
                (STEP, STEP),
                (2 * STEP + 5, 2 * STEP),
                (9 * STEP, 3 * STEP),
            ] {
                let mut new = old.clone();
                new.truncate(usize::try_from(offset).unwrap().min(old.len()));
                new.extend_from_slice(b"something else");
                let mut digests = Digests::resume(&kept, kind, offset);
                assert_eq!(digests.size(), expected);
                digests.update(&new[usize::try_from(expected).unwrap()..]);
                assert_eq!(digests.finish().0, Digests::of(kind, &new));
            }
        }
    }

    #[test]
    fn the_states_of_a_large_file_are_few_and_go_on() {
        let old = bytes(5 * MOST as u64 * STEP + 99);
        let mut digests = Digests::new(Kind::Usual);
        digests.update(&old);
        let (_, kept) = digests.finish();
        assert!(kept.len() < MOST * 256, "{}", kept.len());
        for offset in [STEP, 8 * STEP, 77 * STEP + 1, old.len() as u64] {
            let mut digests = Digests::resume(&kept, Kind::Usual, offset);
            let size = digests.size();
            assert!(size <= offset && offset - size < 8 * STEP, "{size}");
            digests.update(&old[usize::try_from(size).unwrap()..]);
            assert_eq!(
                digests.finish(),
                (Digests::of(Kind::Usual, &old), kept.clone())
            );
        }
    }

    #[test]
    fn states_of_other_sums_are_not_taken() {
        let mut digests = Digests::new(Kind::Usual);
        digests.update(&bytes(STEP));
        let (_, kept) = digests.finish();
        let resumed = Digests::resume(&kept, Kind::WithSha512, STEP);
        assert_eq!(resumed.size(), 0);
    }
}
