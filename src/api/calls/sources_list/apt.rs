//! What is given to apt's sources word by word, and can't break out of its word.
use crate::api::argument::{ArgumentValue, Kind};

/// `deb` or `deb-src`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AptType(pub(super) &'static str);

impl ArgumentValue for AptType {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<AptType, String> {
        match text {
            "deb" => Ok(AptType("deb")),
            "deb-src" => Ok(AptType("deb-src")),
            _ => Err("neither deb nor deb-src".into()),
        }
    }
}

/// Options of a source, separated by blanks: `arch=amd64 signed-by=/x`.
#[derive(Clone, Debug, Default)]
pub(super) struct AptOptions(pub(super) Vec<(String, String)>);

impl ArgumentValue for AptOptions {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<AptOptions, String> {
        let option = |word: &str| {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word:?} is not of the form NAME=VALUE"))?;
            if word.contains(['[', ']']) || word.chars().any(char::is_control) {
                return Err(format!("{word:?} would end the options"));
            }
            Ok((name.to_owned(), value.to_owned()))
        };
        let options: Result<_, _> = text.split_whitespace().map(option).collect();
        options.map(AptOptions)
    }
}

/// URL without a slash at the end.
pub(super) struct Mirror(pub(super) String);

impl ArgumentValue for Mirror {
    const KIND: Kind = Kind::Text;
    fn parse(text: &str) -> Result<Mirror, String> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) || !text.contains(':') {
            return Err("not a URL".into());
        }
        Ok(Mirror(text.trim_end_matches('/').to_owned()))
    }
}
