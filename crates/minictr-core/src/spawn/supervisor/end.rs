//! The end of a launch: everything that it has goes away.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::Supervisor;
use crate::spawn::event::LaunchId;
use crate::spawn::launch::Launch;
use crate::sys::process;

impl Supervisor {
    /// A launch has ended: its caller is told once nothing is left of it.
    pub(super) fn over(
        &mut self,
        slot: usize,
        mut launch: Box<Launch>,
        result: process::WaitResult,
    ) {
        let step = self.progress.get(slot).map_or(0, |step| step.load(Ordering::Relaxed));
        if let Some(child) = launch.child.take() {
            // The caller has a copy.
            self.watch.remove(&child.pidfd);
        }
        let event = launch.end_event(result, step);
        self.release(slot, &mut launch);
        self.index.remove(&launch.id);
        self.emit(event);
    }

    /// Takes away all that a launch has, its processes included.
    pub(super) fn release(&mut self, slot: usize, launch: &mut Launch) {
        for child in [launch.joiner.take(), launch.child.take()].into_iter().flatten() {
            let _ = process::pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::reap_blocking(child.pidfd.as_fd());
            self.watch.remove(&child.pidfd);
        }
        if let Some(helper) = launch.map_helper.take() {
            helper.end();
        }
        if let Some(cgroup) = launch.cgroup.take() {
            if !launch.plan.own_pid_namespace {
                let _ = cgroup.kill_all();
            }
            if let Err(error) = cgroup.remove() {
                launch.cleanup_failed = Some(error);
            }
        }
        if let Some(scope) = launch.scope.take()
            && let Err(error) = scope.stop()
        {
            launch.cleanup_failed.get_or_insert(error);
        }
        self.give_back(launch.range.take());
        if launch.journaled
            && launch.cleanup_failed.is_none()
            && let Some(ledger) = &mut self.ledger
        {
            ledger.end(launch.id);
        }
        launch.journaled = false;
        if let Some(entry) = self.launches.get_mut(slot) {
            *entry = None;
        }
    }

    /// Gives a launch up that outlives this process: nothing of it is ended.
    pub fn leave(&mut self, id: LaunchId) {
        let Some(slot) = self.index.remove(&id) else { return };
        if let Some(launch) = self.launches[slot].take() {
            if let Some(child) = &launch.child {
                self.watch.remove(&child.pidfd);
            }
            self.give_back(launch.range);
        }
    }

    /// Kills every container, waits for their ends and clears what they had.
    pub fn kill_all(&mut self) {
        for launch in self.launches.iter().flatten() {
            launch.kill_whole();
        }
        for slot in 0..self.launches.len() {
            if let Some(mut launch) = self.launches[slot].take() {
                self.release(slot, &mut launch);
            }
        }
        self.index.clear();
        self.emitted.clear();
    }
}
