//! People who log in, and whose keys may upload.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::repository::Identity;
use crate::model::{Invalid, Item, Kind, Reference, invalid, is_one_line};

/// Longest name and longest e-mail address, in characters (stock's limits).
const MAX_NAME: usize = 150;
const MAX_EMAIL: usize = 254;
/// Longest part of an e-mail address before the `@` (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// Name that somebody logs in with: letters, digits and `@.+-_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no user name: 1 to {MAX_NAME} letters, digits and @ . + - _, not dots alone")]
pub struct NoUserName(String);

impl UserName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NoUserName;
    fn from_str(text: &str) -> Result<UserName, NoUserName> {
        let is_word = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
        let is_path = text.chars().all(|c| c == '.');
        if (1..=MAX_NAME).contains(&text.chars().count()) && text.chars().all(is_word) && !is_path {
            return Ok(UserName(text.to_owned()));
        }
        Err(NoUserName(text.to_owned()))
    }
}

impl TryFrom<String> for UserName {
    type Error = NoUserName;
    fn try_from(text: String) -> Result<UserName, NoUserName> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> String {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: UserName,
    /// Empty where none is known.
    pub email: String,
    /// Others can't log in.
    pub active: bool,
    /// May make the calls that change packages.
    pub staff: bool,
    /// May make the calls that change the instance; those for staff only if that is said too.
    pub superuser: bool,
}

impl Item for User {
    const KIND: &'static str = "user";
    fn name(&self) -> String {
        self.name.to_string()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if self.email.is_empty() || is_email(&self.email) {
            return Ok(());
        }
        Err(invalid(
            self,
            "email",
            "is no address like name@example.org",
        ))
    }
}

/// `NAME@HOST`, as all of us have it: a dot-atom (RFC 5322, section 3.2.3) and a host name.
pub fn is_email(text: &str) -> bool {
    let is_atom = |atom: &str| {
        let is_text = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        !atom.is_empty() && atom.chars().all(is_text)
    };
    let is_label = |label: &str| {
        let is_text = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !label.is_empty()
            && label.chars().all(is_text)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_EMAIL
        && text.split_once('@').is_some_and(|(local, host)| {
            local.len() <= MAX_LOCAL
                && local.split('.').all(is_atom)
                && host.split('.').all(is_label)
        })
}

/// A key that may upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uploader {
    pub user: String,
    /// Armored public key.
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub may_upload_to: Vec<Identity>,
}

impl Item for Uploader {
    const KIND: &'static str = Kind::Uploader.as_str();
    fn name(&self) -> String {
        self.user.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if self.user.is_empty() || !is_one_line(&self.user) {
            return Err(invalid(self, "user", "must be one line"));
        }
        Ok(())
    }
    fn references(&self) -> Vec<Reference> {
        let repositories = self.may_upload_to.iter();
        repositories
            .map(|identity| Reference::new(Kind::Repository, identity.as_str()))
            .collect()
    }
}

impl Uploader {
    pub fn may_upload(&self, repository: &Identity) -> bool {
        self.may_upload_to.contains(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_stock_takes() {
        for name in ["admin", "j.doe+x@example.org", "Jürgen", "a_b-c", "ß"] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "a b",
            "a/b",
            "a\nb",
            "a'b",
            "<a>",
            &"x".repeat(151),
            ".",
            "..",
        ] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn addresses_can_be_written_into_a_mail() {
        let user = |email: &str| User {
            name: "u".parse().unwrap(),
            email: email.into(),
            active: true,
            staff: false,
            superuser: false,
        };
        for email in ["", "a@b", "j.doe+x@example.org"] {
            assert_eq!(user(email).validate(), Ok(()), "{email}");
        }
        for email in [
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a@b\nBcc: x@y",
            "<a@b>",
            "a b@c",
            "a(b)@c",
            ".a@b",
            "a..b@c",
            "a@-",
            "a@b..c",
            "é@b",
        ] {
            assert_eq!(
                user(email).validate().unwrap_err().field,
                "email",
                "{email}"
            );
        }
    }

    #[test]
    fn uploaders_are_bound_to_their_repositories() {
        let uploader = Uploader {
            user: "upl".into(),
            key: String::new(),
            may_upload_to: vec!["test".parse().unwrap()],
        };
        assert_eq!(uploader.validate(), Ok(()));
        assert!(uploader.may_upload(&"test".parse().unwrap()));
        assert!(!uploader.may_upload(&"other".parse().unwrap()));
    }
}
