//! What the processes of a launch say, and their ends.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::start::say;
use super::{Emitted, Supervisor};
use crate::error::{Context, Error, ErrorCode};
use crate::spawn::event::Event;
use crate::spawn::hooks::{self, Moment};
use crate::spawn::launch::Phase;
use crate::spawn::prepare;
use crate::spawn::report::{self, Report};
use crate::spawn::watch::Kind;
use crate::sys::clone::Child;
use crate::sys::process;

impl Supervisor {
    pub(super) fn read_reports(&mut self, slot: usize) {
        loop {
            let Some(launch) = self.launches.get_mut(slot).and_then(Option::as_mut) else { return };
            let Some(sync) = &launch.sync else { return };
            match report::receive(sync.as_fd(), &mut self.reports) {
                Ok(None) => return,
                Ok(Some(Report::Fault { step, fault })) if launch.phase == Phase::Opening => {
                    let source = launch.plan.sources.get(step);
                    launch.failure = source.map(|source| prepare::open_error(source, fault.errno));
                }
                Ok(Some(Report::Fault { step, fault })) => {
                    launch.failure.get_or_insert_with(|| launch.plan.error(step, fault));
                }
                Ok(Some(Report::Explanation(error))) => launch.failure = Some(*error),
                Ok(Some(Report::Master(fd))) if launch.phase == Phase::Opening => {
                    launch.opened.push(fd);
                }
                Ok(Some(Report::Master(fd))) => launch.master = Some(fd),
                Ok(Some(Report::Listener(fd))) => {
                    let pid = launch.child.as_ref().map_or(0, |child| child.pid);
                    let listener = launch.request.runtime.listener.as_ref();
                    let delivered = listener.map(|listener| listener.deliver(pid, fd.as_fd()));
                    if let Some(Err(error)) = delivered {
                        launch.failure = Some(error);
                        launch.kill_whole();
                    }
                }
                Ok(Some(Report::Hooks)) => self.run_hooks(slot),
                Ok(Some(Report::Waiting)) => {
                    launch.sync = None;
                    if launch.failure.is_none() {
                        self.running(slot);
                    }
                    return;
                }
                Ok(Some(Report::Child(pidfd))) => self.child_joined(slot, pidfd),
                Ok(Some(Report::End)) | Err(_) => {
                    launch.sync = None;
                    self.reports_ended(slot);
                    return;
                }
            }
        }
    }

    /// The child's socket has closed: it executes its program, or it has ended.
    pub(super) fn reports_ended(&mut self, slot: usize) {
        let executing = self
            .progress
            .get(slot)
            .is_some_and(|step| step.load(Ordering::Relaxed) == report::EXECUTING);
        let Some(launch) = self.launches[slot].as_mut() else { return };
        if launch.phase != Phase::SettingUp || launch.failure.is_some() || !executing {
            return;
        }
        self.running(slot);
    }

    /// The child waits for the hooks of the runtime.
    fn run_hooks(&mut self, slot: usize) {
        let Some(launch) = self.launches.get_mut(slot).and_then(Option::as_mut) else { return };
        let pid = launch.child.as_ref().map(|child| child.pid);
        let (Some(hooks), Some(subject)) =
            (&launch.request.spec.hooks, &launch.request.runtime.hooks)
        else {
            return;
        };
        let run = [Moment::Prestart, Moment::CreateRuntime]
            .into_iter()
            .try_for_each(|moment| hooks::run(moment, moment.of(hooks), subject, pid))
            .and_then(|()| say(launch, report::HOOKS));
        if let Err(error) = run {
            launch.failure = Some(error);
            launch.kill_whole();
        }
    }

    /// The program runs, or waits to: its caller is told.
    fn running(&mut self, slot: usize) {
        let Some(launch) = self.launches[slot].as_mut() else { return };
        launch.phase = Phase::Running;
        launch.forget_setup();
        let Some(child) = &launch.child else { return };
        let pid = child.pid;
        let mut fds = Vec::with_capacity(2);
        match child.pidfd.try_clone() {
            Ok(pidfd) => fds.push(pidfd),
            Err(error) => {
                // The caller couldn't hold what keeps an attached container from outliving it.
                let error =
                    Error::new(ErrorCode::ResourceExhausted, "copy pidfd of", "the container")
                        .io(&error);
                launch.failure = Some(error);
                launch.kill_whole();
                return;
            }
        }
        fds.extend(launch.master.take());
        let event = Event::Started { launch: launch.id, pid };
        self.emitted.push(Emitted { event, fds });
    }

    /// The joining process has cloned the child.
    pub(super) fn child_joined(&mut self, slot: usize, pidfd: OwnedFd) {
        let Some(mut launch) = self.launches[slot].take() else { return };
        let equipped = process::pid_of(pidfd.as_fd())
            .context(ErrorCode::Internal, "find pid of", "the container's first process")
            .and_then(|pid| {
                let watched = self.watch.add(&pidfd, Kind::Child, slot as u32);
                launch.child = Some(Child { pid, pidfd });
                watched?;
                self.equip_child(slot, &mut launch)
            });
        if let Err(error) = equipped {
            launch.failure = Some(error);
            launch.kill_whole();
        }
        self.launches[slot] = Some(launch);
    }

    /// The joining process has ended: its work is done, or has failed.
    pub(super) fn joiner_ended(&mut self, slot: usize) {
        self.read_reports(slot);
        let Some(mut launch) = self.launches.get_mut(slot).and_then(Option::take) else { return };
        let Some(joiner) = launch.joiner.take() else {
            self.launches[slot] = Some(launch);
            return;
        };
        let result = match process::reap(joiner.pidfd.as_fd()) {
            Ok(Some(result)) => result,
            Ok(None) => {
                launch.joiner = Some(joiner);
                self.launches[slot] = Some(launch);
                return;
            }
            Err(_) => process::WaitResult::default(),
        };
        if launch.child.is_some() {
            self.launches[slot] = Some(launch);
            return;
        }
        self.over(slot, launch, result);
    }

    pub(super) fn map_helper_ended(&mut self, slot: usize) {
        let Some(launch) = self.launches.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(helper) = launch.map_helper.take() else { return };
        let watch = &self.watch;
        match helper.ended(|next| watch.add(next, Kind::MapHelper, slot as u32)) {
            Ok(Some(next)) => launch.map_helper = Some(next),
            Ok(None) => {
                // The maps are written; limits and journal were ready before.
                if let Err(error) =
                    say(launch, report::MAPS_WRITTEN).and_then(|()| say(launch, report::RECORDED))
                {
                    launch.failure = Some(error);
                    launch.kill_whole();
                }
            }
            Err(error) => {
                launch.failure = Some(error);
                launch.kill_whole();
            }
        }
    }

    pub(super) fn child_ended(&mut self, slot: usize) {
        // Its last words first. The process that joined for it may still have the socket open, whose
        // end then says nothing of a program that has run already.
        self.read_reports(slot);
        self.reports_ended(slot);
        let Some(mut launch) = self.launches.get_mut(slot).and_then(Option::take) else { return };
        let Some(child) = &launch.child else { return };
        if launch.request.runtime.outlives && launch.phase == Phase::Running {
            // It has ended before it was left to itself. Its status is for whoever gets this
            // process's children, so it isn't taken here.
            self.watch.remove(&child.pidfd);
            self.launches[slot] = Some(launch);
            return;
        }
        let result = match process::reap(child.pidfd.as_fd()) {
            Ok(Some(result)) => result,
            Ok(None) => {
                self.launches[slot] = Some(launch);
                return;
            }
            // ECHILD can't be: nothing else in this process waits.
            Err(_) => process::WaitResult::default(),
        };
        if launch.has_opened_all() {
            launch.child = None;
            match self.clone_child(slot, &mut launch) {
                Ok(()) => {
                    self.launches[slot] = Some(launch);
                    return;
                }
                Err(error) => launch.failure = Some(error),
            }
            if launch.child.is_some() {
                // It waits for a word that will not come; its end brings us here again.
                launch.kill_whole();
                self.launches[slot] = Some(launch);
                return;
            }
        }
        self.over(slot, launch, result);
    }
}
