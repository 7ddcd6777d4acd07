//! The path that a client asks for, taken apart without trusting it.
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What stands unescaped in our links; the rest of RFC 3986's unreserved characters and those common in file names.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+');

/// Names below a root: none is empty, `.`, `..`, or holds a slash or NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelativePath {
    pub(super) names: Vec<OsString>,
    /// Ends with a slash, as directories do.
    pub(super) is_directory: bool,
}

impl RelativePath {
    /// Reads the escaped path after the root's slash; `None` for what can't name a file.
    pub(super) fn parse(text: &str) -> Option<RelativePath> {
        let is_directory = text.is_empty() || text.ends_with('/');
        let names = match text {
            "" => Vec::new(),
            text => {
                let names = text.strip_suffix('/').unwrap_or(text).split('/');
                names.map(name).collect::<Option<_>>()?
            }
        };
        Some(RelativePath {
            names,
            is_directory,
        })
    }

    pub(super) fn file_name(&self) -> &OsStr {
        self.names
            .last()
            .map_or(OsStr::new(""), OsString::as_os_str)
    }
}

fn name(escaped: &str) -> Option<OsString> {
    let bytes: Vec<u8> = percent_decode_str(escaped).collect();
    let is_name = !matches!(bytes.as_slice(), b"" | b"." | b"..")
        && !bytes.contains(&b'/')
        && !bytes.contains(&0);
    is_name.then(|| OsString::from_vec(bytes))
}

/// One name for a link.
pub(super) fn escape(name: &OsStr) -> String {
    percent_encode(name.as_bytes(), ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_one_by_one() {
        let path = RelativePath::parse("hello/1%3a2.10-3+b1/a%20b/").unwrap();
        assert_eq!(path.names, ["hello", "1:2.10-3+b1", "a b"]);
        assert!(path.is_directory);
        assert!(!RelativePath::parse("a/b").unwrap().is_directory);
        assert_eq!(RelativePath::parse("").unwrap().names.len(), 0);
    }

    #[test]
    fn nothing_leads_out_whatever_its_encoding() {
        for text in [
            "..", "../", "a/../b", "%2e%2e/x", "%2E./x", ".", "a/./b", "a//b", "/", "//", "/etc",
            "a%2fb", "%2fetc", "..%2fx", "a%00b",
        ] {
            assert_eq!(RelativePath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn link_of_a_name_is_read_back() {
        let name = OsStr::from_bytes(b"a \xff<\"'&?#%");
        let path = RelativePath::parse(&escape(name)).unwrap();
        assert_eq!(path.names, [name]);
    }
}
