//! `exec`: another process in a running container.

use std::path::PathBuf;

use clap::Args;
use minictr_core::error::{Context, Error, ErrorCode, Result};
use minictr_core::lifecycle::{Changes, Execution, Target};
use minictr_core::spec::parse_json;

use super::create::HandOverArguments;
use crate::global::Global;
use crate::{foreground, protect, streams};

/// Run another process in a container.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hand_over: HandOverArguments,
    /// File with a whole `process` of a config.
    #[arg(short, long)]
    process: Option<PathBuf>,
    /// Working directory in the container.
    #[arg(long)]
    cwd: Option<String>,
    /// Add NAME=value to the environment.
    #[arg(short, long)]
    env: Vec<String>,
    /// Attach a terminal.
    #[arg(short, long)]
    tty: bool,
    /// UID[:GID] in the container.
    #[arg(short, long, value_parser = user)]
    user: Option<(u32, Option<u32>)>,
    /// Add a supplementary group, by number.
    #[arg(short = 'g', long)]
    additional_gids: Vec<u32>,
    /// Add a capability.
    #[arg(short, long)]
    cap: Vec<String>,
    /// Don't wait for its end.
    #[arg(short, long)]
    detach: bool,
    /// Give the program this many descriptors after the standard ones.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u16,
    /// Forbid new privileges.
    #[arg(long)]
    no_new_privs: bool,
    /// AppArmor profile.
    #[arg(long)]
    apparmor: Option<String>,
    /// SELinux label.
    #[arg(long)]
    process_label: Option<String>,
    /// Cgroup below the container's own to run in; on v1 CONTROLLER:PATH means those of some
    /// controllers.
    #[arg(long, value_name = "[CONTROLLER:]PATH")]
    cgroup: Vec<String>,
    /// Also in a container that is paused.
    #[arg(long)]
    ignore_paused: bool,
    /// Name of the container.
    id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// `UID[:GID]`: numbers alone, and nothing that means another id when it is cut short
/// (CVE-2026-30892).
fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    // 2^32-1 is no id but "leave it as it is", setresuid(2).
    let number = |text: &str| {
        let number = text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        number
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| format!("`{text}` isn't the number of a user or group"))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(text)?, None)),
    }
}

impl Arguments {
    fn target(&mut self) -> Result<Target> {
        if let Some(path) = &self.process {
            let json = std::fs::read(path).context(
                ErrorCode::Io,
                "read",
                format!("`{}`", path.display()),
            )?;
            return Ok(Target::Process(Box::new(parse_json(&json, "read process")?)));
        }
        if self.command.is_empty() {
            return Err(Error::invalid("find", "a program to run: give one, or `--process`"));
        }
        Ok(Target::Changed(Changes {
            args: std::mem::take(&mut self.command),
            cwd: self.cwd.take(),
            env: std::mem::take(&mut self.env),
            user: self.user,
            additional_gids: std::mem::take(&mut self.additional_gids),
            capabilities: std::mem::take(&mut self.cap),
            terminal: self.tty,
            no_new_privileges: self.no_new_privs,
            apparmor_profile: self.apparmor.take(),
            selinux_label: self.process_label.take(),
        }))
    }
}

/// Runs the process; without `--detach` to its end.
pub(crate) fn run(global: &Global, mut arguments: Arguments) -> Result<u8> {
    let (_, preserved) = streams::preserved(arguments.preserve_fds)?;
    protect::executable()?;
    let target = arguments.target()?;
    let runtime = global.runtime();
    let prepared = runtime.exec(Execution {
        id: arguments.id,
        target,
        detach: arguments.detach,
        cgroups: arguments.cgroup,
        ignore_paused: arguments.ignore_paused,
        preserved,
        stdio: streams::standard()?,
        hand_over: arguments.hand_over.into(),
    })?;
    if arguments.detach {
        prepared.leave(&runtime)?;
        return Ok(0);
    }
    foreground::run_prepared(prepared, &runtime, false)
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn a_user_is_the_number_that_was_written() {
        assert_eq!(user("1"), Ok((1, None)));
        assert_eq!(user("1:2"), Ok((1, Some(2))));
        for text in ["", "1:", ":1", "-1", "+1", "4294967295", "4294967296", "root", "1:2:3", " 1"]
        {
            assert!(user(text).is_err(), "{text}");
        }
    }
}
