//! Letters to people, by SMTP. Synchronous.
mod relay;

use std::time::Duration;

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};

use crate::certificate;

pub use relay::{Notation, Relay};

/// Who takes our letters, and in whose name they are written.
#[derive(Clone, Debug)]
pub struct Postman {
    pub relay: Relay,
    pub from: String,
    pub identity: String,
    /// Our own base URL.
    pub url: String,
}

#[derive(Clone, Debug)]
pub struct Letter {
    pub to: String,
    /// After the name of the instance.
    pub subject: String,
    pub text: String,
    /// Name and text of a file.
    pub attachment: Option<(String, String)>,
    /// What is before the host in its Message-ID; a letter that comes again has the same.
    pub id: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{address:?} is no e-mail address")]
    Address {
        address: String,
        source: lettre::address::AddressError,
    },
    #[error("can't write a letter")]
    Write(#[source] lettre::error::Error),
    /// It does not answer, or does not take us: other letters would fare alike.
    #[error("{relay} takes no letters")]
    Relay {
        relay: String,
        source: lettre::transport::smtp::Error,
    },
    #[error("{relay} takes no letters; {}", certificate::TO_TRUST)]
    Untrusted {
        relay: String,
        source: lettre::transport::smtp::Error,
    },
    /// It said so, or broke off, after it was told the recipient.
    #[error("{relay} does not take a letter to {to}")]
    Letter {
        relay: String,
        to: String,
        source: lettre::transport::smtp::Error,
    },
}

impl Error {
    /// Tells whether another attempt is of no use: the letter itself or its recipient is refused for good.
    pub fn is_final(&self) -> bool {
        match self {
            Error::Address { .. } | Error::Write(_) => true,
            Error::Relay { .. } | Error::Untrusted { .. } => false,
            Error::Letter { source, .. } => {
                source.is_permanent() && is_of_letter(&source.to_string())
            }
        }
    }

    pub fn is_of_relay(&self) -> bool {
        matches!(self, Error::Relay { .. } | Error::Untrusted { .. })
    }
}

/// Tells whether what a relay said (after lettre's words) is about recipient or letter: its enhanced status code, if it
/// has one, is about the address, the mailbox, the length or the content (RFC 3463); policies and systems are mended.
fn is_of_letter(said: &str) -> bool {
    let code = said.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse::<u16>);
        match (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) {
            (Some(Ok(5)), Some(Ok(subject)), Some(Ok(detail)), None) => Some((subject, detail)),
            _ => None,
        }
    });
    matches!(code, None | Some((1 | 2 | 6, _) | (3, 4)))
}

impl Postman {
    /// `patience`: with each answer of the relay.
    pub fn send(&self, letter: &Letter, patience: Duration) -> Result<(), Error> {
        let message = self.message(letter)?;
        self.relay.send(&message, &letter.to, patience)
    }

    fn message(&self, letter: &Letter) -> Result<Message, Error> {
        let mailbox = |address: &str| -> Result<Mailbox, Error> {
            address.parse().map_err(|source| Error::Address {
                address: address.to_owned(),
                source,
            })
        };
        let from = mailbox(&self.from)?;
        let host = from.email.domain();
        let id = letter.id.as_ref().map(|id| format!("<{id}@{host}>"));
        // No machine answers it (RFC 3834).
        let auto_submitted = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        let message = Message::builder()
            .message_id(id)
            .from(from)
            .to(mailbox(&letter.to)?)
            .subject(format!(
                "[mini-buildd-{}] {}",
                self.identity, letter.subject
            ))
            .raw_header(auto_submitted);
        let text = SinglePart::plain(letter.text.clone());
        let message = match &letter.attachment {
            None => message.singlepart(text),
            Some((name, file)) => {
                // As text, any mail program shows it.
                let kind = ContentType::TEXT_PLAIN;
                let file = Attachment::new(name.clone()).body(file.clone(), kind);
                message.multipart(MultiPart::mixed().singlepart(text).singlepart(file))
            }
        };
        message.map_err(Error::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_given_up_for_what_it_is_itself() {
        for (said, expected) in [
            ("permanent error (550): 5.1.1 unknown", true),
            ("permanent error (552): 5.3.4 too long", true),
            ("permanent error (550): unknown user 10.0.0.1", true),
            ("permanent error (554): 5.7.1 Relay access denied", false),
            ("permanent error (550): 5.4.5 quota", false),
        ] {
            assert_eq!(is_of_letter(said), expected, "{said}");
        }
    }
}
