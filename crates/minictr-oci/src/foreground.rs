//! One container with this process's own standard streams: what `minictr run` and `run` of a bundle
//! do.

use std::os::fd::{AsFd, OwnedFd};

use minictr_core::error::{Context, Error, ErrorCode, Result};
use minictr_core::lifecycle::{Notify, Prepared, Restored, Runtime};
use minictr_core::spawn::{Event, Exit, LaunchRequest, Supervisor};
use minictr_core::sys::{self, process};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::Deserialize;

use crate::relay::Relay;
use crate::render;

/// What `minictr run` asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Foreground {
    /// The container.
    pub(crate) launch: LaunchRequest,
    /// Whether the program reads this process's standard input.
    #[serde(default)]
    pub(crate) interactive: bool,
    /// Whether failures are written as JSON.
    #[serde(default)]
    pub(crate) json_errors: bool,
}

/// The only launch of this process.
const LAUNCH: u64 = 1;
const SIGNALS: u32 = 1;
const READINESS: u32 = 0;
const PROCESS: u32 = 2;
/// Tokens from here on are the terminal relay's.
const RELAY: u32 = 3;
/// The token of the container's terminal.
pub(crate) const MASTER_TOKEN: u32 = RELAY + 1;

/// Signals that go to the container.
const FORWARDED: &[Signal] = &[
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
];

/// Runs the container to its end and returns the exit status: the program's, or 128 + N where signal
/// N ended it.
pub(crate) fn run(mut request: Foreground, preserved: Vec<OwnedFd>) -> Result<u8> {
    process::reset_signals();
    let terminal = request.launch.has_terminal();
    let mut fds = Vec::with_capacity(3 + preserved.len());
    for fd in 0..3u32 {
        request.launch.stdio[fd as usize] = None;
        let wanted = !terminal && (fd != 0 || request.interactive);
        if let (true, Some(stream)) = (wanted, sys::borrow_of_caller(fd as i32)) {
            request.launch.stdio[fd as usize] = Some(fds.len() as u32);
            fds.push(stream.try_clone_to_owned().context(
                ErrorCode::ResourceExhausted,
                "copy",
                "a standard stream",
            )?);
        }
    }
    request.launch.preserve_fds = (0..preserved.len()).map(|at| (fds.len() + at) as u32).collect();
    fds.extend(preserved);

    let limits = (request.launch.timeout_ms, request.launch.cpu_time_ms);
    let relay = terminal.then(|| Relay::new(request.interactive));
    let mut supervisor = Supervisor::new()?;
    let exit = watch(&mut supervisor, request.launch, fds, relay, None, |_, _| Ok(()))?;
    Ok(status(&exit, limits.0, limits.1))
}

/// Runs what the runtime has made ready to its end, and returns the exit status, as [`run`] does.
/// A container is deleted then, unless it is to be kept.
pub(crate) fn run_prepared(prepared: Prepared, runtime: &Runtime, keep: bool) -> Result<u8> {
    process::reset_signals();
    let Prepared { mut supervisor, request, fds, notify, owner } = prepared;
    let relayed = request.has_terminal() && !owner.hands_terminal_over();
    let relay = relayed.then(|| Relay::new(true));
    let exit =
        watch(&mut supervisor, request, fds, relay, notify, |pid, fds| owner.started(pid, fds));
    drop(supervisor);
    let ended = owner.end(runtime, keep && exit.is_ok());
    let status = status(&exit?, None, None);
    ended.map(|()| status)
}

/// Launches and watches to the end. `started` is told the pid and the descriptors of the start.
fn watch(
    supervisor: &mut Supervisor,
    mut request: LaunchRequest,
    fds: Vec<OwnedFd>,
    mut relay: Option<Relay>,
    mut notify: Option<Notify>,
    mut started: impl FnMut(i32, &[OwnedFd]) -> Result<()>,
) -> Result<Exit> {
    supervisor.allow_blocking();
    let signals = signals()?;
    supervisor.watch(signals.as_fd(), SIGNALS)?;
    if let (Some(process), Some(relay)) = (&mut request.spec.process, &relay)
        && process.console_size.is_none()
    {
        process.console_size = relay.size();
    }
    if let Some(notify) = &notify {
        supervisor.watch(notify.fd(), READINESS)?;
    }
    supervisor.launch(LAUNCH, request, fds);

    let mut events = Vec::new();
    loop {
        for token in supervisor.wait(&mut events)? {
            match token {
                SIGNALS => forward(&signals, relay.as_ref(), |signal| {
                    // It has ended meanwhile: its event is next.
                    let _ = supervisor.kill(LAUNCH, signal, false);
                }),
                READINESS => {
                    if let Some(ready) = notify.take_if(|notify| notify.is_ready()) {
                        supervisor.unwatch(ready.fd());
                        // This process is the service: it ends as the container does.
                        ready.tell(nix::unistd::getpid().as_raw())?;
                    }
                }
                token => {
                    if let Some(relay) = &mut relay {
                        relay.ready(supervisor, token - RELAY)?;
                    }
                }
            }
        }
        for emitted in events.drain(..) {
            match emitted.event {
                Event::Started { pid, .. } => {
                    started(pid, &emitted.fds)?;
                    if let (Some(relay), Some(master)) =
                        (&mut relay, emitted.fds.into_iter().nth(1))
                    {
                        relay.connect(supervisor, master, RELAY)?;
                    }
                }
                Event::Failed { error, .. } => return Err(error),
                Event::Exited { exit, .. } => {
                    if let Some(mut relay) = relay.take() {
                        relay.drain();
                    }
                    return Ok(exit);
                }
                Event::Stats { .. } | Event::Done { .. } | Event::RequestFailed { .. } => {}
            }
        }
    }
}

/// From here on signals are read, not suffered.
fn signals() -> Result<SignalFd> {
    let mut mask: SigSet = FORWARDED.iter().copied().collect();
    mask.add(Signal::SIGWINCH);
    mask.thread_block().context(ErrorCode::Internal, "block", "signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context(
        ErrorCode::ResourceExhausted,
        "make",
        "signal descriptor",
    )
}

fn forward(signals: &SignalFd, relay: Option<&Relay>, mut kill: impl FnMut(i32)) {
    while let Ok(Some(info)) = signals.read_signal() {
        let signal = info.ssi_signo as i32;
        if signal == Signal::SIGWINCH as i32 {
            if let Some(relay) = relay {
                relay.resize();
            }
            continue;
        }
        kill(signal);
    }
}

/// Watches a container that runs again to its end, and returns the exit status, as [`run`] does. Its
/// terminal is relayed where `relays` says so.
pub(crate) fn run_restored(restored: Restored, relays: bool) -> Result<u8> {
    let Restored { process, terminal } = restored;
    let mut supervisor = Supervisor::with_ledger(Box::new(()))?;
    let signals = signals()?;
    supervisor.watch(signals.as_fd(), SIGNALS)?;
    supervisor.watch(process.as_fd(), PROCESS)?;
    let mut relay = None;
    if let Some(master) = terminal.filter(|_| relays) {
        relay.insert(Relay::new(true)).connect(&mut supervisor, master, RELAY)?;
    }
    loop {
        for token in supervisor.wait(&mut Vec::new())? {
            match (token, &mut relay) {
                (SIGNALS, relay) => forward(&signals, relay.as_ref(), |signal| {
                    // ESRCH: it has just ended.
                    let _ = process::pidfd_send_signal(process.as_fd(), signal);
                }),
                (PROCESS, relay) => {
                    if let Some(relay) = relay {
                        relay.drain();
                    }
                    let ended = process::reap_blocking(process.as_fd()).context(
                        ErrorCode::Internal,
                        "wait for",
                        "the container",
                    )?;
                    return Ok(exit_status(ended.code, ended.signal));
                }
                (token, Some(relay)) => relay.ready(&mut supervisor, token - RELAY)?,
                (_, None) => {}
            }
        }
    }
}

/// The exit status, after saying what the program can't say itself.
fn status(exit: &Exit, timeout_ms: Option<u64>, cpu_time_ms: Option<u64>) -> u8 {
    if exit.timed_out {
        let after = timeout_ms.unwrap_or(0);
        let what = format!("after {after} ms: it was killed");
        render::error(&Error::new(ErrorCode::TimedOut, "time out", what));
    } else if exit.cpu_time_exceeded {
        let after = cpu_time_ms.unwrap_or(0);
        let what = format!("of {after} ms: it was killed");
        render::error(&Error::new(ErrorCode::TimedOut, "use up the CPU time", what));
    } else if exit.oom_killed {
        let error = Error::new(
            ErrorCode::ResourceExhausted,
            "run",
            "within the memory limit: the kernel killed a process of the container",
        )
        .hint("give it more with `--memory`");
        render::error(&error);
    }
    exit_status(exit.code, exit.signal)
}

fn exit_status(code: Option<i32>, signal: Option<i32>) -> u8 {
    match (code, signal) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        (None, None) => 125,
    }
}
