//! Steps into the namespaces: those that are joined, and the first in those that are new.

use std::os::fd::AsRawFd;

use super::{Builder, c_string, is_new};
use crate::error::{ErrorCode, Result};
use crate::spawn::ids::IdPlan;
use crate::spawn::placement;
use crate::spawn::plan::Step;
use crate::spawn::request::LaunchRequest;
use crate::spawn::runtime::Joined;
use crate::spawn::terminal::Console;
use crate::spec::{Linux, NamespaceKind, Process, Spec};

/// Identity: the parent's, with all capabilities in the new user namespace.
pub(super) fn enter_namespaces(
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
    builder.push(Step::MakeNamespaces, ErrorCode::Namespace, "make", "the container's namespaces");
    // Before the cgroup namespace, whose root is where its maker is then; through descriptors that
    // the parent opened, whose permission is the parent's.
    builder.push(
        Step::AttachCgroups,
        ErrorCode::Cgroup,
        "attach to cgroup of",
        format!("container `{}`", builder.request.id),
    );
    if builder.request.runtime.scope.is_some() {
        let object = format!("container `{}`", builder.request.id);
        builder.push(Step::AwaitScope, ErrorCode::Cgroup, "wait for systemd scope of", object);
    }
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
                    Step::BecomeRoot { keep_groups: builder.request.runtime.keep_groups },
                    ErrorCode::IdMapping,
                    "become",
                    "root of the container",
                );
            }
        }
        IdPlan::Joined => {
            builder.push(
                Step::BecomeRoot { keep_groups: builder.request.runtime.keep_groups },
                ErrorCode::IdMapping,
                "become",
                "root of the joined user namespace",
            );
        }
        IdPlan::Host => {}
    }
    // While /proc is the host's: in the container's root its name could lead anywhere
    // (CVE-2025-52881).
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
pub(super) fn join_container(
    builder: &mut Builder<'_>,
    joined: &Joined,
    process: &Process,
) -> Result<()> {
    let affinity = match &process.exec_cpu_affinity {
        Some(affinity) => placement::affinity(affinity)?,
        None => placement::Affinity::default(),
    };
    // As long as it isn't in the container's cgroup, it isn't the container's CPUs that it uses.
    affinity_step(builder, affinity.initial, "initial");
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
    if joined.way_in.is_some() {
        // As long as it is the caller's: systemd moves nothing of anybody else's for a user.
        let operation = "wait for systemd to attach to";
        builder.push(Step::AwaitScope, ErrorCode::Cgroup, operation, object.clone());
    }
    affinity_step(builder, affinity.last, "final");
    // From inside, a process that isn't there yet can't be moved in, `nsdelegate` of cgroups(7).
    if let Some(namespace) = &joined.cgroup_namespace {
        let step = Step::JoinCgroupNamespace(namespace.as_raw_fd());
        builder.push(step, ErrorCode::Namespace, "join cgroup namespace of", object.clone());
    }
    if builder.host.ids == IdPlan::Joined {
        builder.push(
            Step::BecomeRoot { keep_groups: builder.request.runtime.keep_groups },
            ErrorCode::IdMapping,
            "become",
            "root of the joined user namespace",
        );
    }
    builder.push(Step::UseRoot, ErrorCode::RootfsUnusable, "open root of", object.clone());
    if process.terminal.unwrap_or(false) {
        let size = process.console_size.unwrap_or_default();
        let step = Step::OpenTerminal { size, console: Console::None };
        builder.push(step, ErrorCode::Device, "open terminal of", object);
    }
    Ok(())
}

fn affinity_step(builder: &mut Builder<'_>, cpus: Option<Vec<u64>>, name: &str) {
    if let Some(cpus) = cpus {
        let object = format!("process.execCPUAffinity.{name}");
        builder.push(Step::CpuAffinity(cpus), ErrorCode::Security, "set", object);
    }
}

/// A user that must be looked up by name (or for its groups and home).
fn named_user(request: &LaunchRequest) -> Option<&str> {
    request.user.as_deref()
}
