//! The `criu` process that does the work: finding it, starting it, and talking to it.
//!
//! `criu swrk` takes one request over a socket, tells of what it is about to do, and waits for an
//! answer each time, `criu(8)`. It opens the directories of the images and of its log through
//! `/proc` by the numbers that they have here.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, send, shutdown, socketpair,
};
use prost::Message;

use super::rpc::{Kind, Notification, Request, Response};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::sys::messages;
use crate::sys::process::{self, Surroundings};

/// Where programs are looked for without `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More than any answer.
const MAX_ANSWER: usize = 64 * 1024;
/// Most of what CRIU writes to its standard error that is looked at.
const MAX_SAID: u64 = 64 * 1024;
/// The oldest version whose restored mounts, labels and namespaces are those that are asked for.
const OLDEST: (i32, i32) = (3, 16);

/// The program.
#[derive(Debug)]
pub(super) struct Criu {
    program: PathBuf,
}

impl Criu {
    /// The installed one.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Checkpoint` for a user whom it can't serve.
    pub(super) fn find() -> Result<Self> {
        let user = nix::unistd::geteuid();
        if !user.is_root() {
            let object = format!("user {user}: it needs root");
            return Err(Error::new(ErrorCode::Checkpoint, "use CRIU as", object)
                .hint("checkpoint and restore containers of root's"));
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let program = std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("criu"))
            .find(|program| nix::unistd::access(program, nix::unistd::AccessFlags::X_OK).is_ok());
        match program {
            Some(program) => Ok(Self { program }),
            None => Err(Error::new(ErrorCode::NotFound, "find", "`criu`: it isn't installed")
                .hint("checkpoints are made by CRIU: install the package `criu`")),
        }
    }

    /// Refuses a version that is too old.
    ///
    /// # Errors
    /// `KernelUnsupported` where CRIU doesn't work at all here.
    pub(super) fn check_version(&self) -> Result<()> {
        let request = Request { kind: Kind::Version.into(), ..Request::default() };
        let mut worker = self.start(None)?;
        let answer = worker.ask(&request, |_, _| Ok(()))?;
        let version = answer.version.unwrap_or_default();
        if (version.major, version.minor) >= OLDEST {
            return Ok(());
        }
        let (major, minor) = OLDEST;
        let found = format!("`criu` {}.{}", version.major, version.minor);
        Err(Error::new(ErrorCode::KernelUnsupported, "use", found)
            .hint(format!("it takes version {major}.{minor} or newer")))
    }

    /// What CRIU itself says is missing here; `None` where it finds nothing.
    pub(super) fn check(&self) -> Option<String> {
        let mut command = Command::new(&self.program);
        let output = command.arg("check").stdin(Stdio::null()).output().ok()?;
        if output.status.success() {
            return None;
        }
        Some(reason(&String::from_utf8_lossy(&output.stderr)).unwrap_or_default())
    }

    /// Whether it and the kernel have a feature that `criu check --feature` knows.
    pub(super) fn has(&self, feature: &str) -> bool {
        let mut command = Command::new(&self.program);
        command.args(["check", "--feature", feature]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Starts the process, to restore something in surroundings of its own.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn start(&self, surroundings: Option<Surroundings>) -> Result<Worker> {
        let shown = || format!("`{}`", self.program.display());
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .context(ErrorCode::ResourceExhausted, "make socket for", shown())?;
        pass_on(theirs.as_fd()).context(ErrorCode::Internal, "pass on", "a socket")?;
        let said = memfd_create(c"criu", MFdFlags::MFD_CLOEXEC).map(File::from).context(
            ErrorCode::ResourceExhausted,
            "make memory for",
            shown(),
        )?;
        let output = |file: &File| {
            file.try_clone().map(Stdio::from).context(
                ErrorCode::ResourceExhausted,
                "start",
                shown(),
            )
        };
        let mut command = Command::new(&self.program);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        // Standard input is the terminal of a shell job.
        command.stdin(Stdio::inherit()).stdout(output(&said)?).stderr(output(&said)?);
        let started = match surroundings {
            Some(surroundings) => process::spawn_in(&mut command, surroundings),
            None => command.spawn(),
        };
        let child = started.context(ErrorCode::Io, "start", shown())?;
        Ok(Worker { child, socket: ours, said })
    }
}

/// Lets the programs that are executed from here on have a descriptor.
pub(super) fn pass_on(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

/// A running `criu swrk`.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    socket: OwnedFd,
    said: File,
}

impl Worker {
    pub(super) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends the request and returns the answer to it. `notified` is called with what CRIU is about
    /// to do or has done, and with the descriptors that come with it; where it fails, CRIU takes back
    /// what it has done.
    ///
    /// # Errors
    /// That of `notified`; `Io` where CRIU ends without an answer.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        mut notified: impl FnMut(&Notification, Vec<OwnedFd>) -> Result<()>,
    ) -> Result<Response> {
        self.say(request)?;
        let mut failure = None;
        loop {
            let (answer, fds) = self.hear().map_err(|error| failure.take().unwrap_or(error))?;
            if answer.kind() != Kind::Notify {
                return match failure {
                    Some(error) => Err(error),
                    None => Ok(answer),
                };
            }
            if !answer.success {
                // The end of what a notification has refused.
                return failure.map_or(Ok(answer), Err);
            }
            let notification = answer.notification.unwrap_or_default();
            if failure.is_none() {
                failure = notified(&notification, fds).err();
            }
            self.say(&Request {
                kind: Kind::Notify.into(),
                notify_success: Some(failure.is_none()),
                ..Request::default()
            })?;
        }
    }

    fn say(&self, request: &Request) -> Result<()> {
        let bytes = request.encode_to_vec();
        match send(self.socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL) {
            // It has ended, which is said when its answer is waited for.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno).context(ErrorCode::Io, "send a request to", "`criu`"),
        }
    }

    fn hear(&mut self) -> Result<(Response, Vec<OwnedFd>)> {
        let mut buffer = vec![0; MAX_ANSWER];
        let arrived = loop {
            match messages::receive(self.socket.as_fd(), &mut buffer) {
                Ok(arrived) => break arrived,
                Err(Errno::EAGAIN) => {
                    let mut wait = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    // EINTR: the loop looks again.
                    let _ = poll(&mut wait, PollTimeout::NONE);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Err(self.ended()),
                Err(errno) => return Err(errno).context(ErrorCode::Io, "hear from", "`criu`"),
            }
        };
        if arrived.length == 0 {
            return Err(self.ended());
        }
        let answer = buffer.get(..arrived.length).filter(|_| !arrived.bytes_cut);
        let answer = answer.and_then(|bytes| Response::decode(bytes).ok());
        let answer =
            answer.ok_or_else(|| Error::new(ErrorCode::Io, "understand", "what `criu` answers"))?;
        Ok((answer, arrived.fds))
    }

    /// The error where it has ended in the midst of it all.
    fn ended(&mut self) -> Error {
        let how = match self.child.wait() {
            Ok(status) => format!("it ended without an answer ({status})"),
            Err(error) => error.to_string(),
        };
        let why = self.reason().unwrap_or(how);
        Error::new(ErrorCode::Checkpoint, "run", format!("`criu`: {why}"))
    }

    /// The first error that it has written before it had a log.
    pub(super) fn reason(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let _ =
            self.said.rewind().and_then(|()| (&self.said).take(MAX_SAID).read_to_end(&mut bytes));
        reason(&String::from_utf8_lossy(&bytes))
    }

    /// Waits for its end: what it has restored is nobody else's from then on.
    pub(super) fn end(&mut self) {
        // It waits for a further request until it sees the end.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first error that CRIU has written: those that follow come of it. The end of a program that it
/// has run says less than what it says itself next.
fn reason(log: &str) -> Option<String> {
    let errors = log.lines().filter_map(|line| {
        let error = &line[line.find("Error (")?..];
        Some(error.split_once("): ").map_or(error, |(_, message)| message).trim())
    });
    let mut first = None;
    for error in errors {
        if !error.starts_with("exited, status=") {
            return Some(error.to_owned());
        }
        first = first.or(Some(error));
    }
    first.map(str::to_owned)
}

/// The first error in a log of CRIU's.
pub(super) fn reason_in(log: &Path) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    reason(&String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_first_error_without_its_place_in_the_source() {
        let log = "(00.1) Warn  (criu/net.c:3767): NSID isn't reported\n\
                   (00.3) Error (criu/files-reg.c:1629): Can't lookup mount=26 for fd=0 path=/x\n\
                   (00.4) Error (criu/cr-dump.c:2053): Dumping FAILED.\n";
        assert_eq!(reason(log).as_deref(), Some("Can't lookup mount=26 for fd=0 path=/x"));
        assert_eq!(reason("(00.1) all is well\n"), None);
        let program = "Error (criu/util.c:642): exited, status=127\n\
                       Error (criu/net.c:1980): iptables-restore -w failed\n";
        assert_eq!(reason(program).as_deref(), Some("iptables-restore -w failed"));
    }
}
