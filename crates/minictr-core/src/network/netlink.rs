//! Messages to the kernel's network configuration, and its answers. `netlink(7)`, `rtnetlink(7)`.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Of a message, and of an attribute.
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// Larger than any part of a dump, which is as large as the room that the reader shows.
const ROOM: usize = 32 * 1024;

/// A message being written.
pub(super) struct Message(Vec<u8>);

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

impl Message {
    /// A message of a kind, with the fixed part that the kind has.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        bytes.resize(aligned(bytes.len()), 0);
        Self(bytes)
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(aligned(self.0.len()), 0);
    }

    fn finish(mut self, flags: u16) -> Vec<u8> {
        let all = u16::from_ne_bytes([self.0[6], self.0[7]]) | flags;
        self.0[6..8].copy_from_slice(&all.to_ne_bytes());
        let length = self.0.len() as u32;
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// The attributes of a message, behind its fixed part.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A socket of the network namespace that this process is in.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> Result<Self, Errno> {
        let protocol = SockProtocol::NetlinkRoute;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Asks for a change, and waits for it.
    pub(super) fn change(&self, message: Message) -> Result<(), Errno> {
        self.ask(message.finish(ACKNOWLEDGE), |_, _| {})
    }

    /// Asks for a list: `seen` gets the kind of each message and what is behind its header.
    pub(super) fn list(&self, message: Message, seen: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
        self.ask(message.finish(DUMP), seen)
    }

    fn ask(&self, message: Vec<u8>, mut seen: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
        let socket = self.0.as_raw_fd();
        send(socket, &message, MsgFlags::empty())?;
        let mut room = vec![0u8; ROOM];
        loop {
            let count = match recv(socket, &mut room, MsgFlags::empty()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mut rest = &room[..count];
            while let Some(header) = rest.get(..HEADER) {
                let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                let body = rest.get(HEADER..length as usize).ok_or(Errno::EPROTO)?;
                match kind {
                    DONE => return Ok(()),
                    ERROR => {
                        let code = body.get(..4).and_then(|code| code.try_into().ok());
                        let code = i32::from_ne_bytes(code.ok_or(Errno::EPROTO)?);
                        return if code == 0 { Ok(()) } else { Err(Errno::from_raw(-code)) };
                    }
                    kind => seen(kind, body),
                }
                rest = rest.get(aligned(length as usize)..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let mut message = Message::new(16, 0, &[0; 16]);
        message.attribute(3, b"eth0\0");
        message.attribute(19, &7u32.to_ne_bytes());
        let bytes = message.finish(ACKNOWLEDGE);
        assert_eq!(bytes.len() % 4, 0);
        let read: Vec<_> = attributes(&bytes[HEADER + 16..]).collect();
        assert_eq!(read, [(3, b"eth0\0".as_slice()), (19, &7u32.to_ne_bytes())]);
    }

    #[test]
    fn an_attribute_that_is_cut_off_ends_the_list() {
        assert_eq!(attributes(&[9, 0, 3, 0, b'e']).count(), 0);
        assert_eq!(attributes(&[0, 0, 3, 0]).count(), 0);
    }
}
