//! JSON as Python writes it: ASCII only, a blank after commas and colons. Stock's clients compare texts.
use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// One line: `{"a": [1, 2]}`.
pub fn compact(value: &Value) -> String {
    write(value, OneLine)
}

/// A string verbatim, anything else indented by two blanks.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => write(value, PrettyFormatter::new()),
    }
}

fn write(value: &Value, formatter: impl Formatter) -> String {
    let mut text = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut text, formatter))
        .expect("values have string keys, and memory takes every write");
    let text = String::from_utf8(text).expect("strings are UTF-8");
    if text.bytes().all(|byte| byte <= b'~') {
        return text;
    }
    ascii(&text)
}

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separator(to, first)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separator(to, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}

fn separator<W: ?Sized + Write>(to: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { to.write_all(b", ") }
}

/// The same JSON with UTF-16 escapes for what is above ASCII's printable characters; that stands in strings only.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character <= '~' {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn compact_form_has_pythons_separators_and_escapes() {
        let value = json!({"a": ["ä", "𝄞", "\u{7f}\n\u{1}\"\\/"], "load": 0.0, "e": [], "o": {}});
        assert_eq!(
            compact(&value),
            r#"{"a": ["\u00e4", "\ud834\udd1e", "\u007f\n\u0001\"\\/"], "load": 0.0, "e": [], "o": {}}"#
        );
    }

    #[test]
    fn plain_form_is_indented_by_two() {
        assert_eq!(
            plain(&json!({"a": [1, "ä"], "e": [], "o": {}})),
            "{\n  \"a\": [\n    1,\n    \"\\u00e4\"\n  ],\n  \"e\": [],\n  \"o\": {}\n}"
        );
    }

    #[test]
    fn plain_string_is_verbatim() {
        assert_eq!(plain(&json!("ä\n")), "ä\n");
    }
}
