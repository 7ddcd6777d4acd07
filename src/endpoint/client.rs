use std::fmt;
use std::str::FromStr;

use super::Error;

/// A client's end: `http://[USER@]HOST[:PORT]`, `tcp:host=HOST:port=PORT`, `tls:host=HOST:port=PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEndpoint {
    pub scheme: Scheme,
    pub user: Option<String>,
    /// IPv6 addresses in brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Ftp,
    Ftps,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Ftp => "ftp",
            Scheme::Ftps => "ftps",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Ftp => 21,
            Scheme::Ftps => 990,
        }
    }
}

impl ClientEndpoint {
    /// Without a slash at the end, without the user.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl fmt::Display for ClientEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl FromStr for ClientEndpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<ClientEndpoint, Error> {
        let parsed = match text.split_once("://") {
            Some((scheme, rest)) => url(scheme, rest),
            None => description(text),
        };
        parsed.map_err(|fault| Error {
            text: text.to_owned(),
            fault,
        })
    }
}

fn url(scheme: &str, rest: &str) -> Result<ClientEndpoint, String> {
    let scheme = [Scheme::Http, Scheme::Https, Scheme::Ftp, Scheme::Ftps]
        .into_iter()
        .find(|known| known.as_str() == scheme)
        .ok_or("the scheme is none of http, https, ftp, ftps")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err("a password does not belong into an endpoint".into());
        }
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, rest),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, number(port)?),
        _ => (place, scheme.default_port()),
    };
    Ok(ClientEndpoint {
        scheme,
        user,
        host: valid_host(host)?,
        port,
    })
}

fn description(text: &str) -> Result<ClientEndpoint, String> {
    let mut words = text.split(':');
    let scheme = match words.next() {
        Some("tcp") => Scheme::Http,
        Some("tls") => Scheme::Https,
        _ => return Err("neither a URL nor tcp:host=HOST:port=PORT".into()),
    };
    let (mut host, mut port) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("host", value)) => host = Some(valid_host(value)?),
            Some(("port", value)) => port = Some(number(value)?),
            _ => return Err(format!("unknown option {word:?}")),
        }
    }
    Ok(ClientEndpoint {
        scheme,
        user: None,
        host: host.ok_or("host= is missing")?,
        port: port.ok_or("port= is missing")?,
    })
}

fn number(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("{port:?} is no port"))
}

fn valid_host(host: &str) -> Result<String, String> {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    is_host
        .then(|| host.to_owned())
        .ok_or_else(|| format!("{host:?} is no host name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        match text.parse::<ClientEndpoint>() {
            Ok(endpoint) => Ok(endpoint.url()),
            Err(error) => Err(error.fault),
        }
    }

    #[test]
    fn urls_and_descriptions_name_the_same() {
        for (text, url) in [
            ("http://localhost:8066", "http://localhost:8066"),
            ("http://localhost:8066/", "http://localhost:8066"),
            ("https://u@h.example", "https://h.example:443"),
            ("ftp://h", "ftp://h:21"),
            ("http://[::1]:8066", "http://[::1]:8066"),
            ("http://[::1]", "http://[::1]:80"),
            ("tcp:host=h:port=8066", "http://h:8066"),
            ("tls:port=1:host=h", "https://h:1"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "localhost:8066",
            "http://",
            "http://h:99999",
            "http://h/path",
            "http://a b",
            "gopher://h",
            "tcp:host=h",
            "tcp:port=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let fault = parse("http://u:secret@h").unwrap_err();
        assert!(!fault.contains("secret"));
    }
}
