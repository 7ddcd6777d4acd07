//! Where servers listen and clients connect, in stock's notation: `tcp6:port=8066`, `tcp:host=H:port=P`, URLs.
mod client;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use client::ClientEndpoint;

/// A server's end: `tcp6:port=8066`, `tcp:port=0:interface=127.0.0.1`; `\:` escapes a colon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerEndpoint {
    pub kind: Kind,
    /// 0 with [`Kind::Unix`], whose option is `address`.
    pub port: u16,
    pub interface: Option<String>,
    /// Options beyond port and interface, as written.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Tcp6,
    Ssl,
    Unix,
}

/// What is spoken at an endpoint; with [`Kind::Ssl`] over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Ftp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {text:?}: {fault}; write it like {example}")]
pub struct Error {
    pub text: String,
    pub fault: String,
    pub example: &'static str,
}

impl Error {
    fn server(text: &str, fault: impl Into<String>) -> Error {
        Error {
            text: text.to_owned(),
            fault: fault.into(),
            example: "tcp:port=8066",
        }
    }

    fn client(text: &str, fault: impl Into<String>) -> Error {
        Error {
            example: "http://localhost:8066",
            ..Error::server(text, fault)
        }
    }
}

impl ServerEndpoint {
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.options, name)
    }

    /// What keeps FTP from being served there, as far as its notation tells.
    pub fn ftp_fault(&self) -> Option<String> {
        if self.kind == Kind::Unix {
            return Some("FTP needs a TCP port".into());
        }
        let needed = ["privateKey", "certKey"].into_iter();
        let mut needed = needed.filter(|_| self.kind == Kind::Ssl);
        if let Some(name) = needed.find(|name| self.option(name).is_none()) {
            return Some(format!("option {name} is missing"));
        }
        self.passive_ports().err()
    }

    /// Ports of FTP's data connections, option `passive_ports=MIN-MAX`; `None`: any free ones.
    pub fn passive_ports(&self) -> Result<Option<RangeInclusive<u16>>, String> {
        let Some(text) = self.option("passive_ports") else {
            return Ok(None);
        };
        let range = text.split_once('-').and_then(|(first, last)| {
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (0 < first && first <= last).then_some(first..=last)
        });
        let fault = || format!("passive_ports {text:?} is not MIN-MAX");
        range.map(Some).ok_or_else(fault)
    }

    /// Path and mode of a socket in the file system: `unix:ADDRESS[:mode=OCTAL]`; without a mode everybody may connect, as
    /// with a port.
    pub fn socket(&self) -> Result<(PathBuf, u32), String> {
        let path = PathBuf::from(self.option("address").unwrap_or_default());
        if !path.is_absolute() {
            return Err("address is no absolute path".into());
        }
        let mode = u32::from_str_radix(self.option("mode").unwrap_or("666"), 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or("mode is not an octal number up to 777")?;
        Ok((path, mode))
    }

    /// Address to listen on; all addresses of its family without interface.
    pub fn interface_or_any(&self) -> &str {
        match (self.interface.as_deref(), self.kind) {
            (Some(interface), _) => interface,
            (None, Kind::Tcp6) => "::",
            (None, Kind::Tcp | Kind::Ssl | Kind::Unix) => "0.0.0.0",
        }
    }

    /// Public base URL without trailing slash: `host=`, else the interface if it is one address, else `fqdn`.
    pub fn url(&self, protocol: Protocol, fqdn: &str) -> String {
        let host = self
            .option("host")
            .or(self.interface.as_deref().filter(|text| !is_any(text)))
            .unwrap_or(fqdn);
        let scheme = Scheme::of(protocol, self.kind == Kind::Ssl);
        format!("{scheme}://{}:{}", bracketed(host), self.port)
    }
}

impl FromStr for ServerEndpoint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let (word, mut options) = split(text).map_err(|fault| Error::server(text, fault))?;
        let kind = match word.as_str() {
            "tcp" => Kind::Tcp,
            "tcp6" => Kind::Tcp6,
            "ssl" | "tls" => Kind::Ssl,
            "unix" => Kind::Unix,
            other => return Err(Error::server(text, format!("unknown type {other:?}"))),
        };
        let positional = if kind == Kind::Unix {
            "address"
        } else {
            "port"
        };
        if let Some((name, _)) = options.first_mut().filter(|(name, _)| name.is_empty()) {
            positional.clone_into(name);
        }
        if let Some((_, value)) = options.iter().find(|(name, _)| name.is_empty()) {
            return Err(Error::server(text, format!("{value:?} is not NAME=VALUE")));
        }
        let port = match (kind, take(&mut options, "port")) {
            (Kind::Unix, None) if option(&options, "address").is_some() => 0,
            (Kind::Unix, _) => return Err(Error::server(text, "address is needed")),
            (_, None) => return Err(Error::server(text, "port is needed")),
            (_, Some(port)) => parse_port(&port).map_err(|fault| Error::server(text, fault))?,
        };
        let interface = take(&mut options, "interface");
        if interface
            .as_ref()
            .is_some_and(|text| text.parse::<IpAddr>().is_err())
        {
            return Err(Error::server(text, "interface is no IP address"));
        }
        if option(&options, "host").is_some_and(|host| !is_host(host)) {
            return Err(Error::server(text, "host is no host name"));
        }
        Ok(ServerEndpoint {
            kind,
            port,
            interface,
            options,
        })
    }
}

impl fmt::Display for ServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Tcp => "tcp",
            Kind::Tcp6 => "tcp6",
            Kind::Ssl => "ssl",
            Kind::Unix => "unix",
        })?;
        if self.kind != Kind::Unix {
            write!(f, ":port={}", self.port)?;
        }
        if let Some(interface) = &self.interface {
            write!(f, ":interface={}", escape(interface))?;
        }
        for (name, value) in &self.options {
            write!(f, ":{name}={}", escape(value))?;
        }
        Ok(())
    }
}
impl TryFrom<String> for ServerEndpoint {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
impl From<ServerEndpoint> for String {
    fn from(endpoint: ServerEndpoint) -> String {
        endpoint.to_string()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Ftp,
    Ftps,
}

impl Scheme {
    pub fn of(protocol: Protocol, tls: bool) -> Scheme {
        match (protocol, tls) {
            (Protocol::Http, false) => Scheme::Http,
            (Protocol::Http, true) => Scheme::Https,
            (Protocol::Ftp, false) => Scheme::Ftp,
            (Protocol::Ftp, true) => Scheme::Ftps,
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

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Ftp => "ftp",
            Scheme::Ftps => "ftps",
        })
    }
}

type Options = Vec<(String, String)>;

/// Splits at unescaped colons; a word without `=` has an empty name.
fn split(text: &str) -> Result<(String, Options), String> {
    let mut words: Options = vec![Default::default()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let (name, value) = words.last_mut().expect("it begins with one");
        match c {
            '\\' => value.push(characters.next().ok_or("ends with a backslash")?),
            ':' => words.push(Default::default()),
            '=' if name.is_empty() => *name = std::mem::take(value),
            c => value.push(c),
        }
    }
    let (_, kind) = words.remove(0);
    for (index, (name, _)) in words.iter().enumerate() {
        if !name.is_empty() && words[..index].iter().any(|(other, _)| other == name) {
            return Err(format!("{name:?} is there twice"));
        }
    }
    Ok((kind, words))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(':', "\\:")
}

fn option<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    let (_, value) = options.iter().find(|(other, _)| other == name)?;
    Some(value)
}

fn take(options: &mut Options, name: &str) -> Option<String> {
    let at = options.iter().position(|(other, _)| other == name)?;
    Some(options.remove(at).1)
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is no port"))
}

fn is_any(interface: &str) -> bool {
    interface
        .parse()
        .is_ok_and(|address: IpAddr| address.is_unspecified())
}

fn is_host(host: &str) -> bool {
    host.parse::<Ipv6Addr>().is_ok()
        || host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerEndpoint {
        text.parse().unwrap()
    }

    #[test]
    fn stocks_notation_survives_a_round_trip() {
        for text in [
            "tcp6:port=8066",
            "tcp:port=0:interface=127.0.0.1",
            r"tcp6:port=8066:interface=\:\:1",
            "ssl:port=8066:privateKey=/etc/key.pem:certKey=/etc/a=b.pem",
            "unix:address=/run/socket",
        ] {
            assert_eq!(server(text).to_string(), text);
        }
        assert_eq!(server("tls:port=1").kind, Kind::Ssl);
        assert_eq!(server("tcp:8080:interface=127.0.0.1").port, 8080);
        assert_eq!(
            server("unix:/run/socket").option("address"),
            Some("/run/socket")
        );
    }

    #[test]
    fn urls_name_the_host_then_the_interface_then_the_fqdn() {
        for (text, url) in [
            ("tcp6:port=8066", "http://buildd.test:8066"),
            ("tcp:port=80:interface=127.0.0.1", "http://127.0.0.1:80"),
            ("tcp:port=80:interface=0.0.0.0", "http://buildd.test:80"),
            (r"tcp6:port=80:interface=\:\:1", "http://[::1]:80"),
            (
                "ssl:port=443:interface=127.0.0.1:host=a.test",
                "https://a.test:443",
            ),
        ] {
            assert_eq!(server(text).url(Protocol::Http, "buildd.test"), url);
        }
        assert_eq!(server("tls:port=21").url(Protocol::Ftp, "a"), "ftps://a:21");
        assert_eq!(server("tcp6:port=1").interface_or_any(), "::");
        assert_eq!(server("tcp:port=1").interface_or_any(), "0.0.0.0");
    }

    #[test]
    fn broken_server_endpoints_are_named() {
        for (text, fault) in [
            ("", "unknown type \"\""),
            ("udp:port=1", "unknown type \"udp\""),
            ("tcp", "port is needed"),
            ("tcp:port=x", "\"x\" is no port"),
            ("tcp:port=65536", "\"65536\" is no port"),
            ("tcp:1:2", "\"2\" is not NAME=VALUE"),
            ("tcp:port=1:port=2", "\"port\" is there twice"),
            ("tcp:port=1:interface=eth0", "interface is no IP address"),
            ("tcp:port=1:host=a/b", "host is no host name"),
            ("unix:mode=660", "address is needed"),
            ("tcp:port=1\\", "ends with a backslash"),
        ] {
            let error = text.parse::<ServerEndpoint>().unwrap_err();
            assert_eq!(error.fault, fault);
            assert!(error.to_string().ends_with("like tcp:port=8066"), "{error}");
        }
    }

    #[test]
    fn client_endpoints_have_urls() {
        for (text, url) in [
            ("tcp:host=buildd.test:port=8066", "http://buildd.test:8066"),
            ("tls:host=buildd.test:port=8066", "https://buildd.test:8066"),
            ("tcp:buildd.test:8066", "http://buildd.test:8066"),
            (r"tcp:host=\:\:1:port=1", "http://[::1]:1"),
            ("http://buildd.test", "http://buildd.test:80"),
            ("https://admin@buildd.test/", "https://buildd.test:443"),
            ("ftp://[::1]:8067", "ftp://[::1]:8067"),
            ("ftps://buildd.test", "ftps://buildd.test:990"),
        ] {
            let endpoint: ClientEndpoint = text.parse().unwrap();
            assert_eq!(endpoint.url(), url);
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn broken_client_endpoints_are_named() {
        for (text, fault) in [
            (
                "buildd.test:8066",
                "neither URL nor tcp:host=HOST:port=PORT",
            ),
            ("gopher://a", "unknown scheme \"gopher\""),
            ("http://u:p@a", "a password has no place in a URL"),
            ("http://a/path", "\"a/path\" is no host name"),
            ("http://", "\"\" is no host name"),
            ("http://a:b", "\"b\" is no port"),
            ("tcp:host=a", "port is needed"),
        ] {
            let error = text.parse::<ClientEndpoint>().unwrap_err();
            assert_eq!(error.fault, fault);
        }
    }

    #[test]
    fn a_socket_has_a_path_and_a_mode() {
        let socket = |text: &str| server(text).socket();
        assert_eq!(socket("unix:/run/http"), Ok(("/run/http".into(), 0o666)));
        assert_eq!(
            socket("unix:/run/http:mode=660"),
            Ok(("/run/http".into(), 0o660))
        );
        for text in [
            "unix:run/http",
            "unix:/run/http:mode=1777",
            "unix:/run/http:mode=rw",
        ] {
            assert!(socket(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passive_ports_are_a_range() {
        let ports =
            |text: &str| server(&format!("tcp:port=21:passive_ports={text}")).passive_ports();
        assert_eq!(ports("4000-4010"), Ok(Some(4000..=4010)));
        assert_eq!(ports("4000-4000"), Ok(Some(4000..=4000)));
        for text in ["", "4000", "5-4", "0-4", "4000-70000"] {
            assert!(ports(text).is_err(), "{text}");
        }
        assert_eq!(server("tcp:port=21").passive_ports(), Ok(None));
    }
}
