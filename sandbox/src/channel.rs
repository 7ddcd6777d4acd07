//! Messages with descriptors between library and helper: JSON over a seqpacket socket.
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Below the smallest send buffer that kernels come with (net.core.wmem_default is 212992).
const LONGEST_MESSAGE: usize = 160 * 1024;
const MOST_DESCRIPTORS: usize = 8;

/// One end; sending and receiving are atomic, so threads may share it.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    pub(crate) fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Channel::new(one), Channel::new(other)))
    }

    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LONGEST_MESSAGE {
            return Err(io::Error::from_raw_os_error(nix::libc::E2BIG));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(
                &self.socket,
                &[IoSlice::new(&text)],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })?;
        Ok(())
    }

    /// Waits for a message; `None` when the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        // Where the length is asked for, it is told without copying anything (recv(2)).
        let ask = RecvFlags::PEEK | RecvFlags::TRUNC;
        let (_, length) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut [0; 0], ask))?;
        let mut text = vec![0; length.clamp(1, LONGEST_MESSAGE)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut text)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::from_raw_os_error(nix::libc::EMSGSIZE));
        }
        let message = serde_json::from_slice(&text[..received.bytes])?;
        Ok(Some((message, descriptors)))
    }

    /// Tells the other end, and whoever else holds this one, that it is over.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket, Shutdown::Both)?)
    }

    pub(crate) fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_arrives_with_its_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&"hello", &[one.as_fd(), other.as_fd()]).unwrap();
        let (text, descriptors): (String, _) = other.receive().unwrap().unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("hello", 2));
    }

    #[test]
    fn message_that_is_too_long_is_refused_before_it_is_sent() {
        let (one, _other) = Channel::pair().unwrap();
        let error = one.send(&"x".repeat(LONGEST_MESSAGE), &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::E2BIG));
    }

    #[test]
    fn closed_end_is_the_end_of_messages() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        assert!(other.receive::<String>().unwrap().is_none());
    }
}
