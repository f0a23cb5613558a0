//! Readiness of a container's program, for the service manager: `NOTIFY_SOCKET`, `sd_notify(3)`.
//!
//! The manager believes only processes of the service, which a container's aren't once they have a
//! cgroup of their own. So a container gets a socket of ours, in a directory of its state that is
//! mounted read-only, and this process passes on the one thing that matters: that it is ready.

use std::ffi::OsStr;
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::{Mount, Spec};
use crate::state::store::{Entry, NOTIFY};

const SOCKET: &str = "notify.sock";
const IN_CONTAINER: &str = "/run/notify";
/// As long as a message may be, and messages that are read in a row: a container can send for ever.
const MESSAGE: usize = 4096;
const IN_A_ROW: usize = 64;
/// How long the manager may take to have read what it was told.
const PATIENCE_MS: u16 = 30_000;

/// Gives a container the directory that its socket will be in.
///
/// # Errors
/// `Io`.
pub(super) fn offer(entry: &Entry, spec: &mut Spec) -> Result<()> {
    let Some(process) = &mut spec.process else { return Ok(()) };
    let directory = entry.path().join(NOTIFY);
    std::fs::DirBuilder::new()
        .mode(0o755)
        .create(&directory)
        .and_then(|()| std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)))
        .context(ErrorCode::Io, "make", format!("`{}`", directory.display()))?;
    process.env.retain(|entry| !entry.starts_with("NOTIFY_SOCKET="));
    process.env.push(format!("NOTIFY_SOCKET={IN_CONTAINER}/{SOCKET}"));
    spec.mounts.push(Mount {
        destination: IN_CONTAINER.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(directory.to_string_lossy().into_owned()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    Ok(())
}

/// A container's socket, and the manager's.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    manager: UnixDatagram,
}

impl Notify {
    /// Listens on the socket of a container that was offered one; `None` where it wasn't. `manager` is
    /// the value of `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// `InvalidArgument` for another value, `Io`.
    pub(super) fn listen(entry: &Entry, manager: &OsStr) -> Result<Option<Self>> {
        let what = || format!("`{}` of NOTIFY_SOCKET", manager.display());
        let path = entry.path().join(NOTIFY);
        if !path.is_dir() {
            return Ok(None);
        }
        let address = match manager.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(Path::new(manager)),
            _ => return Err(Error::invalid("use", format!("{}: it isn't a socket", what()))),
        };
        let own = UnixDatagram::unbound().context(ErrorCode::Io, "make socket for", what())?;
        let connected = address.and_then(|address| own.connect_addr(&address));
        connected.context(ErrorCode::Io, "connect to", what())?;

        let shown = || format!("`{}`", path.join(SOCKET).display());
        let directory = std::fs::File::open(&path).context(ErrorCode::Io, "open", shown())?;
        // The path of a socket is short, that of a runtime root needn't be.
        let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let _ = std::fs::remove_file(&short);
        let socket = UnixDatagram::bind(&short).context(ErrorCode::Io, "listen on", shown())?;
        // Whatever user the program is.
        std::fs::set_permissions(&short, PermissionsExt::from_mode(0o777))
            .and_then(|()| socket.set_nonblocking(true))
            .context(ErrorCode::Io, "set up", shown())?;
        Ok(Some(Self { socket, manager: own }))
    }

    /// What to wait for.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the program has said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let mut message = [0u8; MESSAGE];
        for _ in 0..IN_A_ROW {
            let Ok(length) = self.socket.recv(&mut message) else { break };
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }

    /// Tells the manager, and of which process its service is now.
    ///
    /// # Errors
    /// `Io`.
    pub fn tell(&self, main_pid: i32) -> Result<()> {
        let say = |text: &str| self.manager.send(text.as_bytes());
        say("READY=1\n").and_then(|_| say(&format!("MAINPID={main_pid}\n"))).map(drop).context(
            ErrorCode::Io,
            "tell",
            "the service manager that the container is ready",
        )
    }

    /// Waits until the program is ready or has ended, tells the manager, and waits until that has
    /// taken it in: it looks at the sender, and this process is about to end.
    ///
    /// # Errors
    /// As for [`Notify::tell`].
    pub(super) fn wait(&self, pid: i32, process: BorrowedFd<'_>) -> Result<()> {
        loop {
            let ended = {
                let mut wait = [
                    PollFd::new(self.fd(), PollFlags::POLLIN),
                    PollFd::new(process, PollFlags::POLLIN),
                ];
                match poll(&mut wait, PollTimeout::NONE) {
                    Ok(_) => wait[1].any().unwrap_or(false),
                    Err(_) => false,
                }
            };
            if self.is_ready() {
                self.tell(pid)?;
                self.barrier();
                return Ok(());
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// `sd_notify_barrier(3)`. A manager that doesn't know it is one that nothing waits for.
    fn barrier(&self) {
        let Ok((mut reader, writer)) = std::io::pipe() else { return };
        let fds = [writer.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let data = [IoSlice::new(b"BARRIER=1")];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = sendmsg::<()>(self.manager.as_raw_fd(), &data, &rights, flags, None);
        drop(writer);
        let mut closed = [PollFd::new(reader.as_fd(), PollFlags::POLLHUP)];
        if sent.is_ok() && poll(&mut closed, PollTimeout::from(PATIENCE_MS)) == Ok(1) {
            let _ = reader.read(&mut [0]);
        }
    }
}
