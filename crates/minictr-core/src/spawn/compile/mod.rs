//! The compiler from request to plan.
//!
//! It reads top to bottom as the child's life. Identities: the child starts as its parent, with all
//! capabilities in its new user namespace; becomes the container's root once its ids are mapped;
//! ends as the container's user with the capabilities of the spec.

mod kernel;
mod namespaces;
mod privileges;
mod program;
mod root;

use std::ffi::CString;
use std::path::PathBuf;
use std::rc::Rc;

use nix::sched::CloneFlags;

use super::ids::{Caller, IdPlan};
use super::plan::{Note, Object, Plan, Source, Step};
use super::program as executable;
use super::request::LaunchRequest;
use crate::error::{Error, ErrorCode, Result};
use crate::network;
use crate::rootfs::mounts::CgroupMount;
use crate::spec::{Linux, Namespace, NamespaceKind};

/// What the compiler needs to know of this process and machine.
pub(in crate::spawn) struct Host<'a> {
    pub(in crate::spawn) caller: &'a Caller,
    /// The hierarchies as the host combines them, for mounts of type `cgroup`.
    pub(in crate::spawn) cgroup_mounts: Rc<[CgroupMount]>,
    /// The ids of the container.
    pub(in crate::spawn) ids: IdPlan,
    /// Filters compiled before.
    pub(in crate::spawn) filters: &'a mut crate::spawn::filters::Filters,
}

/// Steps and notes, grown together.
pub(in crate::spawn) struct Builder<'a> {
    pub(in crate::spawn) request: &'a LaunchRequest,
    pub(in crate::spawn) host: Host<'a>,
    pub(in crate::spawn) base: PathBuf,
    pub(in crate::spawn) steps: Vec<Step>,
    pub(in crate::spawn) notes: Vec<Note>,
    pub(in crate::spawn) sources: Vec<Source>,
}

impl Builder<'_> {
    pub(in crate::spawn) fn push(
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
    pub(in crate::spawn) fn parent_opens(&self) -> bool {
        self.host.caller.privileged && !matches!(self.host.ids, IdPlan::Host | IdPlan::Joined)
    }

    /// An absolute host path of the spec, relative ones taken from the bundle.
    pub(in crate::spawn) fn host_path(&self, path: &str, what: &str) -> Result<CString> {
        c_string(self.base.join(path).to_string_lossy().into_owned(), what)
    }
}

pub(in crate::spawn) fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let text = String::from_utf8_lossy(&error.into_vec()).replace('\0', "\\0");
        Error::invalid("use", format!("{what} `{text}`: it holds a NUL byte"))
    })
}

/// Where a namespace of the spec comes from.
fn namespace(linux: &Linux, kind: NamespaceKind) -> Option<&Namespace> {
    linux.namespaces.iter().find(|namespace| namespace.kind == kind)
}

/// Whether a namespace is made for the container, not shared or joined.
pub(in crate::spawn) fn is_new(linux: &Linux, kind: NamespaceKind) -> bool {
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
pub(in crate::spawn) fn compile(request: &LaunchRequest, host: Host<'_>) -> Result<Plan> {
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
    if !linux.net_devices.is_empty() && !builder.host.caller.privileged {
        return Err(Error::invalid(
            "honour",
            "`linux.netDevices` of the spec: only root may move a network device",
        ));
    }
    let program = executable::compile(request, process)?;

    if let Some(joined) = &request.runtime.join {
        namespaces::join_container(&mut builder, joined, process)?;
    } else {
        namespaces::enter_namespaces(&mut builder, spec, linux, process)?;
        root::build_root(&mut builder, spec, linux, process)?;
    }
    kernel::configure_kernel(&mut builder, spec, linux, process)?;
    let filter = privileges::give_up_privileges(&mut builder, linux, process)?;
    program::become_program(&mut builder, process, &program, filter)?;

    Ok(Plan {
        net_devices: network::plan(&linux.net_devices)?,
        clone_flags: clone_flags(linux),
        own_namespaces: CloneFlags::empty(),
        cgroup_comes: false,
        ids: builder.host.ids.clone(),
        steps: builder.steps,
        notes: builder.notes,
        sources: builder.sources,
        oom_score_adj: process.oom_score_adj,
        cgroup_procs: Vec::new(),
        memory_procs: None,
        pipes: Vec::new(),
        program,
        own_pid_namespace: is_new(linux, NamespaceKind::Pid),
    })
}
