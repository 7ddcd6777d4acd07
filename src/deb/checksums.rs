use std::io::{self, Read};

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Error, FileName, Paragraph};

/// Most files that one .dsc or .changes may list.
const MAX_FILES: usize = 5000;

/// Size and digests (lower-case hexadecimal) of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    pub size: u64,
    pub md5: String,
    pub sha1: String,
    pub sha256: String,
}

impl Checksums {
    /// Reads to the end, computing all digests in one pass.
    pub fn of(reader: &mut dyn Read) -> io::Result<Checksums> {
        Summing::new(reader).finish()
    }
}

/// Reader that computes the digests of all that is read through it.
pub struct Summing<R> {
    inner: R,
    size: u64,
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

impl<R: Read> Summing<R> {
    pub fn new(inner: R) -> Summing<R> {
        Summing {
            inner,
            size: 0,
            md5: Md5::new(),
            sha1: Sha1::new(),
            sha256: Sha256::new(),
        }
    }

    /// Reads the rest.
    pub fn finish(mut self) -> io::Result<Checksums> {
        let mut buffer = [0; 8 << 10];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Checksums {
            size: self.size,
            md5: hexadecimal(&self.md5.finalize()),
            sha1: hexadecimal(&self.sha1.finalize()),
            sha256: hexadecimal(&self.sha256.finalize()),
        })
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = &buffer[..read];
        self.md5.update(bytes);
        self.sha1.update(bytes);
        self.sha256.update(bytes);
        self.size += read as u64;
        Ok(read)
    }
}

/// Lower-case hexadecimal digits.
pub fn hexadecimal(digest: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let digits = digest
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// A file that a .dsc or .changes lists, merged from Files, Checksums-Sha1 and Checksums-Sha256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    pub name: FileName,
    pub size: u64,
    pub md5: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    /// Only in a .changes.
    pub section: Option<String>,
    pub priority: Option<String>,
}

impl ListedFile {
    /// Names the first thing in which `actual` differs: `Checksums-Sha256: expected …, got …`.
    pub fn compare(&self, actual: &Checksums) -> Result<(), String> {
        self.compare_size(actual.size)?;
        for (field, expected, actual) in [
            (SHA256, &self.sha256, &actual.sha256),
            (SHA1, &self.sha1, &actual.sha1),
            (FILES, &self.md5, &actual.md5),
        ] {
            if let Some(expected) = expected
                && expected != actual
            {
                return Err(format!("{field}: expected {expected}, got {actual}"));
            }
        }
        Ok(())
    }

    /// As [`ListedFile::compare`], before anything is read.
    pub fn compare_size(&self, actual: u64) -> Result<(), String> {
        if self.size == actual {
            return Ok(());
        }
        Err(format!("size: expected {}, got {actual}", self.size))
    }

    /// What a stanza of Packages says of its file.
    pub(super) fn of_packages(stanza: &Paragraph, name: FileName) -> Result<ListedFile, Error> {
        let digest = |field: &str, length| {
            let digest = stanza.get(field);
            digest
                .map(|digest| parse_digest(field, length, digest))
                .transpose()
        };
        Ok(ListedFile {
            name,
            size: parse_size("Size", stanza.required("Size")?)?,
            md5: digest("MD5sum", 32)?,
            sha1: digest("SHA1", 40)?,
            sha256: digest("SHA256", 64)?,
            section: None,
            priority: None,
        })
    }

    /// Lists that have a digest and a size must name the same files with the same sizes.
    pub(super) fn merge(paragraph: &Paragraph, kind: Kind) -> Result<Vec<ListedFile>, Error> {
        let mut files: Vec<ListedFile> = Vec::new();
        for line in lines(paragraph.required(FILES)?) {
            if files.len() == MAX_FILES {
                return Err(fault(FILES, format!("lists more than {MAX_FILES} files")));
            }
            let file = kind.parse(line)?;
            if files.iter().any(|other| other.name == file.name) {
                return Err(fault(FILES, format!("{} is listed twice", file.name)));
            }
            files.push(file);
        }
        if files.is_empty() {
            return Err(fault(FILES, "lists no file".into()));
        }
        for (field, length, slot) in DIGESTS {
            if let Some(value) = paragraph.get(field) {
                add_digests(&mut files, field, *length, *slot, value)?;
            }
        }
        Ok(files)
    }
}

/// Which words a line of Files has.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `MD5 SIZE NAME`
    Dsc,
    /// `MD5 SIZE SECTION PRIORITY NAME`
    Changes,
}

const FILES: &str = "Files";
const SHA1: &str = "Checksums-Sha1";
const SHA256: &str = "Checksums-Sha256";

type Slot = fn(&mut ListedFile) -> &mut Option<String>;
const DIGESTS: &[(&str, usize, Slot)] = &[
    (SHA1, 40, |file| &mut file.sha1),
    (SHA256, 64, |file| &mut file.sha256),
];

impl Kind {
    fn parse(self, line: &str) -> Result<ListedFile, Error> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (md5, size, section, priority, name) = match (self, words.as_slice()) {
            (Kind::Dsc, &[md5, size, name]) => (md5, size, None, None, name),
            (Kind::Changes, &[md5, size, section, priority, name]) => {
                (md5, size, Some(section), Some(priority), name)
            }
            (Kind::Dsc, _) => return Err(fault(FILES, format!("not MD5 SIZE NAME: {line:?}"))),
            (Kind::Changes, _) => {
                let form = "MD5 SIZE SECTION PRIORITY NAME";
                return Err(fault(FILES, format!("not {form}: {line:?}")));
            }
        };
        Ok(ListedFile {
            name: file_name(FILES, name)?,
            size: parse_size(FILES, size)?,
            md5: Some(parse_digest(FILES, 32, md5)?),
            sha1: None,
            sha256: None,
            section: section.map(str::to_owned),
            priority: priority.map(str::to_owned),
        })
    }
}

fn add_digests(
    files: &mut [ListedFile],
    field: &str,
    length: usize,
    slot: Slot,
    value: &str,
) -> Result<(), Error> {
    for line in lines(value) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[digest, size, name] = words.as_slice() else {
            return Err(fault(field, format!("not DIGEST SIZE NAME: {line:?}")));
        };
        let name = file_name(field, name)?;
        let Some(file) = files.iter_mut().find(|file| file.name == name) else {
            return Err(fault(field, format!("{name} is not in Files")));
        };
        if parse_size(field, size)? != file.size {
            return Err(fault(
                field,
                format!("the size of {name} differs from that in Files"),
            ));
        }
        if slot(file)
            .replace(parse_digest(field, length, digest)?)
            .is_some()
        {
            return Err(fault(field, format!("{name} is listed twice")));
        }
    }
    match files
        .iter_mut()
        .find_map(|file| slot(file).is_none().then_some(&file.name))
    {
        Some(name) => Err(fault(field, format!("{name} is missing"))),
        None => Ok(()),
    }
}

fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.split('\n').filter(|line| !line.is_empty())
}

fn file_name(field: &str, name: &str) -> Result<FileName, Error> {
    name.parse().map_err(|fault: Error| fault.in_field(field))
}

fn parse_size(field: &str, size: &str) -> Result<u64, Error> {
    match size.parse() {
        Ok(number) if size.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(fault(field, format!("{size:?} is no size"))),
    }
}

fn parse_digest(field: &str, length: usize, digest: &str) -> Result<String, Error> {
    if digest.len() == length && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(digest.to_ascii_lowercase());
    }
    Err(fault(
        field,
        format!("{digest:?} is no digest of {length} hexadecimal digits"),
    ))
}

fn fault(field: &str, fault: String) -> Error {
    Error::Field {
        field: field.to_owned(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "280ff82aee9c886a42ff0ae446ee85df";
    const SHA256_OF_EMPTY: &str =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn merge(text: &str) -> Result<Vec<ListedFile>, String> {
        let paragraph = text.parse().unwrap();
        ListedFile::merge(&paragraph, Kind::Dsc).map_err(|error| error.to_string())
    }

    #[test]
    fn digests_are_the_known_ones() {
        let sums = Checksums::of(&mut &b"hello\n"[..]).unwrap();
        assert_eq!(sums.size, 6);
        assert_eq!(sums.md5, "b1946ac92492d2347c6235b4d2611184");
        assert_eq!(sums.sha1, "f572d396fae9206628714fb2ce00f72e94f2258f");
        assert_eq!(
            sums.sha256,
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
    }

    #[test]
    fn lists_are_merged_by_name() {
        let files = merge(&format!(
            "Files:\n {MD5} 0 b\n {MD5} 1 a\nChecksums-Sha256:\n {SHA256_OF_EMPTY} 1 a\n {SHA256_OF_EMPTY} 0 b\n"
        ))
        .unwrap();
        assert_eq!(files[0].name, "b");
        assert_eq!(files[0].sha256.as_deref(), Some(SHA256_OF_EMPTY));
        assert_eq!(files[0].sha1, None);
    }

    #[test]
    fn each_wrong_list_is_refused_by_its_field() {
        let sum = SHA256_OF_EMPTY;
        for (text, fault) in [
            ("A: 1\n".into(), "missing field Files"),
            ("Files:\n".into(), "field Files: lists no file"),
            (
                format!("Files:\n {MD5} 1 a\n {MD5} 1 a\n"),
                "field Files: a is listed twice",
            ),
            (
                format!("Files:\n {MD5} 1 ../a\n"),
                "field Files: file name \"../a\": must match",
            ),
            (
                format!("Files:\n {MD5} 1 .a\n"),
                "field Files: file name \".a\": must match",
            ),
            (
                format!("Files:\n {MD5} -1 a\n"),
                "field Files: \"-1\" is no size",
            ),
            (
                format!("Files:\n {MD5} +1 a\n"),
                "field Files: \"+1\" is no size",
            ),
            (
                format!("Files:\n {MD5} 99999999999999999999 a\n"),
                "field Files: \"9999",
            ),
            (
                format!("Files:\n {MD5}0 1 a\n"),
                "field Files: \"280ff82aee9c886a42ff0ae446ee85df0\" is no digest",
            ),
            (
                format!("Files:\n {MD5} 1 x - a\n"),
                "field Files: not MD5 SIZE NAME",
            ),
            (
                format!("Files:\n {MD5} 1 a\nChecksums-Sha256:\n {sum} 1 b\n"),
                "field Checksums-Sha256: b is not in Files",
            ),
            (
                format!("Files:\n {MD5} 1 a\nChecksums-Sha256:\n"),
                "field Checksums-Sha256: a is missing",
            ),
            (
                format!("Files:\n {MD5} 1 a\nChecksums-Sha256:\n {sum} 2 a\n"),
                "field Checksums-Sha256: the size of a differs",
            ),
            (
                format!("Files:\n {MD5} 1 a\nChecksums-Sha256:\n {sum} 1 a\n {sum} 1 a\n"),
                "field Checksums-Sha256: a is listed twice",
            ),
            (
                format!("Files:\n {MD5} 1 a\nChecksums-Sha1:\n {sum} 1 a\n"),
                "field Checksums-Sha1: \"e3b0",
            ),
        ] {
            let error = merge(&text).unwrap_err();
            assert!(error.starts_with(fault), "{error}");
        }
    }

    #[test]
    fn a_comparison_names_what_differs() {
        let mut file = merge(&format!("Files:\n {MD5} 0 a\n")).unwrap().remove(0);
        let empty = Checksums::of(&mut &b""[..]).unwrap();
        assert_eq!(
            file.compare(&empty),
            Err(format!(
                "Files: expected {MD5}, got d41d8cd98f00b204e9800998ecf8427e"
            ))
        );
        file.md5 = Some(empty.md5.clone());
        assert_eq!(file.compare(&empty), Ok(()));
        file.size = 7;
        assert_eq!(file.compare(&empty), Err("size: expected 7, got 0".into()));
    }
}
