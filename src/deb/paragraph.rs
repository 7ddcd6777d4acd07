use std::fmt;
use std::str::FromStr;

use super::Error;

/// Fields of one control paragraph in their order (deb822(5)); names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// Parses any number of paragraphs.
    pub fn parse_all(_text: &str) -> Result<Vec<Paragraph>, Error> {
        todo!()
    }
    /// Value of a field; continuation lines are joined by newlines, each without its leading blank.
    pub fn get(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    pub fn required(&self, _name: &'static str) -> Result<&str, Error> {
        todo!()
    }
    /// Sets or appends a field; a newline in `value` becomes a continuation line.
    pub fn set(&mut self, _name: &str, _value: impl Into<String>) {
        todo!()
    }
    pub fn remove(&mut self, _name: &str) -> Option<String> {
        todo!()
    }
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Parses exactly one paragraph.
impl FromStr for Paragraph {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}

/// Writes the fields, each ended by a newline; an empty value as `Name:`.
impl fmt::Display for Paragraph {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
