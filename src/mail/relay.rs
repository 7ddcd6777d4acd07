//! Who takes letters, and how they are handed over. Synchronous.
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::Error;
use crate::certificate;

/// Who took a letter need not say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// In stock's notation: `[USER:PASSWORD@]smtp://HOST[:PORT]`; with `ssmtp` over TLS (STARTTLS).
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    is_private: bool,
    credentials: Option<(String, String)>,
}

/// A relay as somebody wrote it down, to be read where letters are sent: no other command fails for it, and none shows it.
#[derive(Clone)]
pub struct Notation(String);

impl std::fmt::Debug for Notation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notation")
    }
}

impl FromStr for Notation {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Notation, Infallible> {
        Ok(Notation(text.to_owned()))
    }
}

impl Notation {
    /// An empty one, as of an environment that sets none, is none.
    pub fn read(&self) -> Result<Option<Relay>, String> {
        match self.0.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

impl std::fmt::Debug for Relay {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_private { "ssmtp" } else { "smtp" };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            return write!(f, "{scheme}://[{host}]:{port}");
        }
        write!(f, "{scheme}://{host}:{port}")
    }
}

impl FromStr for Relay {
    type Err = String;
    /// No error repeats the text: it may hold a password.
    fn from_str(text: &str) -> Result<Relay, String> {
        let malformed =
            || "the relay must be [USER:PASSWORD@]smtp://HOST[:PORT] or …ssmtp://…".to_owned();
        let (credentials, url) = text.rsplit_once('@').unwrap_or(("", text));
        let (scheme, place) = url.split_once("://").ok_or_else(malformed)?;
        let is_private = match scheme {
            "smtp" => false,
            "ssmtp" => true,
            _ => return Err(malformed()),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(malformed)?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| malformed())?;
                (host, port)
            }
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| malformed())?,
            None if !port.is_empty() => return Err(malformed()),
            None if is_private => 587,
            None => 25,
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
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

impl Relay {
    /// `patience`: with each of its answers.
    pub(super) fn send(
        &self,
        message: &Message,
        to: &str,
        patience: Duration,
    ) -> Result<(), Error> {
        let relay = format!("{self:?}");
        let envelope = message.envelope();
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        let open = self.open(patience).and_then(|mut open| {
            open.command(sender)?;
            Ok(open)
        });
        let mut open = match open {
            Ok(open) => open,
            Err(source) if certificate::is_unknown(&source) => {
                return Err(Error::Untrusted { relay, source });
            }
            Err(source) => return Err(Error::Relay { relay, source }),
        };
        let recipients = envelope.to().iter();
        let sent = recipients
            .map(|to| open.command(Rcpt::new(to.clone(), Vec::new())))
            .try_for_each(|answer| answer.map(drop))
            .and_then(|()| open.command(Data))
            .and_then(|_| open.message(&message.formatted()));
        // Whatever becomes of it, the letter's fate is known.
        let _ = open.set_timeout(Some(GOOD_BYE)).map(|()| open.quit());
        sent.map(drop).map_err(|source| Error::Letter {
            relay,
            to: to.to_owned(),
            source,
        })
    }

    fn open(&self, patience: Duration) -> Result<SmtpConnection, lettre::transport::smtp::Error> {
        let us = ClientId::default();
        let place = (self.host.as_str(), self.port);
        let mut open = SmtpConnection::connect(place, Some(patience), &us, None, None)?;
        if self.is_private {
            open.starttls(&TlsParameters::new(self.host.clone())?, &us)?;
        }
        if let Some((user, password)) = &self.credentials {
            let credentials = Credentials::new(user.clone(), password.clone());
            open.auth(DEFAULT_MECHANISMS, &credentials)?;
        }
        Ok(open)
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
        for (text, host, port) in [("smtp://[::1]", "::1", 25), ("smtp://[::1]:26", "::1", 26)] {
            let relay: Relay = text.parse().unwrap();
            assert_eq!((relay.host.as_str(), relay.port), (host, port));
            assert_eq!(format!("{relay:?}"), format!("smtp://[::1]:{port}"));
        }
        for wrong in [
            "",
            "localhost",
            "smtp://",
            "http://localhost",
            "me@smtp://h",
            "smtp://h:x",
            "smtp://::1",
            "smtp://[::1]25",
            "smtp://[h]",
            "me:sesame@h",
        ] {
            let fault = wrong.parse::<Relay>().unwrap_err();
            assert!(!fault.contains("sesame"), "{wrong}: {fault}");
        }
    }
}
