//! Letters to people, by SMTP. Synchronous.
use std::str::FromStr;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::response::Category;
use lettre::{Message, SmtpTransport, Transport};

const TIME: Duration = Duration::from_secs(30);

/// Who takes letters, in stock's notation: `[USER:PASSWORD@]smtp://HOST[:PORT]`; with `ssmtp` over TLS (STARTTLS).
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
    is_private: bool,
    credentials: Option<(String, String)>,
}

impl std::fmt::Debug for Relay {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_private { "ssmtp" } else { "smtp" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

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
    #[error("{relay} does not take a letter to {to}")]
    Send {
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
            // 53x is about our own login (RFC 4954, section 6).
            Error::Send { source, .. } => {
                let category = source.status().map(|code| code.category);
                source.is_permanent() && category != Some(Category::Unspecified3)
            }
        }
    }

    /// Tells whether the relay has answered: where it does not, it will not for other letters.
    pub fn is_answer(&self) -> bool {
        match self {
            Error::Address { .. } | Error::Write(_) => true,
            Error::Send { source, .. } => source.status().is_some(),
        }
    }
}

impl FromStr for Relay {
    type Err = String;
    fn from_str(text: &str) -> Result<Relay, String> {
        let malformed = || "must be [USER:PASSWORD@]smtp://HOST[:PORT] or …ssmtp://…".to_owned();
        let (credentials, url) = match text.rsplit_once('@') {
            Some((credentials, url)) => (credentials, url),
            None => ("", text),
        };
        let (scheme, host) = url.split_once("://").ok_or_else(malformed)?;
        let is_private = match scheme {
            "smtp" => false,
            "ssmtp" => true,
            _ => return Err(malformed()),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| malformed())?),
            None if is_private => (host, 587),
            None => (host, 25),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(malformed());
        }
        let credentials = match credentials.split_once(':') {
            Some(("", "")) | None if credentials.trim_matches(':').is_empty() => None,
            Some((user, password)) => Some((user.to_owned(), password.to_owned())),
            None => return Err(malformed()),
        };
        Ok(Relay {
            host: host.to_owned(),
            port,
            is_private,
            credentials,
        })
    }
}

impl Postman {
    pub fn send(&self, letter: &Letter) -> Result<(), Error> {
        let message = self.message(letter)?;
        self.relay.send(&message, &letter.to)
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

impl Relay {
    fn send(&self, message: &Message, to: &str) -> Result<(), Error> {
        let failed = |source| Error::Send {
            relay: format!("{self:?}"),
            to: to.to_owned(),
            source,
        };
        let builder = if self.is_private {
            SmtpTransport::starttls_relay(&self.host).map_err(failed)?
        } else {
            SmtpTransport::builder_dangerous(&self.host)
        };
        let mut builder = builder.port(self.port).timeout(Some(TIME));
        if let Some((user, password)) = &self.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        builder.build().send(message).map(drop).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_written_as_stocks() {
        let relay: Relay = "me:s:e@cret@ssmtp://mail.example.org:587".parse().unwrap();
        assert_eq!(format!("{relay:?}"), "ssmtp://mail.example.org:587");
        assert_eq!(relay.credentials, Some(("me".into(), "s:e@cret".into())));
        let plain: Relay = ":@smtp://localhost".parse().unwrap();
        assert_eq!((plain.port, plain.credentials), (25, None));
        for wrong in [
            "",
            "localhost",
            "smtp://",
            "http://localhost",
            "me@smtp://h",
            "smtp://h:x",
        ] {
            assert!(wrong.parse::<Relay>().is_err(), "{wrong}");
        }
    }
}
