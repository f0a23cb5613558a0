//! What is ready to be launched, a container or a process that joins one, and who is told once it
//! runs.

use std::cell::RefCell;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::create::poststart;
use super::{Notify, Runtime};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::resctrl;
use crate::spawn::sockets;
use crate::spawn::{Event, LaunchId, LaunchRequest, Ledger, Supervisor};
use crate::spec::Spec;
use crate::state::record::{ProcessRecord, Record};
use crate::state::store::Locked;

/// The only launch of a process of the runtime.
const LAUNCH: LaunchId = 1;

/// A container that is being made, or that this process runs in the foreground.
#[derive(Debug)]
struct Making {
    record: Record,
    /// Given up while the container runs in the foreground.
    locked: Option<Locked>,
    /// Its first process is written down before it runs: it outlives this process, or hooks look at the
    /// container meanwhile. Any other ends with this process until then.
    process_first: bool,
}

/// The ledger of one container: its own state.
#[derive(Clone, Debug)]
pub(super) struct Maker(Rc<RefCell<Making>>);

impl Maker {
    pub(super) fn new(record: Record, locked: Locked, process_first: bool) -> Self {
        let locked = Some(locked);
        Self(Rc::new(RefCell::new(Making { record, locked, process_first })))
    }

    fn write(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut making = self.0.borrow_mut();
        change(&mut making.record);
        match &making.locked {
            Some(locked) => locked.write_record(&making.record),
            None => Ok(()),
        }
    }

    fn record(&self) -> Record {
        self.0.borrow().record.clone()
    }

    fn id(&self) -> String {
        self.0.borrow().record.id.clone()
    }

    /// It is made; from here on others may change it.
    fn made(&self) -> Result<()> {
        self.write(|record| record.made = true)?;
        self.0.borrow_mut().locked = None;
        Ok(())
    }

    /// Frees the id of a container that wasn't made; false where it was.
    pub(super) fn discard(&self) -> Result<bool> {
        let groups = self.record().resctrl;
        match self.0.borrow_mut().locked.take() {
            Some(locked) => {
                resctrl::remove(&groups)?;
                locked.remove().map(|()| true)
            }
            None => Ok(false),
        }
    }
}

impl Ledger for Maker {
    fn begin(&mut self, _: LaunchId, cgroups: &[String]) -> Result<()> {
        self.write(|record| record.cgroups = cgroups.to_vec())
    }

    fn process(&mut self, _: LaunchId, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
        let process = ProcessRecord::of(pid, pidfd);
        if self.0.borrow().process_first {
            return self.write(|record| record.process = process);
        }
        self.0.borrow_mut().record.process = process;
        Ok(())
    }

    fn end(&mut self, _: LaunchId) {}
}

/// Where an engine is told of a process that runs.
#[derive(Debug, Default)]
pub struct HandOver {
    /// File that gets the pid.
    pub pid_file: Option<PathBuf>,
    /// Socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Socket that gets a handle of the process.
    pub pidfd_socket: Option<PathBuf>,
}

/// A container, or a process that joins one, ready to be launched.
#[derive(Debug)]
pub struct Prepared {
    /// Its supervisor.
    pub supervisor: Supervisor,
    /// What to launch.
    pub request: LaunchRequest,
    /// The descriptors that go with it.
    pub fds: Vec<OwnedFd>,
    /// Where it says that it is ready, for a service manager that wants to know.
    pub notify: Option<Notify>,
    /// Who has to be told of it.
    pub owner: Owner,
}

/// Who is told of a container, or of a process that joins one: its state, and the engine.
#[derive(Debug)]
pub struct Owner {
    /// Of a container: its state.
    pub(super) maker: Option<Maker>,
    pub(super) hand_over: HandOver,
    /// The config of a container that runs at once.
    pub(super) poststart: Option<Spec>,
}

impl Owner {
    /// Whether the terminal is handed to somebody else.
    #[must_use]
    pub fn hands_terminal_over(&self) -> bool {
        self.hand_over.console_socket.is_some()
    }

    /// It runs, or waits for its start: its state says so from here on, and the engine is told.
    /// `fds` are those of [`Event::Started`].
    ///
    /// # Errors
    /// `Io`.
    pub fn started(&self, pid: i32, fds: &[OwnedFd]) -> Result<()> {
        if let (Some(path), Some(master)) = (&self.hand_over.console_socket, fds.get(1)) {
            sockets::send(path, b"/dev/ptmx", master.as_fd())?;
        }
        if let (Some(path), Some(pidfd)) = (&self.hand_over.pidfd_socket, fds.first()) {
            sockets::send(path, b"pidfd", pidfd.as_fd())?;
        }
        if let Some(path) = &self.hand_over.pid_file {
            write_pid_file(path, pid)?;
        }
        let Some(maker) = &self.maker else { return Ok(()) };
        maker.made()?;
        match &self.poststart {
            Some(config) => poststart(config, &maker.record()),
            None => Ok(()),
        }
    }

    /// It has ended, and its supervisor with it: the id of a container that wasn't made is free
    /// again, and one that was made is deleted, unless it is to be kept.
    ///
    /// # Errors
    /// As for [`Runtime::delete`].
    pub fn end(self, runtime: &Runtime, keep: bool) -> Result<()> {
        match self.maker {
            Some(maker) if !maker.discard()? && !keep => runtime.delete(&maker.id(), true),
            _ => Ok(()),
        }
    }
}

impl Prepared {
    /// Launches it, and leaves it to itself once it runs, or waits for its start. Returns its pid.
    ///
    /// # Errors
    /// Why it can't be launched; nothing of it is left then.
    pub fn leave(mut self, runtime: &Runtime) -> Result<i32> {
        let launched = self.launch();
        match launched {
            Ok(pid) => {
                self.supervisor.leave(LAUNCH);
                Ok(pid)
            }
            Err(error) => {
                // It ends what it still has.
                drop(self.supervisor);
                // The failure that led here is the one to tell.
                let _ = self.owner.end(runtime, false);
                Err(error)
            }
        }
    }

    fn launch(&mut self) -> Result<i32> {
        let request = std::mem::take(&mut self.request);
        self.supervisor.allow_blocking();
        self.supervisor.launch(LAUNCH, request, std::mem::take(&mut self.fds));
        let mut events = Vec::new();
        loop {
            self.supervisor.wait(&mut events)?;
            if let Some(emitted) = events.drain(..).next() {
                return match emitted.event {
                    Event::Started { pid, .. } => {
                        self.owner.started(pid, &emitted.fds).map(|()| pid)
                    }
                    Event::Failed { error, .. } => Err(error),
                    _ => {
                        let what = "its first process has ended";
                        Err(Error::new(ErrorCode::WrongState, "create container:", what))
                    }
                };
            }
        }
    }
}

/// The descriptors of a launch, and which of them is what.
pub(super) struct Descriptors {
    pub(super) fds: Vec<OwnedFd>,
    pub(super) stdio: [Option<u32>; 3],
    pub(super) preserve_fds: Vec<u32>,
}

impl Descriptors {
    pub(super) fn of(streams: [Option<OwnedFd>; 3], preserved: Vec<OwnedFd>) -> Self {
        let mut fds = Vec::with_capacity(3 + preserved.len());
        let mut stdio = [None; 3];
        for (slot, stream) in stdio.iter_mut().zip(streams) {
            if let Some(stream) = stream {
                *slot = Some(fds.len() as u32);
                fds.push(stream);
            }
        }
        let first = fds.len();
        fds.extend(preserved);
        let preserve_fds = (first..fds.len()).map(|at| at as u32).collect();
        Self { fds, stdio, preserve_fds }
    }
}

/// Writes a pid where an engine looks for it: whole, or not at all.
///
/// # Errors
/// `Io`.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let shown = || format!("`{}`", path.display());
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let beside = path.with_file_name(name);
    std::fs::File::create(&beside)
        .and_then(|mut file| write!(file, "{pid}"))
        .and_then(|()| std::fs::rename(&beside, path))
        .context(ErrorCode::Io, "write pid file", shown())
}
