//! Failed logins by address.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use jiff::{SignedDuration, Timestamp};

/// So many may fail within the time.
const FAILURES: u32 = 10;
const TIME: SignedDuration = SignedDuration::from_mins(5);
/// So many addresses are remembered.
const ADDRESSES: usize = 10_000;

#[derive(Default)]
pub(super) struct Attempts {
    failed: HashMap<IpAddr, (u32, Timestamp)>,
}

impl Attempts {
    /// How long an address has to wait.
    pub(super) fn refused(&self, address: IpAddr, now: Timestamp) -> Option<SignedDuration> {
        let (failures, since) = self.failed.get(&network(address))?;
        let left = TIME - now.duration_since(*since);
        (*failures >= FAILURES && left > SignedDuration::ZERO).then_some(left)
    }

    pub(super) fn note_failure(&mut self, address: IpAddr, now: Timestamp) {
        let is_over = |since: Timestamp| now.duration_since(since) >= TIME;
        if self.failed.len() >= ADDRESSES {
            self.failed.retain(|_, (_, since)| !is_over(*since));
            // Of a flood from everywhere, what is remembered helps nobody.
            if self.failed.len() >= ADDRESSES {
                self.failed.clear();
            }
        }
        let entry = self.failed.entry(network(address)).or_insert((0, now));
        if is_over(entry.1) {
            *entry = (0, now);
        }
        entry.0 += 1;
    }
}

/// Whoever has an IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
