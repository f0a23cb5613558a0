//! The program of a spec: where it may be, with which arguments and environment.

use super::compile::c_string;
use super::exec::Program;
use super::request::LaunchRequest;
use crate::error::{Error, Result};
use crate::spec::{Personality, Process};
use crate::sys::process::CStringArray;

/// PATH of a container whose environment has none, as `execvp(3)` would have it in an image.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Turns `process.args` and `process.env` into what `execve(2)` takes.
pub(super) fn compile(request: &LaunchRequest, process: &Process) -> Result<Program> {
    let name = process
        .args
        .first()
        .ok_or_else(|| Error::invalid("find", "a program to run: `process.args` is empty"))?;
    if name.is_empty() {
        return Err(Error::invalid("run", "a program whose name is empty"));
    }
    let variable =
        |wanted: &str| {
            process.env.iter().rev().find_map(|entry| {
                entry.strip_prefix(wanted).and_then(|rest| rest.strip_prefix('='))
            })
        };
    let path = variable("PATH").map(str::to_owned);
    let candidates = if name.contains('/') {
        vec![c_string(name.as_str(), "program")?]
    } else {
        path.as_deref()
            .unwrap_or(DEFAULT_PATH)
            .split(':')
            .map(|directory| {
                // An empty entry of PATH is the working directory, execvp(3).
                let directory = if directory.is_empty() { "." } else { directory };
                c_string(format!("{directory}/{name}"), "program")
            })
            .collect::<Result<Vec<_>>>()?
    };
    let strings = |list: &[String], what: &str| {
        list.iter().map(|text| c_string(text.as_str(), what)).collect::<Result<Vec<_>>>()
    };
    for entry in &process.env {
        if !entry.contains('=') || entry.starts_with('=') {
            return Err(Error::invalid(
                "use",
                format!("environment entry `{entry}`: it isn't NAME=value"),
            ));
        }
    }
    Ok(Program {
        name: name.clone(),
        candidates,
        argv: CStringArray::new(strings(&process.args, "argument")?),
        envp: CStringArray::new(strings(&process.env, "environment entry")?),
        needs_home: request.user.is_some() && variable("HOME").is_none(),
        path: path.or_else(|| (!name.contains('/')).then(|| DEFAULT_PATH.to_owned())),
        cwd: if process.cwd.is_empty() { "/".to_owned() } else { process.cwd.clone() },
    })
}

/// The execution domain of `linux.personality`.
pub(super) fn personality(personality: &Personality) -> Result<u64> {
    const PER_LINUX: u64 = 0;
    const PER_LINUX32: u64 = 8;
    if let Some(flag) = personality.flags.first() {
        return Err(Error::invalid("use", format!("personality flag `{flag}`"))
            .hint("the runtime spec defines none"));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(PER_LINUX),
        "LINUX32" => Ok(PER_LINUX32),
        other => {
            Err(Error::invalid("use", format!("personality `{other}`"))
                .hint("it is LINUX or LINUX32"))
        }
    }
}
