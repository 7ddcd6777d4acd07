//! Names and values of a query or a form.

pub(super) type Pairs = Vec<(String, String)>;

/// Of a name that is there several times, the last value counts, as with stock.
pub(super) fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = pairs.iter().rfind(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}
