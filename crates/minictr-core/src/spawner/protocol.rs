//! Messages between a process and its spawner, over `SOCK_SEQPACKET`: they stay whole, and the end
//! of either side is seen by the other.
//!
//! A message is a tag, fixed numbers in native byte order (both sides run on one machine), and JSON
//! where it carries a request or an event. Descriptors travel beside it.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Context, Error, ErrorCode, Result};
use crate::spawn::LaunchId;
use crate::sys::messages::{self, Arrived};

/// A request larger than this travels in memory of its own, whose descriptor comes first.
pub const MAX_INLINE_BYTES: usize = 64 * 1024;
/// Most descriptors of one request; the kernel's limit for one message is 253.
pub const MAX_DESCRIPTORS: usize = 250;
/// Largest request at all: a spec of this size is a mistake or an attack.
const MAX_REQUEST_BYTES: u64 = 16 * 1024 * 1024;

/// What the spawner is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Start a container; the JSON is a [`LaunchRequest`](crate::spawn::LaunchRequest).
    Launch {
        /// The asking process's number for it.
        launch: LaunchId,
        /// The request.
        json: Vec<u8>,
    },
    /// Send a signal.
    Kill {
        /// To which.
        launch: LaunchId,
        /// Which signal.
        signal: i32,
        /// SIGKILL for everything in it.
        whole_container: bool,
        /// Number for a failure's answer.
        token: u32,
    },
    /// End a launch wherever it is.
    Abort {
        /// Which.
        launch: LaunchId,
    },
    /// Read statistics.
    Stats {
        /// Of which.
        launch: LaunchId,
        /// Number for the answer.
        token: u32,
    },
    /// Pause everything in it.
    Pause {
        /// Which.
        launch: LaunchId,
        /// Number for the answer.
        token: u32,
    },
    /// Let it go on.
    Resume {
        /// Which.
        launch: LaunchId,
        /// Number for the answer.
        token: u32,
    },
    /// Change limits; the JSON is [`Resources`](crate::spec::Resources).
    Update {
        /// Of which.
        launch: LaunchId,
        /// Number for the answer.
        token: u32,
        /// The limits that change.
        json: Vec<u8>,
    },
}

const LAUNCH: u8 = b'L';
const LAUNCH_IN_MEMORY: u8 = b'M';
const KILL: u8 = b'K';
const ABORT: u8 = b'A';
const STATS: u8 = b'S';
const PAUSE: u8 = b'P';
const RESUME: u8 = b'R';
const UPDATE: u8 = b'U';

/// A message ready to be sent.
#[derive(Debug)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What travels beside it, kept open until it is sent.
    pub fds: Vec<OwnedFd>,
}

fn too_many(count: usize) -> Error {
    Error::invalid("send", format!("{count} descriptors to the container"))
        .hint(format!("at most {MAX_DESCRIPTORS} can be passed"))
}

impl Request {
    /// The message for a request, with the descriptors that belong to it.
    ///
    /// # Errors
    /// `InvalidArgument` for too many descriptors, `ResourceExhausted` where a large request finds
    /// no memory.
    pub fn encode(&self, mut fds: Vec<OwnedFd>) -> Result<Message> {
        if fds.len() > MAX_DESCRIPTORS {
            return Err(too_many(fds.len()));
        }
        let mut bytes;
        match self {
            Self::Launch { launch, json } if json.len() <= MAX_INLINE_BYTES => {
                bytes = Vec::with_capacity(9 + json.len());
                bytes.push(LAUNCH);
                bytes.extend(launch.to_ne_bytes());
                bytes.extend(json);
            }
            Self::Launch { launch, json } => {
                bytes = vec![LAUNCH_IN_MEMORY];
                bytes.extend(launch.to_ne_bytes());
                fds.insert(0, in_memory(json)?);
            }
            Self::Kill { launch, signal, whole_container, token } => {
                bytes = vec![KILL];
                bytes.extend(launch.to_ne_bytes());
                bytes.extend(signal.to_ne_bytes());
                bytes.extend(token.to_ne_bytes());
                bytes.push(u8::from(*whole_container));
            }
            Self::Abort { launch } => {
                bytes = vec![ABORT];
                bytes.extend(launch.to_ne_bytes());
            }
            Self::Stats { launch, token } => bytes = with_token(STATS, *launch, *token),
            Self::Pause { launch, token } => bytes = with_token(PAUSE, *launch, *token),
            Self::Resume { launch, token } => bytes = with_token(RESUME, *launch, *token),
            Self::Update { launch, token, json } if json.len() <= MAX_INLINE_BYTES => {
                bytes = with_token(UPDATE, *launch, *token);
                bytes.extend(json);
            }
            Self::Update { json, .. } => {
                let object = format!("with a request of {} bytes", json.len());
                return Err(Error::invalid("change limits", object));
            }
        }
        Ok(Message { bytes, fds })
    }

    /// The request of a message; a large one's memory is taken out of `fds`.
    ///
    /// # Errors
    /// `Internal` for a message that no client of this version sends.
    pub fn decode(bytes: &[u8], fds: &mut Vec<OwnedFd>) -> Result<Self> {
        let mut rest = Reader { bytes };
        let tag = rest.take::<1>()?[0];
        let launch = LaunchId::from_ne_bytes(rest.take()?);
        Ok(match tag {
            LAUNCH => Self::Launch { launch, json: rest.bytes.to_vec() },
            LAUNCH_IN_MEMORY if !fds.is_empty() => {
                Self::Launch { launch, json: from_memory(fds.remove(0))? }
            }
            KILL => {
                let signal = i32::from_ne_bytes(rest.take()?);
                let token = u32::from_ne_bytes(rest.take()?);
                Self::Kill { launch, signal, token, whole_container: rest.take::<1>()?[0] != 0 }
            }
            ABORT => Self::Abort { launch },
            STATS => Self::Stats { launch, token: u32::from_ne_bytes(rest.take()?) },
            PAUSE => Self::Pause { launch, token: u32::from_ne_bytes(rest.take()?) },
            RESUME => Self::Resume { launch, token: u32::from_ne_bytes(rest.take()?) },
            UPDATE => {
                let token = u32::from_ne_bytes(rest.take()?);
                Self::Update { launch, token, json: rest.bytes.to_vec() }
            }
            _ => return Err(garbled()),
        })
    }
}

/// A request that is a tag, a launch and a token.
fn with_token(tag: u8, launch: LaunchId, token: u32) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(launch.to_ne_bytes());
    bytes.extend(token.to_ne_bytes());
    bytes
}

fn garbled() -> Error {
    Error::new(ErrorCode::Internal, "read", "a message to the spawner")
        .hint("the addon and the helper are of different versions; reinstall minictr")
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or_else(garbled)?;
        self.bytes = tail;
        Ok(*head)
    }
}

/// Memory that holds `json`, sealed: the reader sees what was checked, whatever the sender does
/// later.
///
/// # Errors
/// `ResourceExhausted`.
pub fn in_memory(json: &[u8]) -> Result<OwnedFd> {
    let what = "memory for a large request";
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let fd = memfd_create(c"minictr-request", flags).context(
        ErrorCode::ResourceExhausted,
        "make",
        what,
    )?;
    let mut file = std::fs::File::from(fd);
    std::io::Write::write_all(&mut file, json).context(
        ErrorCode::ResourceExhausted,
        "fill",
        what,
    )?;
    let fd = OwnedFd::from(file);
    image_seal(fd.as_fd()).context(ErrorCode::Internal, "seal", what)?;
    Ok(fd)
}

pub(super) fn image_seal(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

/// Reads what [`in_memory`] wrote.
///
/// # Errors
/// `InvalidArgument` for over 16 MiB, `Internal`.
pub fn from_memory(fd: OwnedFd) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(fd);
    let what = "a large request";
    let size = file.metadata().context(ErrorCode::Internal, "measure", what)?.len();
    if size > MAX_REQUEST_BYTES {
        return Err(Error::invalid("read", format!("a request of {size} bytes")));
    }
    let mut json = vec![0; size as usize];
    // At an offset: the sender's position is at the end, and it is shared.
    file.read_exact_at(&mut json, 0).context(ErrorCode::Internal, "read", what)?;
    Ok(json)
}

/// Sends one message without blocking; EAGAIN where the other side is behind.
///
/// # Errors
/// Those of `sendmsg(2)`.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[OwnedFd]) -> Result<(), Errno> {
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, flags, None).map(drop)
}

/// What [`Receiver::receive`] found.
#[derive(Debug)]
pub enum Received {
    /// Nothing yet.
    Nothing,
    /// The other side has closed.
    End,
    /// A message is in the buffer: its length, and what came beside it.
    Message(usize, Vec<OwnedFd>),
    /// As `Message`, but this process had no room for all of its descriptors: the first ones.
    Cut(usize, Vec<OwnedFd>),
}

/// A buffer for messages.
#[derive(Debug)]
pub struct Receiver {
    buffer: Vec<u8>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self { buffer: vec![0; MAX_INLINE_BYTES + 4096] }
    }
}

impl Receiver {
    /// Takes the next message without blocking.
    ///
    /// # Errors
    /// EMSGSIZE for one longer than the protocol's longest.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Received, Errno> {
        let arrived = match messages::receive(socket, &mut self.buffer) {
            Ok(arrived) => arrived,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(Errno::ECONNRESET) => return Ok(Received::End),
            Err(errno) => return Err(errno),
        };
        Ok(match arrived {
            Arrived { bytes_cut: true, .. } => return Err(Errno::EMSGSIZE),
            Arrived { length, fds, fds_cut: true, .. } => Received::Cut(length, fds),
            Arrived { length: 0, .. } => Received::End,
            Arrived { length, fds, .. } => Received::Message(length, fds),
        })
    }

    /// The message that [`Receiver::receive`] put into the buffer.
    #[must_use]
    pub fn message(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    fn over_the_wire(request: &Request, fds: Vec<OwnedFd>) -> (Request, Vec<OwnedFd>) {
        let (ours, theirs) = pair();
        let message = request.encode(fds).unwrap();
        send(ours.as_fd(), &message.bytes, &message.fds).unwrap();
        let mut receiver = Receiver::default();
        let Received::Message(length, mut fds) = receiver.receive(theirs.as_fd()).unwrap() else {
            panic!("no message");
        };
        (Request::decode(receiver.message(length), &mut fds).unwrap(), fds)
    }

    #[test]
    fn every_request_arrives_as_it_was_sent() {
        for request in [
            Request::Launch { launch: 7, json: b"{}".to_vec() },
            Request::Kill { launch: 8, signal: 15, whole_container: true, token: 3 },
            Request::Abort { launch: u64::MAX },
            Request::Stats { launch: 9, token: 10 },
            Request::Pause { launch: 11, token: 12 },
            Request::Resume { launch: 13, token: u32::MAX },
            Request::Update { launch: 14, token: 15, json: b"{}".to_vec() },
        ] {
            assert_eq!(over_the_wire(&request, Vec::new()).0, request);
        }
    }

    #[test]
    fn a_large_request_arrives_whole_with_its_descriptors() {
        let json = vec![b'x'; 1_000_000];
        let null = std::fs::File::open("/dev/null").unwrap();
        let (request, fds) =
            over_the_wire(&Request::Launch { launch: 1, json: json.clone() }, vec![null.into()]);
        assert_eq!(request, Request::Launch { launch: 1, json });
        assert_eq!(fds.len(), 1);
    }

    #[test]
    fn refuses_more_descriptors_than_a_message_holds() {
        let fds = (0..251).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect();
        let error = Request::Launch { launch: 1, json: Vec::new() }.encode(fds).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_garbled_message_is_an_error() {
        for bytes in [&b""[..], b"L", b"Z12345678", b"K12345678", b"M12345678"] {
            assert!(Request::decode(bytes, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (ours, theirs) = pair();
        drop(ours);
        let received = Receiver::default().receive(theirs.as_fd()).unwrap();
        assert!(matches!(received, Received::End));
    }
}
