//! The compiler from request to plan.
//!
//! It reads top to bottom as the child's life. Identities: the child starts as its parent, with all
//! capabilities in its new user namespace; becomes the container's root once its ids are mapped;
//! ends as the container's user with the capabilities of the spec.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::mount::MsFlags;

use super::exec::Program;
use super::hooks::Moment;
use super::ids::{Caller, IdPlan};
use super::plan::{Note, Object, Plan, Shift, Source, Step};
use super::request::{IdMappingSource, LaunchRequest, MountPoints, SeccompSource};
use super::runtime::Joined;
use super::{files, host, limits, program, scheduler};
use crate::capabilities::{self, CapabilitySets};
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::mounts::{BindSource, CgroupMount};
use crate::rootfs::overlay::LayerLimits;
use crate::rootfs::root::RootPlan;
use crate::seccomp;
use crate::spec::{Linux, Namespace, NamespaceKind, Process, Spec};

/// What the compiler needs to know of this process and machine.
pub(super) struct Host<'a> {
    pub(super) caller: &'a Caller,
    /// The hierarchies as the host combines them, for mounts of type `cgroup`.
    pub(super) cgroup_mounts: &'a [CgroupMount],
    /// The ids of the container.
    pub(super) ids: IdPlan,
    /// Filters compiled before.
    pub(super) filters: &'a mut super::filters::Filters,
}

/// Steps and notes, grown together.
pub(super) struct Builder<'a> {
    pub(super) request: &'a LaunchRequest,
    pub(super) host: Host<'a>,
    pub(super) base: PathBuf,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
    pub(super) sources: Vec<Source>,
}

impl Builder<'_> {
    pub(super) fn push(
        &mut self,
        step: Step,
        code: ErrorCode,
        operation: &'static str,
        object: impl Into<Object>,
    ) {
        self.steps.push(step);
        self.notes.push(Note { code, operation, object: object.into() });
    }

    /// Whether the parent opens host paths: only it has the privilege over them then.
    pub(super) fn parent_opens(&self) -> bool {
        self.host.caller.privileged && !matches!(self.host.ids, IdPlan::Host | IdPlan::Joined)
    }

    /// An absolute host path of the spec, relative ones taken from the bundle.
    pub(super) fn host_path(&self, path: &str, what: &str) -> Result<CString> {
        c_string(self.base.join(path).to_string_lossy().into_owned(), what)
    }
}

pub(super) fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let text = String::from_utf8_lossy(&error.into_vec()).replace('\0', "\\0");
        Error::invalid("use", format!("{what} `{text}`: it holds a NUL byte"))
    })
}

/// Where a namespace of the spec comes from.
fn namespace(linux: &Linux, kind: NamespaceKind) -> Option<&Namespace> {
    linux.namespaces.iter().find(|namespace| namespace.kind == kind)
}

fn is_new(linux: &Linux, kind: NamespaceKind) -> bool {
    namespace(linux, kind).is_some_and(|namespace| namespace.path.is_none())
}

/// Namespaces that `clone3(2)` makes; the cgroup and time namespaces are made by the child, once it
/// is where they are to start.
fn clone_flags(linux: &Linux) -> u64 {
    [
        (NamespaceKind::User, libc::CLONE_NEWUSER),
        (NamespaceKind::Pid, libc::CLONE_NEWPID),
        (NamespaceKind::Mount, libc::CLONE_NEWNS),
        (NamespaceKind::Uts, libc::CLONE_NEWUTS),
        (NamespaceKind::Ipc, libc::CLONE_NEWIPC),
        (NamespaceKind::Network, libc::CLONE_NEWNET),
    ]
    .iter()
    .filter(|(kind, _)| is_new(linux, *kind))
    .fold(0, |flags, (_, flag)| flags | *flag as u64)
}

/// Compiles a validated request.
///
/// # Errors
/// `InvalidArgument` and `Seccomp` for what can't be turned into steps.
pub(super) fn compile(request: &LaunchRequest, host: Host<'_>) -> Result<Plan> {
    let spec = &request.spec;
    let no_linux = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&no_linux);
    let process =
        spec.process.as_ref().ok_or_else(|| Error::invalid("find", "`process` in the spec"))?;
    let base = PathBuf::from(request.bundle.as_deref().unwrap_or("/"));
    let mut builder = Builder {
        request,
        host,
        base,
        steps: Vec::with_capacity(96),
        notes: Vec::with_capacity(96),
        sources: Vec::new(),
    };
    let program = program::compile(request, process)?;

    if let Some(joined) = &request.runtime.join {
        join_container(&mut builder, joined, process);
    } else {
        enter_namespaces(&mut builder, spec, linux, process)?;
        build_root(&mut builder, spec, linux, process)?;
    }
    configure_kernel(&mut builder, spec, linux, process)?;
    let filter = give_up_privileges(&mut builder, linux, process)?;
    become_program(&mut builder, process, &program, filter)?;

    Ok(Plan {
        clone_flags: clone_flags(linux),
        ids: builder.host.ids.clone(),
        steps: builder.steps,
        notes: builder.notes,
        sources: builder.sources,
        oom_score_adj: process.oom_score_adj,
        cgroup_procs: Vec::new(),
        pipes: Vec::new(),
        program,
        own_pid_namespace: is_new(linux, NamespaceKind::Pid),
    })
}

/// Identity: the parent's, with all capabilities in the new user namespace.
fn enter_namespaces(
    builder: &mut Builder<'_>,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
) -> Result<()> {
    join_namespaces(builder, linux)?;
    // First: a parent that dies during set-up takes the child along.
    builder.push(
        Step::DieWithParent,
        ErrorCode::Internal,
        "set parent death signal of",
        "the container",
    );
    // Before the cgroup namespace, whose root is where its maker is then; through descriptors that
    // the parent opened, whose permission is the parent's.
    builder.push(
        Step::AttachCgroups,
        ErrorCode::Cgroup,
        "attach to cgroup of",
        format!("container `{}`", builder.request.id),
    );
    if is_new(linux, NamespaceKind::Cgroup) {
        builder.push(Step::UnshareCgroup, ErrorCode::Namespace, "make", "cgroup namespace");
    }
    let rootfs = spec.root.as_ref().map(|root| root.path.as_str()).unwrap_or_default();
    match builder.host.ids.clone() {
        IdPlan::Own => {
            if let Some(user) = named_user(builder.request) {
                // The map needs the id, so the name is looked up before the rootfs is `/`.
                let root = builder.host_path(rootfs, "rootfs")?;
                let step = Step::ResolveUser { root, user: user.to_owned(), groups: Vec::new() };
                builder.push(step, ErrorCode::UnknownUser, "look up user", format!("`{user}`"));
            }
            let step = Step::WriteOwnMaps {
                uid: process.user.uid,
                gid: process.user.gid,
                host_uid: builder.host.caller.euid,
                host_gid: builder.host.caller.egid,
            };
            builder.push(
                step,
                ErrorCode::IdMapping,
                "map the caller's id to",
                format!("user {} of the container", process.user.uid),
            );
        }
        IdPlan::Parent(lines) | IdPlan::Helper(lines) => {
            builder.push(Step::AwaitMaps, ErrorCode::Internal, "wait for", "the id maps");
            if lines.has_uid(0) && lines.has_gid(0) {
                builder.push(
                    Step::BecomeRoot,
                    ErrorCode::IdMapping,
                    "become",
                    "root of the container",
                );
            }
        }
        IdPlan::Joined => {
            builder.push(
                Step::BecomeRoot,
                ErrorCode::IdMapping,
                "become",
                "root of the joined user namespace",
            );
        }
        IdPlan::Host => {}
    }
    Ok(())
}

/// Identity: the parent's, in a process between parent and child.
///
/// A pid namespace is joined for children only, and a namespace of the host's can't be joined any
/// more from a new user namespace; so another process joins, clones the child as its own sibling,
/// and ends.
fn join_namespaces(builder: &mut Builder<'_>, linux: &Linux) -> Result<()> {
    let rank = |kind| match kind {
        // Its owner's privilege is what the others need.
        NamespaceKind::User => 0,
        // Last: paths mean something else in it.
        NamespaceKind::Mount => 2,
        _ => 1,
    };
    let mut joined: Vec<_> = linux.namespaces.iter().filter(|n| n.path.is_some()).collect();
    joined.sort_by_key(|namespace| rank(namespace.kind));
    for namespace in joined {
        let path = namespace.path.as_deref().unwrap_or_default();
        let step = Step::Join { kind: namespace.kind, path: c_string(path, "namespace path")? };
        builder.push(step, ErrorCode::Namespace, "join namespace", format!("`{path}`"));
    }
    Ok(())
}

/// Identity: the parent's, then the root of the container that is joined.
///
/// As [`join_namespaces`], from a process handle: the kernel checks the privilege over all of them
/// before it joins the first.
fn join_container(builder: &mut Builder<'_>, joined: &Joined, process: &Process) {
    let object = format!("container `{}`", builder.request.id);
    let step =
        Step::JoinProcess { process: joined.process.as_raw_fd(), namespaces: joined.namespaces };
    builder.push(step, ErrorCode::Namespace, "join namespaces of", object.clone());
    builder.push(
        Step::DieWithParent,
        ErrorCode::Internal,
        "set parent death signal of",
        object.clone(),
    );
    builder.push(Step::AttachCgroups, ErrorCode::Cgroup, "attach to cgroup of", object.clone());
    if builder.host.ids == IdPlan::Joined {
        builder.push(
            Step::BecomeRoot,
            ErrorCode::IdMapping,
            "become",
            "root of the joined user namespace",
        );
    }
    builder.push(Step::UseRoot, ErrorCode::RootfsUnusable, "open root of", object.clone());
    if process.terminal.unwrap_or(false) {
        let size = process.console_size.unwrap_or_default();
        let step = Step::OpenTerminal { size, bind_console: false };
        builder.push(step, ErrorCode::Device, "open terminal of", object);
    }
}

/// A user that must be looked up by name (or for its groups and home).
fn named_user(request: &LaunchRequest) -> Option<&str> {
    request.user.as_deref()
}

/// Identity: the container's root (or its only user), still in the host's view of files.
fn build_root(
    builder: &mut Builder<'_>,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
) -> Result<()> {
    let root = spec.root.as_ref().ok_or_else(|| Error::invalid("find", "`root` in the spec"))?;
    let propagation = linux.rootfs_propagation.as_deref();
    let keep_propagation = matches!(propagation, Some("shared" | "rshared" | "slave" | "rslave"));
    builder.push(
        Step::DetachPropagation { slave: keep_propagation },
        ErrorCode::Mount,
        "detach",
        "mount propagation",
    );

    let (attach, code) = match &builder.request.host_root {
        Some(host) => (Step::AttachHostRoot(host::compile(builder, host)?), ErrorCode::Mount),
        None => {
            let plan = rootfs(builder, spec, &root.path, keep_propagation)?;
            (Step::AttachRoot(plan), ErrorCode::RootfsUnusable)
        }
    };
    let mounts = files::compile_mounts(builder, spec)?;
    let operation = match attach {
        Step::AttachHostRoot(_) => "attach from this machine",
        _ => "attach rootfs",
    };
    builder.push(attach, code, operation, format!("`{}`", root.path));
    for (step, object) in mounts {
        builder.push(step, ErrorCode::Mount, "mount", object);
    }
    files::compile_devices(builder, linux)?;
    builder.push(Step::DevLinks, ErrorCode::Device, "make", "links of `/dev`");
    if process.terminal.unwrap_or(false) {
        let step = Step::OpenTerminal {
            size: process.console_size.unwrap_or_default(),
            bind_console: true,
        };
        builder.push(step, ErrorCode::Device, "open terminal of", "the container");
    }
    create_hooks(builder);
    for path in &linux.masked_paths {
        builder.push(
            Step::Mask(c_string(path.as_str(), "masked path")?),
            ErrorCode::Mount,
            "mask",
            Object::OfStep,
        );
    }
    for path in &linux.readonly_paths {
        builder.push(
            Step::ReadOnlyPath(c_string(path.as_str(), "read-only path")?),
            ErrorCode::Mount,
            "make read-only",
            Object::OfStep,
        );
    }
    if root.readonly {
        builder.push(Step::ReadOnlyRoot, ErrorCode::Mount, "make read-only", "`/`");
    }
    builder.push(
        Step::EnterRoot { pivot: !builder.request.runtime.no_pivot },
        ErrorCode::RootfsUnusable,
        "change root to",
        format!("`{}`", root.path),
    );
    if let Some(word) = propagation {
        builder.push(
            Step::RootPropagation(propagation_flags(word)?),
            ErrorCode::Mount,
            "set propagation of",
            "`/`",
        );
    }
    Ok(())
}

fn needs_root_in_place(request: &LaunchRequest) -> bool {
    let of = |moment: Moment| request.spec.hooks.as_ref().is_some_and(|h| !moment.of(h).is_empty());
    of(Moment::Prestart) || of(Moment::CreateRuntime) || of(Moment::CreateContainer)
}

/// Before anything is read-only or masked: hooks add to the root, as those of GPU vendors do.
fn create_hooks(builder: &mut Builder<'_>) {
    let Some(hooks) = &builder.request.spec.hooks else { return };
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        builder.push(Step::AwaitHooks, ErrorCode::Internal, "wait for", "the runtime's hooks");
    }
    container_hooks(builder, Moment::CreateContainer);
}

/// Hooks that the child runs itself.
fn container_hooks(builder: &mut Builder<'_>, moment: Moment) {
    let (Some(hooks), Some(subject)) =
        (&builder.request.spec.hooks, &builder.request.runtime.hooks)
    else {
        return;
    };
    let hooks = moment.of(hooks).to_vec();
    if !hooks.is_empty() {
        let step = Step::Hooks { moment, hooks, subject: Rc::new(subject.clone()) };
        builder.push(step, ErrorCode::HookFailed, "run hooks", moment.name());
    }
}

/// The root that is a directory of the caller's.
fn rootfs(
    builder: &mut Builder<'_>,
    spec: &Spec,
    written: &str,
    keep_propagation: bool,
) -> Result<RootPlan> {
    let path = builder.host_path(written, "rootfs")?;
    let overlay = builder.request.overlay.then(|| LayerLimits::new(builder.request.layer_bytes));
    let mount_points = match builder.request.mount_points {
        MountPoints::Private if overlay.is_none() => files::mount_points(builder, spec)?,
        _ => Vec::new(),
    };
    let source = if builder.parent_opens() {
        let shifted = builder.request.id_mapping == IdMappingSource::Auto;
        builder.sources.push(Source {
            path,
            recursive: true,
            nofollow: false,
            shift: if shifted { Shift::Tree } else { Shift::None },
            idmap_lines: None,
            rootfs: true,
            object: format!("`{written}`"),
        });
        BindSource::Prepared(builder.sources.len() - 1)
    } else {
        BindSource::Path(path)
    };
    // Where a hook looks for it that enters the mount namespace before the root is changed.
    let at = if needs_root_in_place(builder.request) {
        builder.host_path(written, "rootfs")?
    } else {
        c"/".to_owned()
    };
    Ok(RootPlan { source, at, overlay, keep_propagation, mount_points })
}

fn propagation_flags(word: &str) -> Result<MsFlags> {
    let (word, recursive) = match word.strip_prefix('r') {
        Some(rest) => (rest, MsFlags::MS_REC),
        None => (word, MsFlags::empty()),
    };
    Ok(recursive
        | match word {
            "shared" => MsFlags::MS_SHARED,
            "slave" => MsFlags::MS_SLAVE,
            "private" => MsFlags::MS_PRIVATE,
            "unbindable" => MsFlags::MS_UNBINDABLE,
            _ => return Err(Error::invalid("use", format!("rootfsPropagation `{word}`")).hint(
                "it is one of shared, slave, private, unbindable, or one of these with an r before",
            )),
        })
}

/// Identity: the container's root, inside its own root; nothing of the host can be named any more.
fn configure_kernel(
    builder: &mut Builder<'_>,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
) -> Result<()> {
    for (name, value) in &linux.sysctl {
        // Dots separate, and a slash stands for a dot in a name such as that of a VLAN device.
        let path: String = name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect();
        let step = Step::Sysctl { path: c_string(path, "sysctl")?, value: value.clone() };
        builder.push(
            step,
            ErrorCode::Security,
            "set kernel parameter",
            format!("`{name}={value}`"),
        );
    }
    if let Some(name) = &spec.hostname {
        builder.push(
            Step::Hostname(name.clone()),
            ErrorCode::Namespace,
            "set host name",
            Object::OfStep,
        );
    }
    if let Some(name) = &spec.domainname {
        builder.push(
            Step::Domainname(name.clone()),
            ErrorCode::Namespace,
            "set domain name",
            Object::OfStep,
        );
    }
    if is_new(linux, NamespaceKind::Network) {
        builder.push(Step::LoopbackUp, ErrorCode::Namespace, "set up", "loopback device `lo`");
    }
    if is_new(linux, NamespaceKind::Time) {
        let offsets = linux
            .time_offsets
            .iter()
            .map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
        builder.push(
            Step::TimeOffsets(offsets.collect()),
            ErrorCode::Namespace,
            "make",
            "time namespace",
        );
    }
    if let Some(personality) = &linux.personality {
        builder.push(
            Step::Personality(program::personality(personality)?),
            ErrorCode::Security,
            "set personality",
            format!("`{}`", personality.domain),
        );
    }
    if let Some(priority) = &process.io_priority {
        let (class, value) = scheduler::io_priority(priority)?;
        builder.push(
            Step::IoPriority { class, priority: value },
            ErrorCode::Security,
            "set I/O priority",
            format!("`{}` {}", priority.class, priority.priority),
        );
    }
    if let Some(attributes) = &process.scheduler {
        builder.push(
            Step::Scheduler(scheduler::compile(attributes)?),
            ErrorCode::Security,
            "set scheduler",
            format!("`{}`", attributes.policy),
        );
    }
    Ok(())
}

/// Identity: from the container's root with all capabilities to the container's user with few.
/// Returns the filter that is still to be loaded.
fn give_up_privileges(
    builder: &mut Builder<'_>,
    linux: &Linux,
    process: &Process,
) -> Result<Option<Rc<seccomp::Program>>> {
    // Before the ids change: the keyring's quota is charged to the container's root, not to one
    // user after the other. Only the built-in filters deny every call that reaches a key.
    let tolerate_quota = builder.request.seccomp != SeccompSource::Spec;
    if !builder.request.runtime.no_new_keyring {
        builder.push(
            Step::SessionKeyring { tolerate_quota },
            ErrorCode::Security,
            "join",
            "a new session keyring",
        );
    }
    // While it still may make the calls for it, whatever the filter.
    builder.push(Step::AwaitRecord, ErrorCode::Internal, "wait for", "the parent");

    if builder.host.ids != IdPlan::Own
        && (builder.request.user.is_some() || !builder.request.groups.is_empty())
    {
        // In the finished root: the container's own passwd is meant, a volume on /etc included.
        let user = builder
            .request
            .user
            .clone()
            .unwrap_or_else(|| format!("{}:{}", process.user.uid, process.user.gid));
        let object = format!("`{user}`");
        let step = Step::ResolveUser {
            root: c"/".to_owned(),
            user,
            groups: builder.request.groups.clone(),
        };
        builder.push(step, ErrorCode::UnknownUser, "look up user", object);
    }
    let sets = match &process.capabilities {
        Some(capabilities) => CapabilitySets::from_spec(capabilities)?,
        None => CapabilitySets::default(),
    };
    let no_new_privileges = process.no_new_privileges.unwrap_or(false);
    let mut filter = filter(builder, linux, &sets)?;
    if !no_new_privileges && let Some(filter) = filter.take() {
        // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes below.
        builder.push(Step::Seccomp(filter), ErrorCode::Seccomp, "load", "seccomp filter");
    }
    // Needs CAP_SETPCAP, so it comes before the other sets shrink.
    let all = capabilities::last_cap_mask();
    let dropped = all & !sets.bounding.bits();
    builder.push(Step::DropBounding(dropped), ErrorCode::Security, "drop", "bounding capabilities");
    // One mapped id is that of the child from the start; groups can't be set there.
    let own = builder.host.ids == IdPlan::Own;
    if !own {
        let step = Step::SetIds {
            uid: process.user.uid,
            gid: process.user.gid,
            groups: process.user.additional_gids.clone(),
            set_groups: true,
        };
        builder.push(
            step,
            ErrorCode::Security,
            "become user",
            format!("{}:{}", process.user.uid, process.user.gid),
        );
    }
    // A new user namespace has them all; without one, what the caller lacks can't be given, which
    // is no error (`config.md#linux-process`).
    let grantable = match builder.host.ids {
        IdPlan::Host => all & builder.host.caller.capabilities,
        _ => all,
    };
    let step = Step::SetCapabilities {
        effective: sets.effective.bits() & grantable,
        permitted: sets.permitted.bits() & grantable,
        inheritable: sets.inheritable.bits() & grantable,
        ambient: sets.ambient.bits() & grantable,
    };
    builder.push(step, ErrorCode::Security, "set capabilities of", "the container");
    if builder.request.init {
        builder.push(Step::Init, ErrorCode::ResourceExhausted, "fork", "the container's init");
    }
    if no_new_privileges {
        builder.push(
            Step::NoNewPrivileges,
            ErrorCode::Security,
            "set no_new_privs of",
            "the container",
        );
    }
    // Every change of ids or capabilities above cleared the death signal.
    builder.push(
        Step::DieWithParent,
        ErrorCode::Internal,
        "set parent death signal of",
        "the container",
    );
    builder.push(Step::CheckParent, ErrorCode::Internal, "check", "the parent");
    Ok(filter)
}

fn filter(
    builder: &mut Builder<'_>,
    linux: &Linux,
    sets: &CapabilitySets,
) -> Result<Option<Rc<seccomp::Program>>> {
    match builder.request.seccomp {
        SeccompSource::Default => Ok(Some(seccomp::default_program(sets.bounding, false)?)),
        SeccompSource::Nesting => Ok(Some(seccomp::default_program(sets.bounding, true)?)),
        SeccompSource::Spec => match &linux.seccomp {
            Some(profile) => Ok(Some(builder.host.filters.compiled(profile)?)),
            None => Ok(None),
        },
    }
}

/// Identity: the container's user. What is left is the program's surroundings.
fn become_program(
    builder: &mut Builder<'_>,
    process: &Process,
    program: &Program,
    filter: Option<Rc<seccomp::Program>>,
) -> Result<()> {
    // A session of its own: the caller's terminal, where it is a standard stream, can't be pushed
    // input into (TIOCSTI) by a process of another session.
    builder.push(Step::NewSession, ErrorCode::Internal, "start a session for", "the container");
    let preserved = builder.request.preserve_fds.len() as i32;
    if process.terminal.unwrap_or(false) {
        builder.push(Step::TakeTerminal, ErrorCode::Device, "take terminal of", "the container");
    }
    // The parent fills the pairs in: it knows the descriptors' numbers.
    builder.push(
        Step::Descriptors(Vec::new()),
        ErrorCode::Internal,
        "place",
        "the program's descriptors",
    );
    builder.push(Step::CloseFrom(3 + preserved), ErrorCode::Internal, "close", "other descriptors");
    for limit in limits::compile(&process.rlimits)? {
        builder.push(Step::Limit(limit), ErrorCode::Security, "set limit", Object::OfStep);
    }
    if let Some(mask) = process.user.umask {
        builder.push(Step::Umask(mask), ErrorCode::Internal, "set", "umask");
    }
    let cwd = if process.cwd.is_empty() { "/" } else { process.cwd.as_str() };
    if !Path::new(cwd).is_absolute() {
        return Err(Error::invalid("use", format!("working directory `{cwd}`: it isn't absolute")));
    }
    builder.push(
        Step::Chdir(c_string(cwd, "working directory")?),
        ErrorCode::InvalidArgument,
        "enter working directory",
        Object::OfStep,
    );
    let container = format!("container `{}`", builder.request.id);
    if builder.request.runtime.outlives {
        builder.push(
            Step::OutliveParent,
            ErrorCode::Internal,
            "clear parent death signal of",
            container.clone(),
        );
    }
    if let Some(gate) = builder.request.runtime.gate.clone() {
        builder.push(
            Step::FindProgram,
            ErrorCode::CommandNotFound,
            "find",
            format!("`{}`", program.name),
        );
        builder.push(Step::AwaitStart(gate), ErrorCode::Internal, "await start of", container);
    }
    container_hooks(builder, Moment::StartContainer);
    // Last but for the program itself: everything before needs calls that it may deny.
    if let Some(filter) = filter {
        builder.push(Step::Seccomp(filter), ErrorCode::Seccomp, "load", "seccomp filter");
    }
    builder.push(
        Step::Execute,
        ErrorCode::CommandNotFound,
        "execute",
        format!("`{}`", program.name),
    );
    Ok(())
}
