//! The cloned child: walks the plan, makes system calls, executes the program.
//!
//! It runs on a copy of its parent's memory, single-threaded, with every string terminated and every
//! filter compiled before the clone. Its first failure goes to the parent as (step, part, errno) and
//! it ends; whoever holds the plan makes the sentence. Callers: the supervisor alone.
#![expect(unsafe_code, reason = "the boundary between our image and the program's")]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::stat::{SFlag, makedev};

use super::gate::{self, Gate};
use super::plan::{Plan, Step};
use super::report::{self, FAILED, Progress};
use super::{exec, init, terminal};
use crate::error::Error;
use crate::rootfs::masks::Masks;
use crate::rootfs::mounts::Fault;
use crate::rootfs::users::ResolvedUser;
use crate::rootfs::{host, masks, mounts, paths, root};
use crate::sys::{clone, files, placement, process, security};

/// What the child holds while it walks.
struct Walk<'a> {
    plan: &'a Plan,
    prepared: &'a [OwnedFd],
    sync: BorrowedFd<'a>,
    root: Option<OwnedFd>,
    /// Mounts of a root of the host's files besides its first.
    host_mounts: Vec<OwnedFd>,
    /// The container's own `/dev`, as long as nothing else is mounted there: whoever shares the rootfs
    /// has no say in what is below it.
    dev: Option<OwnedFd>,
    /// The directory in which devices were made last, where it is another.
    devices: Option<(&'a CStr, OwnedFd)>,
    masks: Masks,
    /// Ids found in the container's own files; those of the plan otherwise.
    user: Option<ResolvedUser>,
    slave: Option<OwnedFd>,
    /// This user namespace lets nobody set groups.
    groups_denied: bool,
    /// Words of the parent that came before they were waited for.
    heard: [bool; 256],
    /// Why the step failed, in words.
    explanation: Option<Error>,
    /// The gate that was passed: who started us listens there, the creator may be gone.
    started: Option<&'a Gate>,
}

/// Runs in the child and ends there.
pub(super) fn run(
    plan: &Plan,
    prepared: &[OwnedFd],
    sync: BorrowedFd<'_>,
    progress: &Progress,
) -> ! {
    let mut walk = Walk {
        plan,
        prepared,
        sync,
        root: None,
        host_mounts: Vec::new(),
        dev: None,
        devices: None,
        masks: Masks::default(),
        user: None,
        slave: None,
        groups_denied: false,
        heard: [false; 256],
        explanation: None,
        started: None,
    };
    for (index, step) in plan.steps.iter().enumerate().skip(plan.joins()) {
        progress.step.store(index as u32, Ordering::Relaxed);
        if let Err(fault) = walk.step(step, progress) {
            let explained = matches!(step, Step::FindProgram | Step::Execute)
                .then(|| exec::explain(&plan.program, fault.errno))
                .flatten()
                .or(walk.explanation.take());
            match walk.started {
                // Nobody who holds the plan is left.
                Some(gate) => {
                    gate::report(gate, &explained.unwrap_or_else(|| plan.error(index, fault)))
                }
                None => {
                    report::send_fault(sync, index as u32, fault);
                    if let Some(error) = explained {
                        report::send_explanation(sync, &error);
                    }
                }
            }
            break;
        }
    }
    clone::exit_now(FAILED)
}

/// Runs in the process that joins namespaces: joins, clones the child as a sibling, hands its
/// pidfd over and ends.
///
/// It can't be looked into: what it joins may hold hostile processes, which could otherwise reach
/// our memory through /proc/PID/mem (CVE-2016-9962).
pub(super) fn join(
    plan: &Plan,
    prepared: &[OwnedFd],
    into: Option<BorrowedFd<'_>>,
    sync: BorrowedFd<'_>,
    progress: &Progress<'_>,
) -> ! {
    let mut at = 0;
    let joined = (|| -> Result<(), Fault> {
        process::set_parent_death_signal(libc::SIGKILL)?;
        process::set_dumpable(false)?;
        for (index, step) in plan.steps.iter().take(plan.joins()).enumerate() {
            at = index as u32;
            progress.step.store(at, Ordering::Relaxed);
            match step {
                Step::Join { kind, path } => crate::namespaces::join(*kind, path)?,
                Step::JoinProcess { process, namespaces } => {
                    // SAFETY: the plan's owner keeps the descriptor open, and a copy of its table
                    // is ours.
                    let process = unsafe { BorrowedFd::borrow_raw(*process) };
                    nix::sched::setns(process, *namespaces)?;
                }
                Step::CpuAffinity(cpus) => placement::sched_setaffinity(cpus)?,
                _ => {}
            }
        }
        let flags = plan.clone_flags | libc::CLONE_PARENT as u64;
        let child = clone::clone3(flags, into, || run(plan, prepared, sync, progress))?;
        report::send_descriptor(sync, report::CHILD, child.pidfd.as_fd())?;
        Ok(())
    })();
    match joined {
        Ok(()) => clone::exit_now(0),
        Err(fault) => {
            report::send_fault(sync, at, fault);
            clone::exit_now(FAILED)
        }
    }
}

impl<'a> Walk<'a> {
    fn device_directory(&mut self, path: &'a CStr) -> Result<BorrowedFd<'_>, Fault> {
        if let Some(dev) = self.dev.as_ref().filter(|_| path == c"/dev") {
            return Ok(dev.as_fd());
        }
        if self.devices.as_ref().is_none_or(|(open, _)| *open != path) {
            self.devices = Some((path, paths::ensure_dir(self.root()?, path, 0o755)?));
        }
        Ok(self.devices.as_ref().ok_or(Errno::EBADF)?.1.as_fd())
    }

    /// A process that joined stays out of its reach: a change of credentials gives it back, where
    /// `fs.suid_dumpable` says so.
    fn stay_hidden(&self) -> Result<(), Errno> {
        if self.plan.joins() > 0 { process::set_dumpable(false) } else { Ok(()) }
    }

    /// Waits for a word of the parent's: that it is in its scope, that the id maps are written, that the ledger has our pid and
    /// our limits are set, that its hooks are done. The second has nearly always come when it is
    /// waited for.
    fn await_parent(&mut self, word: u8) -> Result<(), Errno> {
        while !self.heard[usize::from(word)] {
            let mut said = [0u8; 1];
            match recv(self.sync.as_raw_fd(), &mut said, MsgFlags::empty()) {
                Ok(1) => self.heard[usize::from(said[0])] = true,
                // The parent is gone: nobody would ever reap or limit us.
                Ok(_) => clone::exit_now(FAILED),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Waits for what this process attaches itself to a cgroup by. What comes before is heard too.
    fn await_cgroup(&mut self) -> Result<Vec<OwnedFd>, Errno> {
        loop {
            match report::await_word(self.sync)? {
                Some((report::CGROUP_MADE, files)) => return Ok(files),
                Some((word, _)) => self.heard[usize::from(word)] = true,
                None => clone::exit_now(FAILED),
            }
        }
    }

    /// Closes what the program doesn't get. Close-on-exec alone would be too late: what is still
    /// open when the working directory or the program is looked for is a way to it, as
    /// `/proc/self/fd/N/../../bin/sh` (CVE-2024-21626). Left are a socket, two FIFOs and the files for
    /// the output of hooks, and nothing is below any of them.
    fn close_from(&self, first: RawFd) {
        let mut keep = [self.sync.as_raw_fd(), -1, -1, -1, -1];
        for step in &self.plan.steps {
            match step {
                Step::AwaitStart(gate) => {
                    keep[1] = gate.start.as_raw_fd();
                    keep[2] = gate.report.as_raw_fd();
                }
                Step::Hooks { subject, .. } => {
                    let number = |file: &Option<_>| file.as_deref().map_or(-1, File::as_raw_fd);
                    keep[3] = number(&subject.stdout);
                    keep[4] = number(&subject.stderr);
                }
                _ => {}
            }
        }
        process::close_all_but(first, keep);
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Fault> {
        Ok(self.root.as_ref().ok_or(Errno::EBADF)?.as_fd())
    }

    fn step(&mut self, step: &'a Step, progress: &Progress) -> Result<(), Fault> {
        match step {
            // Done by the process that cloned this one.
            Step::Join { .. } | Step::JoinProcess { .. } => {}
            Step::DieWithParent => process::set_parent_death_signal(libc::SIGKILL)?,
            Step::CheckParent => report::check_parent(self.sync),
            Step::MakeNamespaces => {
                if !self.plan.own_namespaces.is_empty() {
                    nix::sched::unshare(self.plan.own_namespaces)?;
                }
            }
            Step::AttachCgroups if self.plan.cgroup_comes => {
                for file in self.await_cgroup()? {
                    nix::unistd::write(&file, b"0")?;
                }
            }
            Step::AttachCgroups => {
                for procs in &self.plan.cgroup_procs {
                    write_all(*procs, b"0")?;
                }
            }
            Step::AttachMemory => {
                if let Some(procs) = self.plan.memory_procs {
                    write_all(procs, b"0")?;
                }
            }
            Step::JoinCgroupNamespace(namespace) => {
                // SAFETY: the plan's owner keeps the descriptor open, and a copy of its table is
                // ours.
                let namespace = unsafe { BorrowedFd::borrow_raw(*namespace) };
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWCGROUP)?;
            }
            Step::AwaitScope => self.await_parent(report::SCOPED)?,
            Step::UnshareCgroup => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)?,
            Step::WriteOwnMaps { uid, gid, host_uid, host_gid } => {
                let (uid, gid) =
                    self.user.as_ref().map_or((*uid, *gid), |user| (user.uid, user.gid));
                write_file(c"/proc/self/setgroups", b"deny")?;
                write_file(c"/proc/self/uid_map", format!("{uid} {host_uid} 1").as_bytes())?;
                write_file(c"/proc/self/gid_map", format!("{gid} {host_gid} 1").as_bytes())?;
            }
            Step::AwaitMaps => self.await_parent(report::MAPS_WRITTEN)?,
            Step::AwaitRecord => self.await_parent(report::RECORDED)?,
            Step::AwaitHooks => {
                tell(self.sync, &[report::HOOKS]);
                self.await_parent(report::HOOKS)?;
            }
            Step::Hooks { moment, hooks, subject } => {
                let pid = Some(nix::unistd::getpid().as_raw());
                if let Err(error) = super::hooks::run(*moment, hooks, subject, pid) {
                    self.explanation = Some(error);
                    return Err(Errno::ECANCELED.into());
                }
            }
            Step::BecomeRoot { keep_groups } => {
                let dropped = if *keep_groups { Ok(()) } else { security::setgroups(&[]) };
                match dropped {
                    Ok(()) => {}
                    // With every capability there: denied for good, where an unprivileged process
                    // wrote a map of its own id alone. Its groups stay, which mean nothing inside.
                    Err(Errno::EPERM) => self.groups_denied = true,
                    Err(errno) => return Err(errno.into()),
                }
                security::setresgid(0)?;
                security::setresuid(0)?;
                self.stay_hidden()?;
            }
            Step::DetachPropagation { slave } => root::detach_propagation(*slave)?,
            Step::AttachRoot(plan) => self.root = Some(root::attach(plan, self.prepared)?),
            Step::AttachHostRoot(plan) => {
                let mut mounts = host::attach(plan, self.prepared)?;
                self.root = Some(mounts.remove(0));
                self.host_mounts = mounts;
            }
            Step::Mount(mount) => {
                if matches!(mount.destination.to_bytes(), b"/dev" | b"/") {
                    self.dev = None;
                }
                let dev = self.dev.as_ref().map(AsFd::as_fd);
                match mounts::make(self.root()?, dev, mount, self.prepared)? {
                    Some(top) if mount.kernel_files => self.masks.note(&mount.destination, top),
                    top => self.dev = top.or(self.dev.take()),
                }
            }
            Step::Device(device) => {
                masks::make_device(self.device_directory(&device.directory)?, device)?;
            }
            Step::DevLinks => {
                masks::make_dev_links(self.device_directory(c"/dev")?)?;
                self.devices = None;
                self.dev = None;
            }
            Step::OpenTerminal { size, console } => {
                let pty = terminal::open(self.root()?, *size, *console)?;
                report::send_descriptor(self.sync, report::MASTER, pty.master.as_fd())?;
                self.slave = Some(pty.slave);
            }
            Step::Mask(path) => {
                let root = self.root.as_ref().ok_or(Errno::EBADF)?.as_fd();
                self.masks.mask(root, path)?;
            }
            Step::ReadOnlyPath(path) => self.masks.make_read_only(self.root()?, path)?,
            Step::ReadOnlyRoot => {
                root::make_root_read_only(self.root()?)?;
                for mount in &self.host_mounts {
                    root::make_root_read_only(mount.as_fd())?;
                }
            }
            Step::EnterRoot { pivot: true } => root::enter(self.root()?)?,
            Step::EnterRoot { pivot: false } => root::enter_moved(self.root()?)?,
            Step::UseRoot => {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                self.root = Some(paths::open_path(c"/", flags)?);
            }
            Step::RootPropagation(flags) => root::set_propagation(*flags)?,
            Step::Sysctl { path, value } => root::write_sysctl(path, value.as_bytes())?,
            Step::Hostname(name) => nix::unistd::sethostname(name)?,
            Step::Domainname(name) => setdomainname(name.as_bytes())?,
            Step::LoopbackUp => loopback_up()?,
            Step::TimeOffsets(offsets) => {
                unshare_time()?;
                root::enter_time_namespace(offsets.as_bytes())?;
            }
            Step::Personality(domain) => security::personality(*domain)?,
            Step::IoPriority { class, priority } => security::ioprio_set(*class, *priority)?,
            Step::Scheduler(attributes) => super::scheduler::apply(attributes)?,
            Step::CpuAffinity(cpus) => placement::sched_setaffinity(cpus)?,
            Step::SecurityAttribute(attribute) => attribute.write()?,
            Step::MemoryPolicy(policy) => placement::set_mempolicy(policy.mode, &policy.nodes)?,
            Step::SessionKeyring { tolerate_quota } => match security::new_session_keyring() {
                // ENOSYS: a kernel without keys has none to protect. EDQUOT: the user's quota is
                // spent, tolerated only where the filter denies every key call.
                Ok(()) | Err(Errno::ENOSYS) => {}
                Err(Errno::EDQUOT) if *tolerate_quota => {}
                Err(errno) => return Err(errno.into()),
            },
            Step::ResolveUser { root, user, groups } => {
                self.user = Some(exec::resolve_user(self.sync, root, user, groups)?);
            }
            Step::DropBounding(capabilities) => {
                for capability in 0..64 {
                    if capabilities & (1 << capability) != 0 {
                        security::drop_bounding(capability)?;
                    }
                }
            }
            Step::SetIds { uid, gid, groups, set_groups } => {
                let (uid, gid, groups) = match &self.user {
                    Some(user) => (user.uid, user.gid, user.groups.as_slice()),
                    None => (*uid, *gid, groups.as_slice()),
                };
                if let Some(slave) = &self.slave {
                    nix::unistd::fchown(slave, Some(nix::unistd::Uid::from_raw(uid)), None)?;
                }
                for pipe in &self.plan.pipes {
                    files::give_pipe(*pipe, uid, gid);
                }
                process::set_keep_capabilities(true)?;
                if *set_groups && !(self.groups_denied && groups.is_empty()) {
                    security::setgroups(groups)?;
                }
                security::setresgid(gid)?;
                security::setresuid(uid)?;
                process::set_keep_capabilities(false)?;
                self.stay_hidden()?;
            }
            Step::SetCapabilities { effective, permitted, inheritable, ambient } => {
                security::capset(*effective, *permitted, *inheritable)?;
                security::clear_ambient()?;
                for capability in 0..64 {
                    if ambient & (1 << capability) != 0 {
                        security::raise_ambient(capability)?;
                    }
                }
            }
            Step::NoNewPrivileges => process::set_no_new_privs()?,
            Step::Init => init::fork_program()?,
            Step::NewSession => {
                // The foreground helper blocks the signals that it forwards, and a mask survives
                // clone and exec. Until now it has kept them from a half-made container.
                SigSet::empty().thread_set_mask()?;
                // EPERM: already a leader, which a cloned child never is but a joined one may be.
                match nix::unistd::setsid() {
                    Ok(_) | Err(Errno::EPERM) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Step::TakeTerminal => {
                terminal::take(self.slave.as_ref().ok_or(Errno::EBADF)?.as_fd())?;
            }
            Step::Descriptors(installs) => {
                for (from, to) in installs {
                    process::install_fd(*from, *to)?;
                }
            }
            Step::CloseFrom(first) => {
                self.close_from(*first);
                own_null()?;
            }
            Step::Limit(limit) => {
                nix::sys::resource::setrlimit(limit.resource, limit.soft, limit.hard)?;
            }
            Step::Umask(mask) => {
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(*mask));
            }
            Step::Chdir(path) => exec::enter_directory(path)?,
            Step::Seccomp(program) if program.notifies() => {
                super::listener::load(program, self.sync)?;
            }
            Step::Seccomp(program) => {
                security::seccomp_load(program.instructions(), program.flags())?;
            }
            Step::OutliveParent => process::set_parent_death_signal(0)?,
            Step::FindProgram => exec::find(&self.plan.program)?,
            Step::AwaitStart(gate) => {
                // Not to be looked into by what shares its pid namespace, until it executes.
                process::set_dumpable(false)?;
                tell(self.sync, &[report::WAITING]);
                gate::wait(gate)?;
                self.started = Some(gate);
            }
            Step::Execute => {
                progress.step.store(report::EXECUTING, Ordering::Relaxed);
                let home = self.user.as_ref().and_then(|user| user.home.as_deref());
                return Err(exec::execute(&self.plan.program, home).into());
            }
        }
        Ok(())
    }
}

fn write_all(fd: RawFd, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: the plan's owner keeps the descriptor open until the child has executed, and a copy
    // of its table is ours.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    nix::unistd::write(fd, bytes).map(drop)
}

fn write_file(path: &std::ffi::CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = crate::rootfs::paths::open_path(path, libc::O_WRONLY)?;
    nix::unistd::write(&file, bytes).map(drop)
}

/// Puts the container's own `/dev/null` in the place of the host's, where standard streams are that:
/// its mount is the host's, so no checkpoint of the container could name it. Where the container has
/// no such device, the host's stays.
fn own_null() -> Result<(), Errno> {
    let is_null =
        |fd: BorrowedFd<'_>| masks::is_device(fd, SFlag::S_IFCHR, makedev(1, 3)).unwrap_or(false);
    let streams = [0, 1, 2].map(|stream| {
        // SAFETY: 0, 1 and 2 are the program's, and nothing closes them before the borrow ends; where
        // a caller has given none, looking at the number fails with EBADF.
        is_null(unsafe { BorrowedFd::borrow_raw(stream) })
    });
    if !streams.contains(&true) {
        return Ok(());
    }
    // What is there is the image's: looked at before it is opened, since opening could wait or do more.
    let path = c"/dev/null";
    let is_there = paths::open_path(path, libc::O_PATH | libc::O_NOFOLLOW);
    if !is_there.is_ok_and(|found| is_null(found.as_fd())) {
        return Ok(());
    }
    match paths::open_path(path, libc::O_RDWR | libc::O_NOCTTY | libc::O_NOFOLLOW) {
        Ok(own) if is_null(own.as_fd()) => (0..3)
            .zip(streams)
            .filter(|(_, is_hosts)| *is_hosts)
            .try_for_each(|(stream, _)| process::install_fd(own.as_raw_fd(), stream)),
        _ => Ok(()),
    }
}

fn setdomainname(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length describe the slice.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

fn unshare_time() -> Result<(), Errno> {
    const CLONE_NEWTIME: i32 = 0x80;
    // SAFETY: no pointers are passed.
    Errno::result(unsafe { libc::unshare(CLONE_NEWTIME) }).map(drop)
}

/// Sets `lo` up, `netdevice(7)`; its addresses come with it.
fn loopback_up() -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is a plain C structure for which all-zero bytes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is and which outlives the call.
    Errno::result(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request))
    })
    .map(drop)
}

/// Tells the parent something in one message; a parent that is gone will not miss it.
pub(super) fn tell(sync: BorrowedFd<'_>, message: &[u8]) {
    let _ = send(sync.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
}
