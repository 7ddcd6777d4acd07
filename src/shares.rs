//! How many connections one client may have at once, so that it does not keep all others out.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that are counted together, by who made them.
#[derive(Clone, Debug)]
pub struct Shares {
    most: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection; it is given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    client: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Shares {
    /// Each client may have `most` connections.
    pub fn new(most: usize) -> Shares {
        Shares {
            most,
            taken: Arc::default(),
        }
    }

    /// `None`: the client has as many as it may have.
    pub fn take(&self, client: IpAddr) -> Option<Share> {
        let client = whole(client);
        let mut taken = lock(&self.taken);
        let count = taken.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            client,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

fn lock(taken: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of IPv6 the network, which one subscriber has whole (RFC 6177).
fn whole(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_gets_it_back() {
        let shares = Shares::new(2);
        let take = |client: &str| shares.take(client.parse().unwrap());
        let first = take("192.0.2.1");
        let second = take("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let neighbours = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(neighbours.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::3").is_some());
        drop((second, neighbours));
        assert!(lock(&shares.taken).is_empty());
    }
}
