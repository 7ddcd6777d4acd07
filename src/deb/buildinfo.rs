use std::str::FromStr;

use super::{Error, Paragraph};

/// Build information (deb-buildinfo(5)).
#[derive(Clone, Debug)]
pub struct Buildinfo {
    pub paragraph: Paragraph,
}

impl FromStr for Buildinfo {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
