//! What apt in a session has to reach of this very host, when it has not got the host's network: found in the URLs that
//! it fetches from.
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use sandbox::Forwarding;

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];
/// A port of the loopback answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time that pasta gets for its start, on however busy a host.
pub(super) const START: Duration = Duration::from_secs(10);

/// Ports of the host's loopback, and what names lead there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    pub ports: BTreeSet<u16>,
    /// Names of this host with other addresses; a session takes them for 127.0.0.1.
    pub names: BTreeSet<String>,
}

impl Near {
    /// Looks names up, and whether the ports are open; says what can't be reached by forwarding.
    pub fn of(urls: &[String]) -> Result<Near, String> {
        let near = Near::found(urls, addresses, is_own)?;
        let is_open = |port: u16| {
            let mut addresses = LOOPBACK.iter();
            addresses.any(|to| TcpStream::connect_timeout(&(*to, port).into(), PATIENCE).is_ok())
        };
        match near.ports.iter().find(|port| !is_open(**port)) {
            None => Ok(near),
            Some(port) => Err(format!("port {port} of 127.0.0.1 is closed")),
        }
    }

    fn found(
        urls: &[String],
        addresses: impl Fn(&str) -> Vec<IpAddr>,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> Result<Near, String> {
        let mut near = Near::default();
        for url in urls.iter().collect::<BTreeSet<_>>() {
            let Some((host, port)) = host_and_port(url)? else {
                continue;
            };
            let literal = host.parse::<IpAddr>().ok();
            let found = literal.map_or_else(|| addresses(host), |address| vec![address]);
            if !found.iter().any(|address| is_own(*address)) {
                continue;
            }
            near.ports.insert(port);
            if found.iter().all(|address| LOOPBACK.contains(address)) {
                continue;
            }
            if literal.is_some() {
                return Err(format!(
                    "{url} names this host by an address other than 127.0.0.1"
                ));
            }
            near.names.insert(host.to_ascii_lowercase());
        }
        Ok(near)
    }

    /// This host's /etc/hosts as a session needs it; `None`: as it is.
    pub(super) fn hosts(&self, text: &str) -> Option<String> {
        if self.names.is_empty() {
            return None;
        }
        let others = text.lines().map(|line| {
            let entry = line.split('#').next().unwrap_or_default();
            let words = entry.split_whitespace();
            let kept = words.filter(|word| !self.names.contains(&word.to_ascii_lowercase()));
            kept.collect::<Vec<_>>().join(" ")
        });
        // An address without a name says nothing.
        let others = others.filter(|line| line.contains(' '));
        let own = self.names.iter().map(|name| format!("127.0.0.1 {name}"));
        Some(own.chain(others).map(|line| line + "\n").collect())
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        if ports.is_empty() {
            return "nothing of this host's loopback".to_owned();
        }
        format!("of this host's loopback port {} alone", ports.join(", "))
    }
}

/// This host's resolv.conf as a session needs it; `None`: as it is, its servers are elsewhere.
pub(super) fn resolver(text: &str) -> Option<String> {
    resolver_where(text, is_own)
}

fn resolver_where(text: &str, is_own: impl Fn(IpAddr) -> bool) -> Option<String> {
    let server = |line: &str| {
        let server = line.trim().strip_prefix("nameserver")?.trim();
        // A zone stands behind link-local addresses.
        server.split('%').next()?.parse::<IpAddr>().ok()
    };
    let mut servers = text.lines().filter_map(server);
    if !servers.any(is_own) {
        return None;
    }
    let others = text.lines().filter(|line| server(line).is_none());
    let own = format!("nameserver {}", Forwarding::RESOLVER);
    let lines = std::iter::once(own.as_str()).chain(others);
    Some(lines.map(|line| line.to_owned() + "\n").collect())
}

/// `None`: nothing is fetched from any host.
fn host_and_port(url: &str) -> Result<Option<(&str, u16)>, String> {
    let unclear = || format!("{url} does not tell what it is fetched from");
    let (scheme, rest) = url.split_once(':').ok_or_else(unclear)?;
    if ["file", "copy", "cdrom"].contains(&scheme) {
        return Ok(None);
    }
    let rest = rest.strip_prefix("//").ok_or_else(unclear)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    let (host, after) = match place.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or_else(unclear)?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match (after.strip_prefix(':'), scheme) {
        (Some(port), _) => port.parse().map_err(|_| unclear())?,
        (None, "http") => 80,
        (None, "https") => 443,
        (None, _) => return Err(unclear()),
    };
    Ok(Some((host, port)))
}

/// Where pasta(1) is, by PATH as with all programs.
pub(super) fn pasta() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join("pasta"));
    places
        .find(|place| place.is_file())
        .unwrap_or_else(|| PathBuf::from("/usr/bin/pasta"))
}

/// None where there is no such name.
fn addresses(name: &str) -> Vec<IpAddr> {
    let found = (name, 0).to_socket_addrs();
    found
        .into_iter()
        .flatten()
        .map(|found| found.ip())
        .collect()
}

/// Only addresses of this host can be bound to.
fn is_own(address: IpAddr) -> bool {
    address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses_of(name: &str) -> Vec<IpAddr> {
        let found: &[&str] = match name {
            "localhost" => &["::1", "127.0.0.1"],
            "buildd.test" => &["127.0.1.1"],
            "server.test" => &["192.0.2.2", "2001:db8::2"],
            "mirror.test" => &["198.51.100.7"],
            _ => &[],
        };
        found.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn is_own_here(address: IpAddr) -> bool {
        address.is_loopback() || address.to_string() == "192.0.2.2"
    }

    fn near(url: &str) -> Result<Near, String> {
        Near::found(&[url.to_owned()], addresses_of, is_own_here)
    }

    fn expected(ports: &[u16], names: &[&str]) -> Near {
        Near {
            ports: ports.iter().copied().collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn ports_of_the_loopback_are_found_in_urls() {
        for (url, ports, names) in [
            (
                "http://127.0.0.1:8066/repositories/test",
                &[8066][..],
                &[][..],
            ),
            ("http://localhost/debian", &[80], &[]),
            ("https://user:secret@[::1]/debian", &[443], &[]),
            ("http://buildd.test:8066/x", &[8066], &["buildd.test"]),
            ("http://server.test:8066/x", &[8066], &["server.test"]),
            ("http://mirror.test/debian", &[], &[]),
            ("http://nowhere.test/debian", &[], &[]),
            ("http://198.51.100.7:80/debian", &[], &[]),
            ("file:///srv/debian", &[], &[]),
        ] {
            assert_eq!(near(url).unwrap(), expected(ports, names), "{url}");
        }
    }

    #[test]
    fn what_can_not_be_forwarded_is_named() {
        for url in [
            "http://127.0.1.1:8066/x",
            "http://192.0.2.2:8066/x",
            "http://127.0.0.1:x/",
            "mirror+file:/etc/mirrors",
            "tor+http://mirror.test/debian",
        ] {
            assert!(near(url).unwrap_err().contains(url), "{url}");
        }
    }

    #[test]
    fn names_of_this_host_lead_to_127_0_0_1() {
        let text = "127.0.0.1 localhost\n127.0.1.1 Buildd.test buildd # us\n192.0.2.7 mirror\n";
        let near = near("http://buildd.test:8066/").unwrap();
        assert_eq!(
            near.hosts(text).unwrap(),
            "127.0.0.1 buildd.test\n127.0.0.1 localhost\n127.0.1.1 buildd\n192.0.2.7 mirror\n"
        );
        assert_eq!(Near::default().hosts(text), None);
    }

    #[test]
    fn resolver_of_this_host_is_asked_under_the_address_it_is_forwarded_to() {
        let text = "search test\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\noptions edns0\n";
        assert_eq!(
            resolver_where(text, is_own_here).unwrap(),
            "nameserver 169.254.1.1\nsearch test\noptions edns0\n"
        );
        assert_eq!(
            resolver_where("nameserver 198.51.100.7\n", is_own_here),
            None
        );
    }
}
