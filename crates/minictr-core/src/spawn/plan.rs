//! From a request to a flat list of steps: everything that can fail or allocate without a container
//! happens here, before the clone.
//!
//! `spawn/child.rs` walks the list; `docs/concepts/startup.md` explains it, and a test compares the
//! two. Each step has a note beside it, from which the parent makes the sentence of a failure.

use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::exec::Program;
use super::gate::Gate;
use super::hooks::{Moment, Subject};
use super::ids::IdPlan;
use super::labels::Attribute;
use super::limits::Limit;
use super::terminal::Console;
use crate::cgroups::Attach;
use crate::error::{Error, ErrorCode};
use crate::network;
use crate::rootfs::host::{HostPlan, PART_LAYER};
use crate::rootfs::masks::DevicePlan;
use crate::rootfs::mounts::{Fault, MountAction, MountPlan, PART_SOURCE, PART_TARGET};
use crate::rootfs::root::{PART_OVERLAY, PART_SKELETON, RootPlan};
use crate::seccomp;
use crate::spec::{ConsoleSize, Hook, NamespaceKind};

/// One thing that the child does.
///
/// The order in which they are listed is the order in which they run; who the child is at that
/// point stands in the comments of [`super::compile`].
#[derive(Debug)]
pub(super) enum Step {
    Join { kind: NamespaceKind, path: CString },
    JoinProcess { process: RawFd, namespaces: CloneFlags },
    DieWithParent,
    MakeNamespaces,
    AttachCgroups,
    AwaitScope,
    JoinCgroupNamespace(i32),
    UnshareCgroup,
    WriteOwnMaps { uid: u32, gid: u32, host_uid: u32, host_gid: u32 },
    AwaitMaps,
    BecomeRoot { keep_groups: bool },
    DetachPropagation { slave: bool },
    AttachRoot(RootPlan),
    AttachHostRoot(HostPlan),
    Mount(MountPlan),
    Device(DevicePlan),
    DevLinks,
    OpenTerminal { size: ConsoleSize, console: Console },
    AwaitHooks,
    Hooks { moment: Moment, hooks: Vec<Hook>, subject: Rc<Subject> },
    Mask(CString),
    ReadOnlyPath(CString),
    ReadOnlyRoot,
    EnterRoot { pivot: bool },
    UseRoot,
    RootPropagation(MsFlags),
    Sysctl { path: CString, value: String },
    Hostname(String),
    Domainname(String),
    LoopbackUp,
    TimeOffsets(String),
    Personality(u64),
    IoPriority { class: u32, priority: u32 },
    Scheduler(super::scheduler::Attributes),
    CpuAffinity(Vec<u64>),
    MemoryPolicy(super::placement::Policy),
    SecurityAttribute(Attribute),
    SessionKeyring { tolerate_quota: bool },
    AwaitRecord,
    AttachMemory,
    ResolveUser { root: CString, user: String, groups: Vec<String> },
    DropBounding(u64),
    SetIds { uid: u32, gid: u32, groups: Vec<u32>, set_groups: bool },
    SetCapabilities { effective: u64, permitted: u64, inheritable: u64, ambient: u64 },
    Init,
    NewSession,
    TakeTerminal,
    Descriptors(Vec<(RawFd, RawFd)>),
    CloseFrom(RawFd),
    Limit(Limit),
    NoNewPrivileges,
    Umask(u32),
    Chdir(CString),
    Seccomp(Rc<seccomp::Program>),
    CheckParent,
    OutliveParent,
    FindProgram,
    AwaitStart(Arc<Gate>),
    Execute,
}

impl Step {
    /// What it is about, for [`Object::OfStep`].
    fn object(&self) -> String {
        match self {
            Self::Mask(path) | Self::ReadOnlyPath(path) | Self::Chdir(path) => {
                format!("`{}`", path.to_string_lossy())
            }
            Self::Device(device) => {
                let directory = device.directory.to_string_lossy();
                let name = device.name.to_string_lossy();
                format!("`{}/{name}`", directory.trim_end_matches('/'))
            }
            Self::Mount(plan) => {
                let kind = match &plan.action {
                    MountAction::New { fs_type, .. } => fs_type.to_string_lossy(),
                    MountAction::Cgroups { .. } => "cgroup".into(),
                    MountAction::Bind { .. } => "bind".into(),
                    MountAction::Remount { .. } => "remount".into(),
                    MountAction::Lines(_) => "further lines".into(),
                };
                format!("{kind} on `{}`", plan.destination.to_string_lossy())
            }
            Self::SecurityAttribute(attribute) => attribute.object(),
            Self::Hostname(name) | Self::Domainname(name) => format!("`{name}`"),
            Self::Limit(limit) => limit.object.clone(),
            _ => self.name().to_owned(),
        }
    }

    /// The step's name in `docs/concepts/startup.md` and in the message of a start that hangs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join a namespace",
            Self::JoinProcess { .. } => "join the container",
            Self::DieWithParent => "die with the parent",
            Self::MakeNamespaces => "make namespaces",
            Self::AttachCgroups => "attach to cgroups",
            Self::AttachMemory => "attach to the memory cgroup",
            Self::JoinCgroupNamespace(_) => "join the cgroup namespace",
            Self::AwaitScope => "wait for the systemd scope",
            Self::UnshareCgroup => "make the cgroup namespace",
            Self::WriteOwnMaps { .. } => "write the id maps",
            Self::AwaitMaps => "wait for the id maps",
            Self::AwaitRecord => "wait for the parent",
            Self::BecomeRoot { .. } => "become the container's root",
            Self::DetachPropagation { .. } => "detach mount propagation",
            Self::AttachRoot(_) => "attach the rootfs",
            Self::AttachHostRoot(_) => "attach the host's files",
            Self::Mount(_) => "mount",
            Self::Device(_) => "make a device",
            Self::DevLinks => "make the links of /dev",
            Self::OpenTerminal { .. } => "open the terminal",
            Self::AwaitHooks => "wait for the runtime's hooks",
            Self::Hooks { .. } => "run hooks",
            Self::Mask(_) => "mask a path",
            Self::ReadOnlyPath(_) => "make a path read-only",
            Self::ReadOnlyRoot => "make the root read-only",
            Self::UseRoot => "use the container's root",
            Self::EnterRoot { .. } => "change the root",
            Self::RootPropagation(_) => "set the root's propagation",
            Self::Sysctl { .. } => "set a kernel parameter",
            Self::Hostname(_) => "set the host name",
            Self::Domainname(_) => "set the domain name",
            Self::LoopbackUp => "set up loopback",
            Self::TimeOffsets(_) => "make the time namespace",
            Self::Personality(_) => "set the personality",
            Self::IoPriority { .. } => "set the I/O priority",
            Self::Scheduler(_) => "set the scheduler",
            Self::CpuAffinity(_) => "set the CPU affinity",
            Self::MemoryPolicy(_) => "set the memory policy",
            Self::SecurityAttribute(_) => "set the label of the security module",
            Self::SessionKeyring { .. } => "join a new session keyring",
            Self::ResolveUser { .. } => "look up the user",
            Self::DropBounding(_) => "drop bounding capabilities",
            Self::SetIds { .. } => "set the ids",
            Self::SetCapabilities { .. } => "set capabilities",
            Self::Init => "fork the init",
            Self::NewSession => "start a session",
            Self::TakeTerminal => "take the terminal",
            Self::Descriptors(_) => "place descriptors",
            Self::CloseFrom(_) => "close other descriptors",
            Self::Limit(_) => "limit a resource",
            Self::NoNewPrivileges => "forbid new privileges",
            Self::Umask(_) => "set the umask",
            Self::Chdir(_) => "change the working directory",
            Self::Seccomp(_) => "load the seccomp filter",
            Self::CheckParent => "check the parent",
            Self::OutliveParent => "outlive the parent",
            Self::FindProgram => "find the program",
            Self::AwaitStart(_) => "wait for the start",
            Self::Execute => "execute the program",
        }
    }
}

/// What the sentence about a failed step needs.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) code: ErrorCode,
    pub(super) operation: &'static str,
    pub(super) object: Object,
}

/// What a step was about, as in a message. Nearly every plan is carried out, so that what the step
/// itself knows is put into words only where it failed.
#[derive(Debug)]
pub(super) enum Object {
    Fixed(&'static str),
    Text(String),
    /// The path, device or mount of the step.
    OfStep,
}

impl From<&'static str> for Object {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Object {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Object {
    fn of(&self, step: &Step) -> String {
        match self {
            Self::Fixed(text) => (*text).to_owned(),
            Self::Text(text) => text.clone(),
            Self::OfStep => step.object(),
        }
    }
}

/// What of a mount has its files' owners shifted to the container's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// Nothing.
    None,
    /// The mount without those below it.
    Mount,
    /// The mount and all below it.
    Tree,
    /// The mount, where its filesystem can; elsewhere its files are nobody's that the container has.
    WherePossible,
}

/// A path to open with the parent's privileges before the clone.
#[derive(Debug)]
pub(super) struct Source {
    /// Where, on the host.
    pub(super) path: CString,
    /// With the mounts below it.
    pub(super) recursive: bool,
    /// A symbolic link is meant itself.
    pub(super) nofollow: bool,
    /// What of it gets the container's owners.
    pub(super) shift: Shift,
    /// Map of the shift; the container's where empty.
    pub(super) idmap_lines: Option<super::ids::MapLines>,
    /// The container's root, which must be a directory.
    pub(super) rootfs: bool,
    /// For the error: the path as the caller gave it, in backquotes.
    pub(super) object: String,
}

/// A compiled request.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
    /// Namespaces to make, for `clone3(2)`.
    pub(super) clone_flags: u64,
    /// Set by [`Plan::make_cgroup_later`]: those that the child makes itself.
    pub(super) own_namespaces: CloneFlags,
    /// Set by [`Plan::make_cgroup_later`]: what the child attaches to comes to it in a message.
    pub(super) cgroup_comes: bool,
    pub(super) ids: IdPlan,
    /// Opened by the parent, in this order.
    pub(super) sources: Vec<Source>,
    /// Set by the parent on the child, which may lack the privilege for a raise.
    pub(super) oom_score_adj: Option<i32>,
    /// Filled in once the cgroup is made, by [`Plan::attach`]: descriptors of `tasks`.
    pub(super) cgroup_procs: Vec<RawFd>,
    /// Likewise memory's, where it is attached to after the set-up.
    pub(super) memory_procs: Option<RawFd>,
    /// Filled in by the parent: pipes among the program's standard streams.
    pub(super) pipes: Vec<RawFd>,
    pub(super) program: Program,
    /// Moved in by the parent.
    pub(super) net_devices: Vec<network::DevicePlan>,
    /// Whether the end of pid 1 is the end of all: a pid namespace of its own.
    pub(super) own_pid_namespace: bool,
}

impl Plan {
    /// How many steps at the front are those of the process that joins namespaces: all before the
    /// first that the child itself takes.
    pub(super) fn joins(&self) -> usize {
        self.steps.iter().take_while(|step| !matches!(step, Step::DieWithParent)).count()
    }

    /// Whether the child may be there before its cgroup is. Not where something has to be known of the
    /// cgroup or of its namespaces by then: for a list of devices, for network devices.
    pub(super) fn may_precede_cgroup(&self) -> bool {
        let attaches_all = self.steps.iter().any(|step| matches!(step, Step::UnshareCgroup));
        attaches_all && self.joins() == 0 && self.net_devices.is_empty()
    }

    /// Lets the child make its namespaces, the dearest part of a start, while its parent makes the
    /// cgroup, nearly as dear on v1. The user and pid namespaces are those that a process is cloned into.
    pub(super) fn make_cgroup_later(&mut self) {
        let cloned_into = (libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64;
        self.own_namespaces =
            CloneFlags::from_bits_retain((self.clone_flags & !cloned_into) as i32);
        self.clone_flags &= cloned_into;
        self.cgroup_comes = true;
    }

    /// Fills in what the child attaches to. `may_wait`: the parent's permission over a cgroup is
    /// enough, whoever the child is by then.
    ///
    /// What a process uses is charged to where it is at that moment, and stays there. The set-up, the
    /// copies of this process's pages that the child makes for it and what the kernel keeps of mounts,
    /// needs more than many a program does, so memory's cgroup comes after it: but not where the set-up
    /// itself writes what the container's image holds or runs programs, which are to be limited, nor
    /// where a cgroup namespace is made, whose root would be another one.
    pub(super) fn attach(&mut self, to: &Attach<'_>, may_wait: bool) {
        let needs_it_first = |step: &Step| match step {
            Step::UnshareCgroup | Step::AwaitHooks => true,
            Step::Hooks { moment, .. } => *moment == Moment::CreateContainer,
            Step::Mount(mount) => {
                matches!(mount.action, MountAction::New { copy_up: true, .. })
            }
            _ => false,
        };
        let memory = to.memory.map(|fd| fd.as_raw_fd());
        let late = may_wait && !self.steps.iter().any(needs_it_first);
        self.memory_procs = memory.filter(|_| late);
        self.cgroup_procs = to.others.iter().map(AsRawFd::as_raw_fd).collect();
        self.cgroup_procs.extend(memory.filter(|_| !late));
    }

    /// Takes the right to make device nodes away.
    pub(super) fn forbid_devices(&mut self) {
        const CAP_MKNOD: u64 = 1 << 27;
        for step in &mut self.steps {
            match step {
                Step::DropBounding(dropped) => *dropped |= CAP_MKNOD,
                Step::SetCapabilities { effective, permitted, inheritable, ambient } => {
                    for set in [effective, permitted, inheritable, ambient] {
                        *set &= !CAP_MKNOD;
                    }
                }
                _ => {}
            }
        }
    }

    /// The sentence for a failure that the child reported.
    pub(super) fn error(&self, step: usize, fault: Fault) -> Error {
        let Some(note) = self.notes.get(step) else {
            return Error::new(ErrorCode::Internal, "start container:", "unknown step")
                .errno(fault.errno);
        };
        let operation = match (fault.part, &self.steps[step]) {
            (PART_SOURCE, Step::AttachRoot(_)) => "open rootfs",
            (PART_SOURCE, _) => "open source of",
            (PART_TARGET, Step::Mount(_)) => "make mount point of",
            (PART_OVERLAY, _) => "mount overlay on rootfs",
            (PART_SKELETON, _) => "make missing mount points in a private layer over rootfs",
            _ => note.operation,
        };
        let object = match (fault.part, &self.steps[step]) {
            (index @ PART_LAYER.., Step::AttachHostRoot(host)) => {
                let layer = host.layers.get((index - PART_LAYER) as usize);
                let path = layer.map(|layer| layer.path.to_string_lossy());
                format!("`{}`", path.unwrap_or_default())
            }
            (_, step) => note.object.of(step),
        };
        let code = match (fault.part, &self.steps[step]) {
            (PART_SOURCE, Step::AttachRoot(_)) => ErrorCode::RootfsUnusable,
            _ => note.code,
        };
        let error = Error::new(code, operation, object).errno(fault.errno);
        match super::hints::for_step(&self.steps[step], fault) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
