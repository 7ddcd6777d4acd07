//! Arguments of calls: a constant is both the description and the typed key.
use std::collections::BTreeMap;
use std::str::FromStr;

use crate::deb::{Codename, FileName, PackageName, Suite, Version};
use crate::model::repository::Identity;
use crate::model::snapshot::SnapshotName;

use super::CallError;

/// Stands for "not given" in queries; stock's command line sends it.
const SERVER_DEFAULT: &str = "<server_default>";

/// Description of an argument, and the key that reads its value.
pub struct Argument<T> {
    pub spec: Spec,
    parse: fn(&str) -> Result<T, String>,
}

/// Description of an argument.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Key in the query; the long option has dashes for underscores.
    pub name: &'static str,
    /// `None` of positional ones too.
    pub short: Option<char>,
    pub kind: Kind,
    pub default: Default,
    pub doc: &'static str,
    check: fn(&str) -> Result<(), String>,
}

/// What values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `True`; anything else is false.
    Boolean,
    Integer,
    Text,
    /// A text of several lines.
    Lines,
    /// Joined by commas.
    List,
}

/// What holds when the argument is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    Required,
    /// Positional, and nothing.
    Optional,
    Value(&'static str),
    /// The server computes it; with its name for documentation.
    Computed(&'static str),
}

/// A type that arguments can have.
pub trait ArgumentValue: Sized {
    const KIND: Kind;
    fn parse(text: &str) -> Result<Self, String>;
}

impl<T: ArgumentValue> Argument<T> {
    pub const fn positional(name: &'static str, doc: &'static str) -> Argument<T> {
        Argument::new(name, None, Default::Required, doc)
    }

    pub const fn option(
        name: &'static str,
        short: char,
        default: &'static str,
        doc: &'static str,
    ) -> Argument<T> {
        Argument::new(name, Some(short), Default::Value(default), doc)
    }

    /// An option that must be given.
    pub const fn required(name: &'static str, short: char, doc: &'static str) -> Argument<T> {
        Argument::new(name, Some(short), Default::Required, doc)
    }

    /// A positional argument that may be missing.
    pub const fn optional(name: &'static str, doc: &'static str) -> Argument<T> {
        Argument::new(name, None, Default::Optional, doc)
    }

    /// An option that has no short form.
    pub const fn long(name: &'static str, default: &'static str, doc: &'static str) -> Argument<T> {
        Argument::new(name, None, Default::Value(default), doc)
    }

    const fn new(
        name: &'static str,
        short: Option<char>,
        default: Default,
        doc: &'static str,
    ) -> Argument<T> {
        Argument {
            spec: Spec {
                name,
                short,
                kind: T::KIND,
                default,
                doc,
                check: check::<T>,
            },
            parse: T::parse,
        }
    }
}

impl<T: ArgumentValue> Argument<Option<T>> {
    /// An option whose default the call computes from `None`.
    pub const fn computed(
        name: &'static str,
        short: char,
        default: &'static str,
        doc: &'static str,
    ) -> Argument<Option<T>> {
        Argument::new(name, Some(short), Default::Computed(default), doc)
    }

    /// As [`Argument::computed`], without a short form.
    pub const fn computed_long(
        name: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> Argument<Option<T>> {
        Argument::new(name, None, Default::Computed(default), doc)
    }
}

fn check<T: ArgumentValue>(text: &str) -> Result<(), String> {
    T::parse(text).map(drop)
}

impl Spec {
    /// Name of the option on the command line, without the two dashes.
    pub fn long(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// What a call was given: complete, and every value of its type.
#[derive(Debug)]
pub struct Arguments {
    given: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// Reads the query of a call; keys that the call doesn't know are ignored, of a repeated key the last one counts.
    pub fn read(specs: &[Spec], query: &[(String, String)]) -> Result<Arguments, CallError> {
        let mut given = BTreeMap::new();
        for spec in specs {
            let value = query.iter().rfind(|(key, _)| key == spec.name);
            match value {
                Some((_, text)) if !text.is_empty() && text != SERVER_DEFAULT => {
                    (spec.check)(text).map_err(|fault| CallError::Malformed {
                        argument: spec.name,
                        given: text.clone(),
                        fault,
                    })?;
                    given.insert(spec.name, text.clone());
                }
                _ if spec.default == Default::Required => {
                    return Err(CallError::Missing(spec.name));
                }
                _ => {}
            }
        }
        Ok(Arguments { given })
    }

    pub fn get<T>(&self, argument: &Argument<T>) -> Result<T, CallError> {
        let spec = &argument.spec;
        let text = match (self.given.get(spec.name), spec.default) {
            (Some(text), _) => text,
            (None, Default::Value(text)) => text,
            (None, Default::Computed(_) | Default::Optional) => "",
            (None, Default::Required) => return Err(CallError::Missing(spec.name)),
        };
        (argument.parse)(text).map_err(|fault| CallError::Malformed {
            argument: spec.name,
            given: text.to_owned(),
            fault,
        })
    }
}

impl ArgumentValue for bool {
    const KIND: Kind = Kind::Boolean;
    fn parse(text: &str) -> Result<bool, String> {
        Ok(text == "True")
    }
}

impl ArgumentValue for i64 {
    const KIND: Kind = Kind::Integer;
    fn parse(text: &str) -> Result<i64, String> {
        text.trim().parse().map_err(|_| "not a number".to_owned())
    }
}

impl ArgumentValue for String {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
}

/// A text of several lines.
pub struct Lines(pub String);

impl ArgumentValue for Lines {
    const KIND: Kind = Kind::Lines;
    fn parse(text: &str) -> Result<Lines, String> {
        Ok(Lines(text.to_owned()))
    }
}

impl ArgumentValue for Codename {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<Codename, String> {
        Codename::from_str(text).map_err(|error| error.to_string())
    }
}

impl ArgumentValue for Suite {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<Suite, String> {
        Suite::from_str(text).map_err(|error| error.to_string())
    }
}

impl ArgumentValue for FileName {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<FileName, String> {
        FileName::from_str(text).map_err(|error| error.to_string())
    }
}

impl ArgumentValue for PackageName {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<PackageName, String> {
        PackageName::from_str(text).map_err(|error| error.to_string())
    }
}

impl ArgumentValue for Version {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<Version, String> {
        Version::from_str(text).map_err(|error| error.to_string())
    }
}

impl ArgumentValue for SnapshotName {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<SnapshotName, String> {
        SnapshotName::from_str(text)
    }
}

impl ArgumentValue for Identity {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<Identity, String> {
        Identity::from_str(text)
    }
}

impl<T: ArgumentValue> ArgumentValue for Vec<T> {
    const KIND: Kind = Kind::List;
    fn parse(text: &str) -> Result<Vec<T>, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(T::parse)
            .collect()
    }
}

impl<T: ArgumentValue> ArgumentValue for Option<T> {
    const KIND: Kind = T::KIND;
    fn parse(text: &str) -> Result<Option<T>, String> {
        match text {
            "" => Ok(None),
            text => T::parse(text).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Argument<String> = Argument::positional("source", "");
    const FULL: Argument<bool> = Argument::option("full", 'F', "False", "");
    const SLEEP: Argument<i64> = Argument::option("sleep", 's', "5", "");
    const TYPES: Argument<Vec<String>> = Argument::option("types", 'T', "deb", "");
    const KEYS: Argument<Option<Vec<String>>> = Argument::computed("keys", 'k', "all_keys", "");

    fn read(specs: &[Spec], query: &[(&str, &str)]) -> Result<Arguments, CallError> {
        let query: Vec<_> = query
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Arguments::read(specs, &query)
    }

    #[test]
    fn only_the_literal_true_is_true() {
        for (text, value) in [("True", true), ("true", false), ("1", false), ("", false)] {
            let arguments = read(&[FULL.spec], &[("full", text)]).unwrap();
            assert_eq!(arguments.get(&FULL).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn lists_are_joined_by_commas() {
        let arguments = read(&[TYPES.spec], &[("types", "deb,deb-src")]).unwrap();
        assert_eq!(arguments.get(&TYPES).unwrap(), ["deb", "deb-src"]);
    }

    #[test]
    fn empty_and_server_default_mean_not_given() {
        for text in ["", "<server_default>"] {
            let arguments = read(
                &[SLEEP.spec, KEYS.spec],
                &[("sleep", text), ("keys", text), ("unknown", "x")],
            )
            .unwrap();
            assert_eq!(arguments.get(&SLEEP).unwrap(), 5);
            assert_eq!(arguments.get(&KEYS).unwrap(), None);
        }
    }

    #[test]
    fn missing_argument_is_named_in_stocks_words() {
        assert_eq!(
            read(&[SOURCE.spec], &[]).unwrap_err().to_string(),
            "Missing required argument: source: given=None, _default=None"
        );
    }

    #[test]
    fn number_that_is_none_is_refused_before_the_call_runs() {
        let error = read(&[SLEEP.spec], &[("sleep", "soon")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid argument: sleep='soon': not a number"
        );
    }

    #[test]
    fn last_of_repeated_keys_counts() {
        let arguments = read(&[SLEEP.spec], &[("sleep", "1"), ("sleep", "2")]).unwrap();
        assert_eq!(arguments.get(&SLEEP).unwrap(), 2);
    }
}
