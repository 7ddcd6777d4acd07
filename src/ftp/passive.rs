//! Data connections: the client connects to us, and only from where its control connection comes.
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

/// How long a client may take to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// A port that waits for one data connection.
pub(super) struct Passive {
    listener: TcpListener,
    peer: IpAddr,
}

impl Passive {
    /// Listens where the control connection arrived, for `peer` alone.
    pub(super) async fn listen(
        local: SocketAddr,
        peer: IpAddr,
        ports: Option<&RangeInclusive<u16>>,
    ) -> io::Result<Passive> {
        let mut address = local;
        let Some(ports) = ports else {
            address.set_port(0);
            let listener = TcpListener::bind(address).await?;
            return Ok(Passive { listener, peer });
        };
        for port in from_anywhere(ports) {
            address.set_port(port);
            match TcpListener::bind(address).await {
                Ok(listener) => return Ok(Passive { listener, peer }),
                Err(fault) if fault.kind() == ErrorKind::AddrInUse => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The first connection of the right peer; others are dropped.
    pub(super) async fn accept(self) -> io::Result<TcpStream> {
        let accept = async {
            loop {
                let (stream, from) = self.listener.accept().await?;
                if from.ip().to_canonical() == self.peer {
                    return Ok(stream);
                }
                warn!(%from, peer = %self.peer, "data connection of somebody else dropped");
            }
        };
        tokio::time::timeout(CONNECT, accept)
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

/// All ports of a range, from another start each time.
fn from_anywhere(ports: &RangeInclusive<u16>) -> impl Iterator<Item = u16> {
    let (first, last) = (u32::from(*ports.start()), u32::from(*ports.end()));
    let count = last - first + 1;
    let start = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    (0..count).filter_map(move |step| u16::try_from(first + start.wrapping_add(step) % count).ok())
}

/// Numbers of the PASV reply (RFC 959, section 4.1.2); nothing for IPv6.
pub(super) fn numbers(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip().to_canonical() else {
        return None;
    };
    let [a, b, c, d] = ip.octets();
    let [high, low] = address.port().to_be_bytes();
    Some(format!("{a},{b},{c},{d},{high},{low}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_of_a_range_is_tried_once() {
        let mut tried: Vec<_> = from_anywhere(&(65530..=65535)).collect();
        tried.sort_unstable();
        assert_eq!(tried, (65530..=65535).collect::<Vec<_>>());
    }

    #[test]
    fn pasv_tells_ipv4_addresses_only() {
        let numbers = |text: &str| numbers(text.parse().unwrap());
        assert_eq!(numbers("127.0.0.1:258").as_deref(), Some("127,0,0,1,1,2"));
        assert_eq!(
            numbers("[::ffff:127.0.0.1]:258").as_deref(),
            Some("127,0,0,1,1,2")
        );
        assert_eq!(numbers("[::1]:258"), None);
    }

    #[tokio::test]
    async fn a_used_up_range_is_an_error_and_strangers_are_dropped() {
        let any = "127.0.0.1:0".parse().unwrap();
        let stranger = "127.0.0.2".parse().unwrap();
        let first = Passive::listen(any, stranger, None).await.unwrap();
        let address = first.address().unwrap();
        let only = address.port()..=address.port();
        assert!(Passive::listen(any, stranger, Some(&only)).await.is_err());
        let from = tokio::net::TcpSocket::new_v4().unwrap();
        from.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let accepted = tokio::spawn(first.accept());
        let _dropped = TcpStream::connect(address).await.unwrap();
        let _taken = from.connect(address).await.unwrap();
        let accepted = accepted.await.unwrap().unwrap();
        assert_eq!(accepted.peer_addr().unwrap().ip(), stranger);
    }
}
