//! JSON as Python writes it: ASCII only, a blank after commas and colons. Stock's clients compare texts.
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// One line: `{"a": [1, 2]}`.
pub fn compact(value: &Value) -> String {
    write(value, Compact)
}

/// A string verbatim, anything else indented by two blanks.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => write(value, Indented(PrettyFormatter::new())),
    }
}

fn write(value: &Value, formatter: impl Formatter) -> String {
    let mut text = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut text, formatter))
        .expect("values have string keys, and memory takes every write");
    String::from_utf8(text).expect("only ASCII was written")
}

struct Compact;

impl Formatter for Compact {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separator(to, first)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separator(to, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        to: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        ascii(to, fragment)
    }
}

struct Indented(PrettyFormatter<'static>);

impl Formatter for Indented {
    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_array(to)
    }
    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array(to)
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(to, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array_value(to)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object(to)
    }
    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object(to)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(to, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object_value(to)
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object_value(to)
    }
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        to: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        ascii(to, fragment)
    }
}

fn separator<W: ?Sized + Write>(to: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { to.write_all(b", ") }
}

/// Writes what is not printable ASCII as UTF-16 escapes.
fn ascii<W: ?Sized + Write>(to: &mut W, fragment: &str) -> io::Result<()> {
    for character in fragment.chars() {
        if matches!(character, ' '..='~') {
            write!(to, "{character}")?;
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(to, "\\u{unit:04x}")?;
            }
        }
    }
    Ok(())
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
