//! Programs of the spec that run at points of a container's life, `config.md#posix-platform-hooks`.
//!
//! `prestart` and `createRuntime` are run by the parent while the child waits, `createContainer` and
//! `startContainer` by the child itself, in the container's namespaces; `poststart` and `poststop` by
//! whoever starts or deletes the container. State, output and error are in memory, so a hook that
//! neither reads nor is read can't hold anybody up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;

use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::{Hook, Hooks};
use crate::sys::process;

/// Most of a hook's output that an error repeats.
const MAX_OUTPUT: u64 = 4096;

/// When hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Deprecated: as the next, and before it.
    Prestart,
    /// The namespaces are made, the root isn't changed.
    CreateRuntime,
    /// The same, in the container's namespaces.
    CreateContainer,
    /// In the container, before the program.
    StartContainer,
    /// The program runs.
    Poststart,
    /// The container is deleted.
    Poststop,
}

impl Moment {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The name of the list in a config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The container's status at that moment.
    const fn status(self) -> &'static str {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer => "creating",
            Self::StartContainer => "created",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }

    /// The hooks of a config for that moment.
    #[must_use]
    pub fn of(self, hooks: &Hooks) -> &[Hook] {
        match self {
            Self::Prestart => &hooks.prestart,
            Self::CreateRuntime => &hooks.create_runtime,
            Self::CreateContainer => &hooks.create_container,
            Self::StartContainer => &hooks.start_container,
            Self::Poststart => &hooks.poststart,
            Self::Poststop => &hooks.poststop,
        }
    }
}

/// What a hook is told of the container, `runtime.md#state`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The version of the spec that its config follows.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Absolute path of its bundle.
    pub bundle: String,
    /// `annotations` of its config.
    pub annotations: BTreeMap<String, String>,
    /// What a hook's output is added to; `None` is what its failure repeats.
    #[serde(skip)]
    pub stdout: Option<Arc<File>>,
    /// As `stdout`, for its errors.
    #[serde(skip)]
    pub stderr: Option<Arc<File>>,
}

/// `runtime.md#state`.
#[derive(Serialize)]
pub(super) struct State<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

impl<'a> State<'a> {
    pub(super) fn new(subject: &'a Subject, status: &'static str, pid: Option<i32>) -> Self {
        Self { subject, status, pid }
    }
}

/// Runs hooks one after the other, the first failure ends it.
///
/// # Errors
/// `HookFailed` with what the hook wrote.
pub fn run(moment: Moment, hooks: &[Hook], subject: &Subject, pid: Option<i32>) -> Result<()> {
    let state = State::new(subject, moment.status(), pid);
    let state = serde_json::to_vec(&state).unwrap_or_default();
    hooks.iter().try_for_each(|hook| run_one(moment, hook, subject, &state))
}

fn failed(moment: Moment, hook: &Hook, why: &str) -> Error {
    let object = format!("`{}`: {why}", hook.path);
    Error::new(ErrorCode::HookFailed, format!("run {} hook", moment.name()), object)
}

fn run_one(moment: Moment, hook: &Hook, subject: &Subject, state: &[u8]) -> Result<()> {
    let memory = |name| {
        memfd_create(name, MFdFlags::MFD_CLOEXEC).map(File::from).context(
            ErrorCode::ResourceExhausted,
            "make memory for",
            format!("{} hook `{}`", moment.name(), hook.path),
        )
    };
    let mut input = memory(c"state")?;
    let mut output = memory(c"output")?;
    let io = |error: std::io::Error| failed(moment, hook, &error.to_string());
    input.write_all(state).and_then(|()| input.rewind()).map_err(io)?;
    let mut command = Command::new(&hook.path);
    // The whole vector is the hook's, its name included.
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::from(input));
    let into = |file: &Option<Arc<File>>| {
        file.as_deref().unwrap_or(&output).try_clone().map(Stdio::from).map_err(io)
    };
    command.stdout(into(&subject.stdout)?).stderr(into(&subject.stderr)?);
    let mut child = command.spawn().map_err(|error| {
        Error::new(
            ErrorCode::HookFailed,
            format!("run {} hook", moment.name()),
            format!("`{}`", hook.path),
        )
        .io(&error)
    })?;
    let timeout = hook.timeout.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    let why = match wait(&mut child, timeout) {
        Ok(Some(status)) if status.success() => return Ok(()),
        Ok(Some(status)) => status.to_string(),
        Ok(None) => {
            let _ = child.kill();
            let _ = child.wait();
            format!("not done after {} s: it was killed", hook.timeout.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    };
    let mut said = Vec::new();
    let _ = output.rewind().and_then(|()| output.take(MAX_OUTPUT).read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said);
    Err(match said.trim() {
        "" => failed(moment, hook, &why),
        said => failed(moment, hook, &format!("{why}: {said}")),
    })
}

/// Waits for a hook's end; `None` where its time has passed.
fn wait(
    child: &mut Child,
    timeout: Option<Duration>,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let Some(timeout) = timeout else { return child.wait().map(Some) };
    let deadline = Instant::now() + timeout;
    let pidfd = process::pidfd_open(child.id() as i32)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let millis = left.as_millis().clamp(1, 60_000) as u16;
        let mut ready = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        // EINTR: the loop looks again.
        let _ = poll(&mut ready, PollTimeout::from(millis));
    }
}
