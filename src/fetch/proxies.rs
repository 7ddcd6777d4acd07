//! Which proxies this host's apt and environment name, and what they are for (apt-transport-http(1)).
use std::process::Command;

use crate::command;
use crate::deb::sources_list::Source;

/// Value of an option of apt that says: no proxy.
const DIRECT: &str = "DIRECT";
/// Hosts that a proxy elsewhere would take for itself.
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];
const SCHEMES: [&str; 2] = ["http", "https"];

/// Proxies for http and https.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// apt's options below `Acquire::` and their values: `http::Proxy`, `https::Proxy::deb.example.org`.
    options: Vec<(String, String)>,
    /// Domains that no proxy is for, as in `no_proxy`.
    exempt: Vec<String>,
}

impl Proxies {
    /// Those of this host: what apt's configuration does not say, `http_proxy` and `https_proxy` do.
    pub fn of_host() -> Result<Proxies, command::Error> {
        let mut dump = Command::new("apt-config");
        dump.args(["dump", "--no-empty", "--format", "%F %v%n"])
            .args(["Acquire::http::Proxy", "Acquire::https::Proxy"]);
        let options = command::run(&mut dump)?;
        let options = String::from_utf8_lossy(&options.stdout);
        Ok(Proxies::parse(&options, |name| std::env::var(name).ok()))
    }

    /// Reads lines `Acquire::SCHEME::Proxy[::HOST] VALUE`, then variables.
    pub fn parse(options: &str, variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let options = options.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("Acquire::")?.split_once(' ')?;
            is_plain(value).then(|| (name.to_owned(), value.to_owned()))
        });
        let mut proxies = Proxies {
            options: options.collect(),
            exempt: Vec::new(),
        };
        let given = SCHEMES.map(|scheme| proxies.general(scheme).is_some());
        for (scheme, _) in SCHEMES.into_iter().zip(given).filter(|(_, given)| !given) {
            let value = variable(&format!("{scheme}_proxy"));
            let value = value.filter(|value| is_plain(value));
            proxies
                .options
                .extend(value.map(|value| (format!("{scheme}::Proxy"), value)));
        }
        let exempt = variable("no_proxy").unwrap_or_default();
        let exempt = exempt.split([',', ' ']).filter(|domain| is_plain(domain));
        proxies.exempt = exempt.map(str::to_owned).collect();
        proxies
    }

    /// What a URL is fetched through; `None`: nothing.
    pub fn of(&self, url: &str) -> Option<&str> {
        let (scheme, host) = scheme_and_host(url)?;
        if LOOPBACK.contains(&host) || self.is_exempt(host) {
            return None;
        }
        let own = format!("::{host}");
        let proxy = self.option(scheme, &own).or_else(|| self.general(scheme))?;
        (proxy != DIRECT).then_some(proxy)
    }

    fn general(&self, scheme: &str) -> Option<&str> {
        self.option(scheme, "")
    }

    /// As apt does, https goes where http goes unless it has options of its own.
    fn option(&self, scheme: &str, end: &str) -> Option<&str> {
        let value_of = |scheme: &str| {
            let name = format!("{scheme}::Proxy{end}");
            self.options.iter().find(|(known, _)| *known == name)
        };
        let (_, value) = value_of(scheme).or_else(|| value_of("http"))?;
        Some(value)
    }

    fn is_exempt(&self, host: &str) -> bool {
        self.exempt.iter().any(|domain| {
            let domain = domain.trim_start_matches('.');
            let before = host.strip_suffix(domain);
            domain == "*" || before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Configuration of an apt that fetches from `own` sources without proxy; empty: it needs none.
    pub fn apt_configuration(&self, foreign: &[Source], own: &[Source]) -> String {
        if self.options.is_empty() {
            return String::new();
        }
        let mut direct: Vec<&str> = LOOPBACK.into();
        let exempt = foreign
            .iter()
            .filter(|source| self.of(&source.uri).is_none());
        let exempt = exempt.chain(own);
        let exempt = exempt.filter_map(|source| scheme_and_host(&source.uri));
        direct.extend(exempt.map(|(_, host)| host).filter(|host| is_name(host)));
        direct.sort_unstable();
        direct.dedup();
        let line = |name: &str, value: &str| format!("Acquire::{name} \"{value}\";\n");
        let options = self.options.iter();
        let mut text: String = options.map(|(name, value)| line(name, value)).collect();
        for host in direct {
            text.extend(SCHEMES.map(|scheme| line(&format!("{scheme}::Proxy::{host}"), DIRECT)));
        }
        text
    }

    /// Variables for a program that fetches from `url`.
    pub fn environment(&self, url: &str) -> Vec<(String, String)> {
        let variables = self
            .of(url)
            .map(|proxy| SCHEMES.map(|scheme| (format!("{scheme}_proxy"), proxy.to_owned())));
        variables.into_iter().flatten().collect()
    }
}

/// Tells whether a value can stand between quotes in apt.conf.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// Tells whether a host can be part of an option's name.
fn is_name(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

fn scheme_and_host(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => place.split(':').next()?,
    };
    (SCHEMES.contains(&scheme) && !host.is_empty()).then_some((scheme, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "\
Acquire::http::Proxy http://proxy.test:3128/
Acquire::http::Proxy::near.test DIRECT
Acquire::https::Proxy::secure.test http://other.test:8080
";

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn apts_options_say_what_is_fetched_through_which_proxy() {
        let proxies = Proxies::parse(OPTIONS, none);
        let proxy = Some("http://proxy.test:3128/");
        for (url, through) in [
            ("http://deb.test/debian/", proxy),
            ("https://deb.test/debian/", proxy),
            ("https://secure.test/", Some("http://other.test:8080")),
            ("http://secure.test/", proxy),
            ("http://near.test:80/", None),
            ("https://near.test/", None),
            ("http://localhost:8066/", None),
            ("http://127.0.0.1/", None),
            ("file:///srv/debian", None),
        ] {
            assert_eq!(proxies.of(url), through, "{url}");
        }
    }

    #[test]
    fn variables_count_where_apt_has_no_option() {
        let variable = |name: &str| match name {
            "http_proxy" => Some("http://a.test:1".to_owned()),
            "https_proxy" => Some("http://b.test:2".to_owned()),
            "no_proxy" => Some("intern.test, .lan".to_owned()),
            _ => None,
        };
        let proxies = Proxies::parse("", variable);
        for (url, through) in [
            ("http://deb.test/", Some("http://a.test:1")),
            ("https://deb.test/", Some("http://b.test:2")),
            ("http://deb.intern.test/", None),
            ("http://printern.test/", Some("http://a.test:1")),
            ("http://deb.lan/", None),
        ] {
            assert_eq!(proxies.of(url), through, "{url}");
        }
        let proxies = Proxies::parse(OPTIONS, variable);
        assert_eq!(
            proxies.of("https://deb.test/"),
            Some("http://proxy.test:3128/")
        );
    }

    #[test]
    fn sessions_get_the_options_and_fetch_from_near_without() {
        let proxies = Proxies::parse(OPTIONS, none);
        let sources = |text: &str| Source::parse_list(text).unwrap();
        let foreign = "deb http://deb.test/debian sid main\ndeb http://near.test/debian sid main\n";
        let foreign = sources(foreign);
        let own = sources("deb http://buildd.test:8066/repositories/test sid-test-unstable main");
        let text = proxies.apt_configuration(&foreign, &own);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "Acquire::http::Proxy \"http://proxy.test:3128/\";"
        );
        for direct in ["buildd.test", "near.test", "localhost", "127.0.0.1"] {
            let line = format!("Acquire::http::Proxy::{direct} \"DIRECT\";");
            assert!(lines.contains(&line.as_str()), "{text}");
        }
        assert!(!text.contains("deb.test"), "{text}");
        let text = Proxies::default().apt_configuration(&foreign, &own);
        assert_eq!(text, "");
    }

    #[test]
    fn value_cannot_add_an_option() {
        let evil = "http://a.test\"; APT::Update::Pre-Invoke { \"id\"; }; #";
        let variable = |_: &str| Some(evil.to_owned());
        let proxies = Proxies::parse(&format!("Acquire::http::Proxy {evil}\n"), variable);
        assert_eq!(proxies.apt_configuration(&[], &[]), "");
    }

    #[test]
    fn programs_get_variables() {
        let proxies = Proxies::parse(OPTIONS, none);
        let variables = proxies.environment("http://deb.test/debian/");
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http_proxy", "https_proxy"]);
        assert_eq!(proxies.environment("http://near.test/"), []);
    }
}
