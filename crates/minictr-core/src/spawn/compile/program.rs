//! Steps through the program's surroundings to the program.

use std::path::Path;
use std::rc::Rc;

use super::root::container_hooks;
use super::{Builder, c_string};
use crate::error::{Error, ErrorCode, Result};
use crate::seccomp;
use crate::spawn::exec::Program;
use crate::spawn::hooks::Moment;
use crate::spawn::limits;
use crate::spawn::plan::{Object, Step};
use crate::spec::Process;

/// Identity: the container's user. What is left is the program's surroundings.
pub(super) fn become_program(
    builder: &mut Builder<'_>,
    process: &Process,
    program: &Program,
    mut filter: Option<Rc<seccomp::Program>>,
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
        if let Some(filter) = filter.take_if(|filter| filter.notifies()) {
            // As long as this parent is there to hand the listener on.
            builder.push(Step::Seccomp(filter), ErrorCode::Seccomp, "load", "seccomp filter");
        }
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
