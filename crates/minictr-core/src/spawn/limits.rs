//! Limits that the parent sets on its child, which may lack the privilege for a raise.

use nix::sys::resource::Resource;

use super::plan::Plan;
use crate::error::{Context, Error, ErrorCode, Result};
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

/// Sets the plan's resource limits and OOM score on a child that waits.
///
/// # Errors
/// `InvalidArgument` for an unknown limit, `Security` for a raise that isn't allowed.
pub(super) fn apply(pid: i32, plan: &Plan) -> Result<()> {
    let mut open_files_set = false;
    for limit in &plan.rlimits {
        let (_, resource) =
            RESOURCES.iter().find(|(name, _)| *name == limit.kind).ok_or_else(|| {
                Error::invalid("set limit", format!("`{}`", limit.kind))
                    .hint("names are those of getrlimit(2), such as RLIMIT_NOFILE")
            })?;
        open_files_set |= *resource == Resource::RLIMIT_NOFILE;
        prlimit(pid, *resource, limit.soft, limit.hard)
            .context(
                ErrorCode::Security,
                "set limit",
                format!("{} to {}:{}", limit.kind, limit.soft, limit.hard),
            )
            .map_err(|error| match error.errno {
                Some(libc::EPERM) => error.hint("raising a hard limit needs CAP_SYS_RESOURCE on the host; ask for no more than `ulimit -H` shows"),
                _ => error,
            })?;
    }
    if !open_files_set {
        let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).context(
            ErrorCode::Internal,
            "read limit",
            "RLIMIT_NOFILE",
        )?;
        prlimit(pid, Resource::RLIMIT_NOFILE, DEFAULT_OPEN_FILES.min(hard), hard).context(
            ErrorCode::Security,
            "set limit",
            "RLIMIT_NOFILE",
        )?;
    }
    if let Some(score) = plan.oom_score_adj {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
            .context(ErrorCode::Security, "set OOM score to", score.to_string())
            .map_err(|error| error.hint("lowering the score needs CAP_SYS_RESOURCE on the host"))?;
    }
    Ok(())
}
