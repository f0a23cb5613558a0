//! Resource limits, which the child sets, and what it takes the parent's privilege to set.

use nix::sys::resource::Resource;

use super::plan::{Plan, Step};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::Rlimit;
use crate::sys::process::prlimit;

/// Soft limit on open files where the spec says nothing: Node raises its own to the hard limit,
/// which slows programs that close every descriptor they could have.
const DEFAULT_OPEN_FILES: u64 = 1024;

const RESOURCES: &[(&str, Resource)] = &[
    ("RLIMIT_AS", Resource::RLIMIT_AS),
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
];

/// Sets the plan's OOM score on a child that waits. Before its ids change: after that its files in
/// /proc are no longer the caller's.
///
/// # Errors
/// `Security` for a lowering that isn't allowed.
pub(super) fn apply_oom_score(pid: i32, plan: &Plan) -> Result<()> {
    let Some(score) = plan.oom_score_adj else { return Ok(()) };
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
        .context(ErrorCode::Security, "set OOM score to", score.to_string())
        .map_err(|error| error.hint("lowering the score needs CAP_SYS_RESOURCE on the host"))
}

/// One resource limit of the program.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) resource: Resource,
    pub(super) soft: u64,
    pub(super) hard: u64,
    /// As in a message: name and values.
    pub(super) object: String,
}

/// The limits of a spec, and the default for open files.
///
/// # Errors
/// `InvalidArgument` for an unknown limit.
pub(super) fn compile(limits: &[Rlimit]) -> Result<Vec<Limit>> {
    let mut compiled = Vec::with_capacity(limits.len() + 1);
    for limit in limits {
        let (_, resource) =
            RESOURCES.iter().find(|(name, _)| *name == limit.kind).ok_or_else(|| {
                Error::invalid("set limit", format!("`{}`", limit.kind))
                    .hint("names are those of getrlimit(2), such as RLIMIT_NOFILE")
            })?;
        compiled.push(Limit {
            resource: *resource,
            soft: limit.soft,
            hard: limit.hard,
            object: format!("{} to {}:{}", limit.kind, limit.soft, limit.hard),
        });
    }
    if !compiled.iter().any(|limit| limit.resource == Resource::RLIMIT_NOFILE) {
        let (_, hard) = own(Resource::RLIMIT_NOFILE)?;
        compiled.push(Limit {
            resource: Resource::RLIMIT_NOFILE,
            soft: DEFAULT_OPEN_FILES.min(hard),
            hard,
            object: "RLIMIT_NOFILE".to_owned(),
        });
    }
    Ok(compiled)
}

/// Raises a waiting child's hard limits as far as its plan needs. It sets them itself, as late as
/// can be, for they would be its own while it sets up; but only its parent may raise them.
///
/// # Errors
/// `Security` for a raise that isn't allowed.
pub(super) fn raise(pid: i32, plan: &Plan) -> Result<()> {
    for step in &plan.steps {
        let Step::Limit(limit) = step else { continue };
        let (soft, hard) = own(limit.resource)?;
        if limit.hard <= hard {
            continue;
        }
        prlimit(pid, limit.resource, soft, limit.hard)
            .context(ErrorCode::Security, "set limit", limit.object.as_str())
            .map_err(|error| match error.errno {
                Some(libc::EPERM) => error.hint("raising a hard limit needs CAP_SYS_RESOURCE on the host; ask for no more than `ulimit -H` shows"),
                _ => error,
            })?;
    }
    Ok(())
}

fn own(resource: Resource) -> Result<(u64, u64)> {
    nix::sys::resource::getrlimit(resource).context(
        ErrorCode::Internal,
        "read resource limits of",
        "this process",
    )
}
