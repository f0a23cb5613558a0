//! Who answers the system calls that a filter asks about: `SCMP_ACT_NOTIFY`, `listenerPath` and
//! `listenerMetadata` of `config-linux.md#seccomp`, `seccomp_unotify(2)`.
//!
//! From the moment that the filter is loaded, any call of the child may have to wait for an answer,
//! or be denied: so the call that hands the listener over can't be its own. A thread of the child's,
//! begun before and without the filter, makes it. Filters have one thread as their subject, and the
//! thread is gone before the program is executed.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use serde::Serialize;

use super::hooks::{State, Subject};
use super::{report, sockets};
use crate::error::Result;
use crate::seccomp::Program;
use crate::sys::{borrow_of_caller, security};

/// Where the listener of a container's filter goes, and what is said of the container.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// The Unix socket.
    pub path: PathBuf,
    /// `listenerMetadata` of the config.
    pub metadata: Option<String>,
    /// The container.
    pub subject: Subject,
    /// Its first process, where the filter is another's.
    pub first_process: Option<i32>,
}

/// `config-linux.md#containerprocessstate`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

impl Listener {
    /// Parent: hands the descriptor on.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn deliver(&self, pid: i32, fd: BorrowedFd<'_>) -> Result<()> {
        let status = if self.first_process.is_some() { "running" } else { "creating" };
        let state = ContainerProcessState {
            oci_version: &self.subject.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: self.metadata.as_deref(),
            state: State::new(&self.subject, status, self.first_process.or(Some(pid))),
        };
        sockets::send(&self.path, &serde_json::to_vec(&state).unwrap_or_default(), fd)
    }
}

const NOT_YET: i32 = -1;
const NEVER: i32 = -2;
const SENT: i32 = -3;
/// Time between two looks of the thread.
const LOOK: Duration = Duration::from_micros(50);
/// A thread that makes one call.
const STACK: usize = 64 * 1024;

/// Child: loads a filter with a listener, which goes to the parent.
pub(super) fn load(program: &Program, sync: BorrowedFd<'_>) -> Result<(), Errno> {
    let listener = Arc::new(AtomicI32::new(NOT_YET));
    let sync = sync.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    let watched = Arc::clone(&listener);
    let courier = move || {
        let number = loop {
            match watched.load(Ordering::Acquire) {
                NOT_YET => std::thread::sleep(LOOK),
                NEVER => return,
                number => break number,
            }
        };
        // A parent that didn't get it ends the child.
        if let Some(fd) = borrow_of_caller(number) {
            let _ = report::send_descriptor(sync.as_fd(), report::LISTENER, fd);
        }
        drop(sync);
        watched.store(SENT, Ordering::Release);
    };
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(courier)
        .map(drop)
        .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
    match security::seccomp_listen(program.instructions(), program.flags()) {
        // It closes with the execution: closing it now could be a call to wait for.
        Ok(fd) => listener.store(fd.into_raw_fd(), Ordering::Release),
        Err(errno) => {
            listener.store(NEVER, Ordering::Release);
            return Err(errno);
        }
    }
    while listener.load(Ordering::Acquire) != SENT {
        std::hint::spin_loop();
    }
    Ok(())
}
