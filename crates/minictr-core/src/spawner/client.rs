//! The asking process's side.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

use super::image::Image;
use super::protocol::{Message, Received, Receiver, send};
use crate::error::{Context, Error, ErrorCode, NO_PROCESSES, Result};
use crate::spawn::Event;

/// Room for messages that the spawner hasn't read yet, bytes; the kernel grants what it allows.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// A running spawner.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    process: Child,
}

/// What a spawner says.
#[derive(Debug)]
pub enum Heard {
    /// Nothing more for now.
    Nothing,
    /// An event, its JSON, and its descriptors; none where this process had no room for them.
    Event(Event, String, Vec<OwnedFd>),
    /// It has ended.
    End,
}

impl Client {
    /// Starts a spawner. The new process shares this one's address space until it executes
    /// (`posix_spawn(3)`), so the cost doesn't grow with the heap.
    ///
    /// # Errors
    /// `SpawnerUnavailable`.
    pub fn start(image: &Image) -> Result<Self> {
        image.check()?;
        let (socket, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .context(ErrorCode::ResourceExhausted, "make socket to", "the spawner")?;
        // Refused beyond net.core.wmem_max: then it is that.
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER_BYTES);
        let mut process = Err(std::io::Error::from_raw_os_error(Errno::EACCES as i32));
        for program in image.executables() {
            let copy = theirs.try_clone().context(
                ErrorCode::ResourceExhausted,
                "copy socket of",
                "the spawner",
            )?;
            process = Command::new(program)
                .arg0("minictr-oci")
                .arg("spawner")
                .stdin(Stdio::from(copy))
                .stdout(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn();
            // Memory may not be executed here (vm.memfd_noexec, a security module), or the file has
            // lost its mode.
            if process.as_ref().err().and_then(std::io::Error::raw_os_error)
                != Some(Errno::EACCES as i32)
            {
                break;
            }
        }
        drop(theirs);
        let process = process.map_err(|error| start_error(image, &error))?;
        Ok(Self { socket, process })
    }

    /// The socket, to wait on.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a message without blocking.
    ///
    /// # Errors
    /// EAGAIN where the spawner is behind, EPIPE where it is gone.
    pub fn send(&self, message: &Message) -> Result<(), Errno> {
        send(self.socket.as_fd(), &message.bytes, &message.fds)
    }

    /// Takes the next thing that it says, without blocking.
    pub fn hear(&self, receiver: &mut Receiver) -> Heard {
        match receiver.receive(self.socket.as_fd()) {
            Ok(Received::Nothing) => Heard::Nothing,
            Ok(Received::Message(length, fds) | Received::Cut(length, fds)) => {
                Self::event(receiver.message(length), fds)
            }
            Ok(Received::End) | Err(_) => Heard::End,
        }
    }

    fn event(message: &[u8], fds: Vec<OwnedFd>) -> Heard {
        let json = String::from_utf8_lossy(message).into_owned();
        match serde_json::from_str(&json) {
            Ok(event) => Heard::Event(event, json, fds),
            // Of another version of the helper, which can't be: the package holds both.
            Err(_) => Heard::End,
        }
    }

    /// Ends it and takes its exit status away.
    pub fn end(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_error(image: &Image, error: &std::io::Error) -> Error {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    let (code, hint) = match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => (ErrorCode::ResourceExhausted, None),
        Errno::EAGAIN => (ErrorCode::ResourceExhausted, Some(NO_PROCESSES)),
        _ => (
            ErrorCode::SpawnerUnavailable,
            Some(
                "the machine may forbid executing it: see `vm.memfd_noexec`, or a `noexec` mount of node_modules",
            ),
        ),
    };
    let shown = format!("`{}`", image.path().display());
    let error = Error::new(code, "start the native helper", shown).errno(errno);
    match hint {
        Some(hint) => error.hint(hint),
        None => error.exhaustion(),
    }
}

/// The failure of a launch whose spawner ended.
#[must_use]
pub fn spawner_died() -> Error {
    Error::new(ErrorCode::SpawnerDied, "start container:", "the native helper was killed")
        .hint("it may have run out of memory; the next call starts a new one")
}
