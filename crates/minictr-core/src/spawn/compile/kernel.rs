//! Steps that set what the kernel keeps for the namespaces and for the process.

use super::{Builder, c_string, is_new};
use crate::error::{ErrorCode, Result};
use crate::spawn::plan::{Object, Step};
use crate::spawn::{placement, program, scheduler};
use crate::spec::{Linux, NamespaceKind, Process, Spec};

/// Identity: the container's root, inside its own root; nothing of the host can be named any more.
pub(super) fn configure_kernel(
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
    if let Some(policy) = &linux.memory_policy {
        builder.push(
            Step::MemoryPolicy(placement::memory_policy(policy)?),
            ErrorCode::Security,
            "set memory policy",
            format!("`{}`", policy.mode),
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
