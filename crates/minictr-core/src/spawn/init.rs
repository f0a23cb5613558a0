//! A small init: pid 1 of the container that reaps orphans and forwards signals.
//!
//! It is the child itself, forked after it gave up its privileges; the fork goes on to the program.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::rootfs::mounts::Fault;
use crate::sys::{clone, process};

/// Forks: returns in the program's process, never in pid 1, which becomes the init.
///
/// # Errors
/// EAGAIN where the limit on processes allows only one.
pub(super) fn fork_program() -> Result<(), Fault> {
    // Blocked before the fork, so that no signal is lost between it and the loop below.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    let Some(program) = clone::fork()? else {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        return Ok(());
    };
    // Not looked into by the container, and holding nothing of its parent's: the end of the
    // socket must mean that the program executes.
    let _ = process::set_dumpable(false);
    let _ = process::set_parent_death_signal(libc::SIGKILL);
    process::close_from(0);
    let _ = process::set_name(c"minictr-init");
    clone::exit_now(serve(Pid::from_raw(program)))
}

/// Reaps and forwards until the program ends; returns its exit status, 128 + N for signal N.
fn serve(program: Pid) -> i32 {
    let all = SigSet::all();
    loop {
        match all.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = reap(program) {
                    return status;
                }
            }
            // ESRCH: it has just ended; SIGCHLD is next.
            Ok(signal) => {
                let _ = kill(program, signal);
            }
            // A real-time signal, which nix has no name for, or an interruption.
            Err(_) => {}
        }
    }
}

fn reap(program: Pid) -> Option<i32> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == program => return Some(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                return Some(128 + signal as i32);
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            Ok(_) | Err(_) => {}
        }
    }
}
