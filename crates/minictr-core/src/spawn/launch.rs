//! One launch, from its request to its end.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::event::{Event, Exit, LaunchId};
use super::ids::MapHelper;
use super::plan::Plan;
use super::report;
use super::request::LaunchRequest;
use super::supervisor::MAX_CPU_POLL;
use crate::cgroups::{Cgroup, FREEZE_PATIENCE, Planned, Scope};
use crate::error::{Error, ErrorCode};
use crate::sys::clone::Child;
use crate::sys::process::{self, WaitResult};

/// A time, in milliseconds, in which a start on a busy machine may not be done.
const SHORT_MS: u64 = 1000;

/// Where a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A process of ours opens host paths.
    Opening,
    /// The child walks the plan.
    SettingUp,
    /// The program runs.
    Running,
}

/// One launch.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) id: LaunchId,
    pub(super) request: LaunchRequest,
    pub(super) plan: Plan,
    pub(super) phase: Phase,
    /// Descriptors that came with the request, until the program has them.
    pub(super) fds: Vec<OwnedFd>,
    /// Copies of them out of the way of their targets.
    pub(super) copies: Vec<OwnedFd>,
    /// Sources opened so far.
    pub(super) opened: Vec<OwnedFd>,
    /// Detached mounts made of them.
    pub(super) prepared: Vec<OwnedFd>,
    pub(super) child: Option<Child>,
    /// The process that joins namespaces for the child.
    pub(super) joiner: Option<Child>,
    pub(super) sync: Option<OwnedFd>,
    pub(super) map_helper: Option<MapHelper>,
    pub(super) cgroup: Option<Cgroup>,
    /// The cgroup that is made once the child is there.
    pub(super) planned_cgroup: Option<Planned>,
    /// The systemd scope that has been asked for.
    pub(super) scope: Option<Arc<Scope>>,
    pub(super) master: Option<OwnedFd>,
    pub(super) range: Option<u32>,
    pub(super) failure: Option<Error>,
    pub(super) cleanup_failed: Option<Error>,
    pub(super) journaled: bool,
    /// The cgroups that it may get later are journaled too.
    pub(super) more_journaled: bool,
    pub(super) aborted: bool,
    /// The signal that a SIGKILL of ours stands for.
    ended_by: Option<i32>,
    timed_out: bool,
    cpu_time_exceeded: bool,
    begun: Instant,
    deadline: Option<Instant>,
    next_cpu_look: Option<Instant>,
    /// A pause that hasn't come to hold yet.
    pub(super) pausing: Option<Pausing>,
}

/// A pause on its way.
#[derive(Debug)]
pub(super) struct Pausing {
    /// Who waits for it.
    pub(super) tokens: Vec<u32>,
    next_look: Instant,
    deadline: Instant,
}

/// Time between two looks at whether a container stands still.
const PAUSE_LOOK: Duration = Duration::from_millis(1);

impl Pausing {
    pub(super) fn begin(now: Instant) -> Self {
        Self { tokens: Vec::new(), next_look: now, deadline: now + FREEZE_PATIENCE }
    }
}

impl Launch {
    pub(super) fn new(
        id: LaunchId,
        request: LaunchRequest,
        plan: Plan,
        fds: Vec<OwnedFd>,
        range: Option<u32>,
        begun: Instant,
    ) -> Self {
        let deadline =
            request.timeout_ms.and_then(|millis| begun.checked_add(Duration::from_millis(millis)));
        let next_cpu_look = request.cpu_time_ms.map(|_| begun);
        Self {
            id,
            request,
            plan,
            phase: Phase::SettingUp,
            fds,
            copies: Vec::new(),
            opened: Vec::new(),
            prepared: Vec::new(),
            child: None,
            joiner: None,
            sync: None,
            map_helper: None,
            cgroup: None,
            planned_cgroup: None,
            scope: None,
            master: None,
            range,
            failure: None,
            cleanup_failed: None,
            journaled: false,
            more_journaled: false,
            aborted: false,
            ended_by: None,
            timed_out: false,
            cpu_time_exceeded: false,
            begun,
            deadline,
            next_cpu_look,
            pausing: None,
        }
    }

    /// Whether it is being ended on purpose.
    pub(super) fn ending(&self) -> bool {
        self.aborted || self.timed_out || self.cpu_time_exceeded
    }

    /// Whether host paths were opened for it, all of them, and nothing speaks against a child.
    pub(super) fn has_opened_all(&self) -> bool {
        self.phase == Phase::Opening
            && self.failure.is_none()
            && !self.ending()
            && self.opened.len() == self.plan.sources.len()
    }

    /// Drops what only the set-up needed.
    pub(super) fn forget_setup(&mut self) {
        self.fds = Vec::new();
        self.copies = Vec::new();
        self.prepared = Vec::new();
        self.plan.steps = Vec::new();
        self.plan.notes = Vec::new();
        self.request.spec = crate::spec::Spec::default();
    }

    pub(super) fn signal(&self, signal: i32) -> Result<(), Errno> {
        match self.child.as_ref().or(self.joiner.as_ref()) {
            Some(child) => process::pidfd_send_signal(child.pidfd.as_fd(), signal)?,
            None => return Err(Errno::ESRCH),
        }
        if signal == libc::SIGKILL
            && let Some(cgroup) = &self.cgroup
        {
            cgroup.let_die();
        }
        Ok(())
    }

    /// Sends a signal to the first process, which ends by it where it would anywhere else: the
    /// kernel drops signals that the first process of a pid namespace has no handler for.
    pub(super) fn signal_as_any(&mut self, signal: i32) -> Result<(), Errno> {
        let Some(child) = &self.child else { return Err(Errno::ESRCH) };
        let dropped = self.plan.own_pid_namespace
            && self.phase == Phase::Running
            && ends_by_default(signal)
            && has_default_disposition(child.pid, signal);
        if dropped {
            self.ended_by.get_or_insert(signal);
            return self.signal(libc::SIGKILL);
        }
        self.signal(signal)
    }

    /// SIGKILL for everything in the container.
    pub(super) fn kill_whole(&self) {
        // ESRCH: it has just ended.
        let _ = self.signal(libc::SIGKILL);
        if !self.plan.own_pid_namespace
            && let Some(cgroup) = &self.cgroup
        {
            // What can't be killed now is killed before the cgroup is removed.
            let _ = cgroup.kill_all();
        }
    }

    /// CPU time used so far, microseconds: of the cgroup, else of the first process.
    pub(super) fn cpu_usage_us(&self) -> Option<u64> {
        match self.cgroup.as_ref().and_then(Cgroup::cpu_usage_us) {
            Some(usage) => Some(usage),
            None => process::process_cpu_us(self.child.as_ref()?.pid).ok(),
        }
    }

    /// When it has to be looked at again without anything happening.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.ending() {
            return None;
        }
        let pause_look = self.pausing.as_ref().map(|pausing| pausing.next_look);
        [self.deadline, self.next_cpu_look, pause_look].into_iter().flatten().min()
    }

    /// What has become of a pause; `None` while it goes on, and where there is none.
    pub(super) fn look_at_pause(&mut self, now: Instant) -> Option<Result<(), Error>> {
        let (pausing, cgroup) = (self.pausing.as_mut()?, self.cgroup.as_ref()?);
        if pausing.next_look > now {
            return None;
        }
        match cgroup.is_frozen() {
            Ok(true) => Some(Ok(())),
            Ok(false) if now < pausing.deadline => {
                pausing.next_look = now + PAUSE_LOOK;
                None
            }
            Ok(false) => Some(Err(cgroup.give_up_freezing())),
            Err(error) => Some(Err(error)),
        }
    }

    /// Ends it where a limit on time has passed.
    pub(super) fn enforce(&mut self, now: Instant) {
        if self.ending() {
            return;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.timed_out = true;
            self.kill_whole();
            return;
        }
        let (Some(limit_ms), Some(look)) = (self.request.cpu_time_ms, self.next_cpu_look) else {
            return;
        };
        if look > now {
            return;
        }
        let left_us =
            limit_ms.saturating_mul(1000).saturating_sub(self.cpu_usage_us().unwrap_or(0));
        if left_us == 0 {
            self.cpu_time_exceeded = true;
            self.kill_whole();
            return;
        }
        // No sooner than all CPUs together could use it up; at least a tick, which is how finely
        // the kernel accounts.
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let pause =
            Duration::from_micros(left_us / cpus).clamp(Duration::from_millis(1), MAX_CPU_POLL);
        self.next_cpu_look = Some(now + pause);
    }

    /// What the caller is told at the end. `step` is where the child was.
    pub(super) fn end_event(&mut self, result: WaitResult, step: u32) -> Event {
        if self.phase == Phase::Running && self.failure.is_none() {
            return Event::Exited { launch: self.id, exit: self.exit(result) };
        }
        let error = self.failure.take().unwrap_or_else(|| self.unreported_failure(result, step));
        Event::Failed { launch: self.id, error }
    }

    fn unreported_failure(&self, result: WaitResult, step: u32) -> Error {
        let at = match self.phase {
            Phase::Opening => "opening the rootfs and mount sources",
            _ => self.plan.steps.get(step as usize).map_or(
                if step == report::EXECUTING { "execute the program" } else { "set up" },
                |step| step.name(),
            ),
        };
        let object = format!("container `{}` (at the step: {at})", self.request.id);
        if self.timed_out {
            let after = self.request.timeout_ms.unwrap_or(0);
            let hint = if after < SHORT_MS {
                "a start takes some milliseconds, on a busy machine more"
            } else {
                "a mount source or rootfs on a filesystem that doesn't answer (FUSE, NFS) hangs a start"
            };
            return Error::new(
                ErrorCode::StartTimeout,
                "start",
                format!("{object}: not done after {after} ms"),
            )
            .hint(hint);
        }
        if self.aborted {
            return Error::new(ErrorCode::Aborted, "start", format!("{object}: aborted"));
        }
        if self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0) {
            return Error::new(
                ErrorCode::ResourceExhausted,
                "start",
                // In runc's words.
                format!("{object}: container init was OOM-killed (memory limit too low?)"),
            );
        }
        let how = match (killed_by(result, self.request.init), result.code) {
            (Some(libc::SIGKILL), _) => {
                return Error::new(
                    ErrorCode::Aborted,
                    "start",
                    format!("{object}: its first process was killed"),
                )
                .hint("perhaps by the kernel for want of memory: its log says so, `dmesg`");
            }
            (Some(signal), _) => format!("its first process was killed by signal {signal}"),
            (_, Some(code)) => format!("its first process ended with status {code}"),
            _ => "its first process is gone".to_owned(),
        };
        Error::new(ErrorCode::Internal, "start", format!("{object}: {how}"))
    }

    fn exit(&self, result: WaitResult) -> Exit {
        let mut exit = Exit {
            code: result.code,
            signal: result.signal,
            timed_out: self.timed_out,
            cpu_time_exceeded: self.cpu_time_exceeded,
            oom_killed: false,
            duration_us: self.begun.elapsed().as_micros() as u64,
            cpu_user_us: result.user_us,
            cpu_system_us: result.system_us,
            peak_memory_bytes: result.max_rss_bytes,
        };
        if result.signal == Some(libc::SIGKILL) && self.ended_by.is_some() {
            exit.signal = self.ended_by;
        }
        if let Some(cgroup) = &self.cgroup {
            let usage = cgroup.final_usage();
            exit.oom_killed = usage.oom_kills > 0;
            if let (Some(user), Some(system)) = (usage.cpu_user_us, usage.cpu_system_us) {
                exit.cpu_user_us = user;
                exit.cpu_system_us = system;
            }
            if let Some(peak) = usage.peak_memory_bytes {
                exit.peak_memory_bytes = peak;
            }
        }
        exit
    }
}

/// Whether a signal's default action ends a process, `signal(7)`.
#[must_use]
pub fn ends_by_default(signal: i32) -> bool {
    !matches!(
        signal,
        0 | libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGKILL
    )
}

/// Whether a process neither catches, ignores nor blocks a signal, `/proc/PID/status`.
fn has_default_disposition(pid: i32, signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let bit = 1u64 << (signal - 1).clamp(0, 63);
    ["SigBlk:", "SigIgn:", "SigCgt:"].iter().all(|field| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & bit == 0)
    })
}

/// The signal that ended a start. An init tells of its program's, which has a process of its own before
/// it is executed, by its status alone.
fn killed_by(result: WaitResult, init: bool) -> Option<i32> {
    let told = || result.code.filter(|_| init).and_then(|code| (code > 128).then_some(code - 128));
    result.signal.or_else(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_killed_before_its_execution_is_told_by_its_init() {
        let ended = |signal, code| WaitResult { signal, code, ..WaitResult::default() };
        assert_eq!(killed_by(ended(None, Some(137)), true), Some(libc::SIGKILL));
        assert_eq!(killed_by(ended(None, Some(1)), true), None);
        assert_eq!(killed_by(ended(None, Some(137)), false), None);
        assert_eq!(killed_by(ended(Some(libc::SIGTERM), None), true), Some(libc::SIGTERM));
    }
}
