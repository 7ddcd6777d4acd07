//! What may leave a network namespace (rtnetlink(7), xfrm): its processes can't change it without
//! CAP_NET_ADMIN.
use std::io;
use std::net::Ipv6Addr;

use rustix::io::Errno;
use rustix::net::netlink::{SocketAddrNetlink, XFRM};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto,
    socket_with,
};

// linux/netlink.h, linux/rtnetlink.h, linux/xfrm.h
const RTM_NEWRULE: u16 = 32;
const XFRM_MSG_NEWPOLICY: u16 = 19;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_CREATE: u16 = 0x400;
/// Room for an answer that repeats the request.
const LONGEST_ANSWER: usize = 1024;

/// Lets nothing leave the calling process's namespace for a loopback address.
///
/// A socket that is bound to another interface (SO_BINDTODEVICE, socket(7)) would send it there, and
/// Debian 12's pasta hands it to the host's loopback.
pub(super) fn close_for_loopback() -> io::Result<()> {
    // IPv4 takes an address without a route for a neighbour's then, so that no rule holds it back.
    ask(Some(XFRM), XFRM_MSG_NEWPOLICY, &policy())?;
    match ask(None, RTM_NEWRULE, &rule()) {
        // A kernel without IPv6.
        Err(Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// struct xfrm_userpolicy_info: blocks what goes out for 127.0.0.0/8; it does not hold for `lo`.
fn policy() -> Vec<u8> {
    const XFRM_INF: u64 = u64::MAX;
    const XFRM_POLICY_OUT: u8 = 1;
    const XFRM_POLICY_BLOCK: u8 = 1;
    let family = AddressFamily::INET.as_raw();
    let mut policy = vec![127];
    // The rest of both addresses, and ports.
    policy.resize(40, 0);
    policy.extend(family.to_ne_bytes());
    policy.push(8);
    // Up to the lifetime's limits, four of which are none; then what was used.
    policy.resize(56, 0);
    policy.extend([XFRM_INF; 4].map(u64::to_ne_bytes).concat());
    policy.resize(56 + 64 + 32 + 8, 0);
    policy.extend([XFRM_POLICY_OUT, XFRM_POLICY_BLOCK, 0, 0]);
    policy.resize(168, 0);
    policy
}

/// struct fib_rule_hdr with attributes: prohibits ::1 to whom the table of local addresses, which
/// comes first, does not give it.
fn rule() -> Vec<u8> {
    const FR_ACT_PROHIBIT: u8 = 8;
    const FRA_DST: u16 = 1;
    const FRA_PRIORITY: u16 = 6;
    let family = AddressFamily::INET6.as_raw().to_ne_bytes()[0];
    let attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).expect("an address is short");
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
    };
    let head = [family, 128, 0, 0, 0, 0, 0, FR_ACT_PROHIBIT, 0, 0, 0, 0];
    [
        &head[..],
        &attribute(FRA_DST, &Ipv6Addr::LOCALHOST.octets()),
        &attribute(FRA_PRIORITY, &1_u32.to_ne_bytes()),
    ]
    .concat()
}

/// Sends one request to the kernel; protocol 0 is NETLINK_ROUTE.
fn ask(protocol: Option<Protocol>, kind: u16, body: &[u8]) -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    let length = u32::try_from(16 + body.len()).expect("a request is short");
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    // struct nlmsghdr, whose sequence number and port nobody asks for.
    let request = [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
        body,
    ];
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request.concat(), SendFlags::empty(), &kernel)?;
    let mut answer = [0; LONGEST_ANSWER];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    outcome(&answer[..length])
}

/// Reads struct nlmsghdr and struct nlmsgerr.
fn outcome(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer.get(4..6).map(|kind| [kind[0], kind[1]]);
    match (kind.map(u16::from_ne_bytes), answer.get(16..20)) {
        (Some(NLMSG_ERROR), Some(&[a, b, c, d])) => match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(()),
            error => Err(Errno::from_raw_os_error(-error)),
        },
        _ => Err(Errno::BADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_long_as_the_kernels_structures() {
        assert_eq!(policy().len(), 168);
        assert_eq!(rule().len(), 12 + 20 + 8);
    }

    #[test]
    fn answer_is_an_error_number() {
        let answer = |number: i32| {
            let mut answer = vec![0; 16];
            answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
            answer.extend(number.to_ne_bytes());
            answer
        };
        assert_eq!(outcome(&answer(0)), Ok(()));
        assert_eq!(outcome(&answer(-1)), Err(Errno::PERM));
        assert_eq!(outcome(&[]), Err(Errno::BADMSG));
    }
}
