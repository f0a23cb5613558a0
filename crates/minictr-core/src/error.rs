//! The one error of the core: what failed, on which object, the system's reason, what to do.
//!
//! Every module returns [`Error`]; nothing logs an error and then returns it. An error is data: it
//! crosses to JavaScript and into the OCI log unchanged, and is turned into the two lines that a
//! person reads (`error: …` and `hint: …`) only at the edge, by [`Error::message`] and
//! [`Error::hint`]. The cause is never part of the message, so nothing prints twice.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// What to do where a process more is refused.
pub const NO_PROCESSES: &str =
    "the limit on processes is reached: `ulimit -u`, or the pids cgroup that this process is in";

/// A stable name for a kind of failure, the same in Rust, in TypeScript (`MinictrError.code`) and
/// in `--json` output.
///
/// Codes are added, never renamed: programs match them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// An option, a spec field or a combination of them that can't be honoured.
    InvalidArgument,
    /// The rootfs doesn't exist, isn't a directory or can't be used as `/`.
    RootfsUnusable,
    /// The program doesn't exist in the container (exit code 127).
    CommandNotFound,
    /// The program exists but can't be executed (exit code 126).
    CommandNotExecutable,
    /// A namespace couldn't be created, joined or configured.
    Namespace,
    /// User namespaces are forbidden or exhausted on this machine.
    UserNamespace,
    /// No id mapping could be had, or it couldn't be written.
    IdMapping,
    /// A mount couldn't be made.
    Mount,
    /// A device node couldn't be made or bound.
    Device,
    /// A limit was asked for where no writable cgroup can be had.
    CgroupUnavailable,
    /// A cgroup operation failed.
    Cgroup,
    /// A capability, seccomp, label or credential step failed.
    Security,
    /// The seccomp profile can't be compiled or loaded.
    Seccomp,
    /// A user or group name isn't in the container's `/etc/passwd` or `/etc/group`.
    UnknownUser,
    /// Out of descriptors, processes, memory or disk.
    ResourceExhausted,
    /// The start took longer than its timeout.
    StartTimeout,
    /// The program ran longer, or used more CPU time, than it was given.
    TimedOut,
    /// The start was aborted by the caller, or its process killed by somebody else.
    Aborted,
    /// The helper process ended while calls were in flight.
    SpawnerDied,
    /// The helper process couldn't be started.
    SpawnerUnavailable,
    /// A program of the spec's `hooks` failed.
    HookFailed,
    /// CRIU couldn't checkpoint or restore a container.
    Checkpoint,
    /// The kernel lacks an interface that this needs, or hides it.
    KernelUnsupported,
    /// A name or id is already taken.
    AlreadyExists,
    /// No container of that name or id.
    NotFound,
    /// The container isn't in the state that the operation needs.
    WrongState,
    /// A file operation (deploy, state, image) failed.
    Io,
    /// Something that should be impossible happened: a bug in minictr.
    Internal,
}

impl ErrorCode {
    /// The exit code that container users expect: 127 not found, 126 not executable, else 125.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CommandNotFound => 127,
            Self::CommandNotExecutable => 126,
            _ => 125,
        }
    }
}

/// A failure: operation, object, the kernel's reason, and what a person can do about it.
///
/// ```
/// use minictr_core::error::{Error, ErrorCode};
/// use nix::errno::Errno;
///
/// let error = Error::new(ErrorCode::Mount, "mount overlay on", "rootfs of container web1")
///     .errno(Errno::EINVAL)
///     .hint("upper and work directories must be on the same mount");
/// assert_eq!(
///     error.to_string(),
///     "mount overlay on rootfs of container web1: Invalid argument (EINVAL)"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// The stable kind.
    pub code: ErrorCode,
    /// What was being done: a verb phrase that the object completes (`mount proc on`), lowercase.
    pub operation: String,
    /// What it was done to: a path in backquotes, an option, a container. May be empty.
    pub object: String,
    /// The kernel's errno, by number; `None` where the failure is not a system call's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errno: Option<i32>,
    /// What a person can do, as a sentence without final period.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with neither errno nor hint yet.
    #[must_use]
    pub fn new(code: ErrorCode, operation: impl Into<String>, object: impl Into<String>) -> Self {
        Self { code, operation: operation.into(), object: object.into(), errno: None, hint: None }
    }

    /// A refused option or spec field.
    #[must_use]
    pub fn invalid(operation: impl Into<String>, object: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, operation, object)
    }

    /// Adds the kernel's reason.
    #[must_use]
    pub fn errno(mut self, errno: Errno) -> Self {
        self.errno = Some(errno as i32);
        self
    }

    /// Adds the reason of a standard library I/O failure, where it carries an errno.
    #[must_use]
    pub fn io(mut self, error: &std::io::Error) -> Self {
        self.errno = error.raw_os_error();
        if self.errno.is_none() {
            self.object = format!("{}: {error}", self.object);
        }
        self
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says of a failure for want of descriptors or memory what kind it is and what to do about it,
    /// unless somebody who knew more has: any step of a start can be the one that finds none left.
    #[must_use]
    pub fn exhaustion(mut self) -> Self {
        let hint = match self.errno.map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ETOOMANYREFS) => {
                "too many containers at once for the limit on open files: `ulimit -n`"
            }
            Some(Errno::ENFILE) => {
                "the machine's limit on open files is reached: `sysctl fs.file-max`"
            }
            Some(Errno::ENOMEM) => {
                "no memory is left: of the machine, or of a limit on this process (`ulimit -v`, its memory cgroup)"
            }
            _ => return self,
        };
        if self.hint.is_none() {
            self.code = ErrorCode::ResourceExhausted;
            self.hint = Some(hint.to_owned());
        }
        self
    }

    /// The sentence after `error: `: operation, object and errno text with its name.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        if let Some(raw) = self.errno {
            let errno = Errno::from_raw(raw);
            write!(f, ": {} ({errno:?})", errno.desc())?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Attaches operation and object to a bare errno or I/O error.
pub trait Context<T> {
    /// Turns the error into an [`Error`] with the given code, operation and object.
    ///
    /// # Errors
    /// The same failure, described.
    fn context(
        self,
        code: ErrorCode,
        operation: impl Into<String>,
        object: impl Into<String>,
    ) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn context(
        self,
        code: ErrorCode,
        operation: impl Into<String>,
        object: impl Into<String>,
    ) -> Result<T> {
        self.map_err(|errno| Error::new(code, operation, object).errno(errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(
        self,
        code: ErrorCode,
        operation: impl Into<String>,
        object: impl Into<String>,
    ) -> Result<T> {
        self.map_err(|error| Error::new(code, operation, object).io(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_finds_no_descriptor_left_says_what_to_do() {
        let error = Error::new(ErrorCode::Mount, "mount", "`/data`").errno(Errno::EMFILE);
        let told = error.clone().exhaustion();
        assert_eq!(told.code, ErrorCode::ResourceExhausted);
        assert!(told.hint.is_some_and(|hint| hint.contains("ulimit -n")));
        let known = error.hint("because").exhaustion();
        assert_eq!((known.code, known.hint.as_deref()), (ErrorCode::Mount, Some("because")));
    }
}
