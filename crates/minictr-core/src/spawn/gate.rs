//! Where a created container waits for its start.
//!
//! Two FIFOs in the container's state directory: the child reads one, and writes why its program
//! can't be executed to the other. It has both open for reading and writing before it enters the
//! container, so that it needs no system call but `read(2)` and `write(2)` behind its filter, and
//! never sees an end when a caller dies. Whether a container still waits is a question to the kernel
//! (does the first FIFO have a reader?), not a file that a kill could leave behind.
//!
//! The child can't be looked into while it waits, and both descriptors close when it executes its
//! program: the container never gets at either end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{mkfifoat, read, write};

use crate::error::{Context, Error, ErrorCode, Result};

/// The child waits on this one.
pub const START: &str = "start";
/// The child reports on this one.
pub const REPORT: &str = "report";
const MAX_REPORT: usize = 64 * 1024;

/// The child's ends.
#[derive(Debug)]
pub struct Gate {
    pub(super) start: OwnedFd,
    pub(super) report: OwnedFd,
}

impl Gate {
    /// Makes both FIFOs in a state directory.
    ///
    /// # Errors
    /// `Io`.
    pub fn make(directory: BorrowedFd<'_>) -> Result<Self> {
        let end = |name: &str| {
            mkfifoat(directory, name, Mode::from_bits_truncate(0o600))?;
            open(directory, name, OFlag::O_RDWR)
        };
        let what = "the container's start";
        Ok(Self {
            start: end(START).context(ErrorCode::Io, "make FIFO of", what)?,
            report: end(REPORT).context(ErrorCode::Io, "make FIFO of", what)?,
        })
    }
}

fn open(directory: BorrowedFd<'_>, name: &str, mode: OFlag) -> Result<OwnedFd, Errno> {
    let flags = mode | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let fifo = openat(directory, name, flags, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&fifo)?.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFIFO { Ok(fifo) } else { Err(Errno::EINVAL) }
}

/// The caller's end of the gate of a container that waits.
#[derive(Debug)]
pub struct Waiting {
    start: OwnedFd,
    report: OwnedFd,
}

/// Looks whether a container waits; `None` once it has been started or has ended.
///
/// # Errors
/// `Io` where the state directory can't be read.
pub fn waiting(directory: BorrowedFd<'_>) -> Result<Option<Waiting>> {
    let what = "the container's start";
    let start = match open(directory, START, OFlag::O_WRONLY | OFlag::O_NONBLOCK) {
        Ok(start) => start,
        // ENXIO: nobody reads it, `fifo(7)`.
        Err(Errno::ENXIO | Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno).context(ErrorCode::Io, "open FIFO of", what),
    };
    let report = open(directory, REPORT, OFlag::O_RDONLY | OFlag::O_NONBLOCK).context(
        ErrorCode::Io,
        "open FIFO of",
        what,
    )?;
    Ok(Some(Waiting { start, report }))
}

impl Waiting {
    /// Lets the container go on, and waits until its program is executed.
    ///
    /// # Errors
    /// Why the program couldn't be.
    pub fn release(self) -> Result<()> {
        let what = "the container";
        write(&self.start, b"s").context(ErrorCode::WrongState, "start", what)?;
        let mut said = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            match read(&self.report, &mut buffer) {
                // The last writer was the child: it has executed its program, or ended.
                Ok(0) => break,
                Ok(count) if said.len() < MAX_REPORT => said.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(Errno::EINTR) => {}
                // Only then: `poll(2)` never tells of a writer that had gone before this end was opened.
                Err(Errno::EAGAIN) => {
                    let mut wait = [PollFd::new(self.report.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut wait, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => {
                            return Err(errno).context(ErrorCode::Internal, "wait for", what);
                        }
                    }
                }
                Err(errno) => return Err(errno).context(ErrorCode::Internal, "hear from", what),
            }
        }
        self.until_nobody_waits();
        // The last word describes the failure best.
        match said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()) {
            None => Ok(()),
            Some(line) => Err(serde_json::from_slice(line).unwrap_or_else(|_| {
                Error::new(ErrorCode::Internal, "understand", "what the container reports")
            })),
        }
    }

    /// Waits until the child's end of the first FIFO is closed too. The kernel closes one after the
    /// other, and whoever asks between them would hear that the container still waits.
    fn until_nobody_waits(&self) {
        // POLLERR, which needs not be asked for: the FIFO has no reader, `poll(2)`.
        let mut wait = [PollFd::new(self.start.as_fd(), PollFlags::empty())];
        while poll(&mut wait, PollTimeout::NONE) == Err(Errno::EINTR) {}
    }
}

/// Child: waits for the start.
pub(super) fn wait(gate: &Gate) -> Result<(), Errno> {
    let mut word = [0u8; 1];
    loop {
        match read(&gate.start, &mut word) {
            Ok(1) => return Ok(()),
            // Its own end for writing keeps it from ending.
            Ok(_) => return Err(Errno::EPIPE),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Child: why it doesn't execute its program.
pub(super) fn report(gate: &Gate, error: &Error) {
    if let Ok(mut line) = serde_json::to_vec(error) {
        line.push(b'\n');
        // Nobody is left to be told where this fails.
        let _ = write(gate.report.as_fd(), &line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_start_lasts_until_the_child_has_closed_both_ends() {
        let path = std::env::temp_dir().join(format!("minictr-test-gate-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let directory = std::fs::File::open(&path).unwrap();
        let Gate { start, report } = Gate::make(directory.as_fd()).unwrap();
        // What the kernel closes first, of a process that is killed or executes its program.
        drop(report);
        let begun = waiting(directory.as_fd()).unwrap().expect("somebody reads the start");
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || done.send(begun.release().is_ok()));
        assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err());
        drop(start);
        assert_eq!(is_done.recv_timeout(Duration::from_secs(10)), Ok(true));
        assert!(waiting(directory.as_fd()).unwrap().is_none());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
