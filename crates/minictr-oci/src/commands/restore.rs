//! `restore`: a container of what `checkpoint` has written, by CRIU.

use std::path::PathBuf;

use clap::Args;
use minictr_core::checkpoint::RestoreOptions;
use minictr_core::error::Result;
use minictr_core::lifecycle::{HandOver, Revival};

use super::checkpoint::CriuArguments;
use crate::global::Global;
use crate::{foreground, streams};

/// Make a container of what `checkpoint` has written, with CRIU, and exit as its program does.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    criu: CriuArguments,
    /// Directory that holds config.json.
    #[arg(short, long, default_value = ".")]
    bundle: PathBuf,
    /// Don't wait for its end, and leave it to itself.
    #[arg(short, long)]
    detach: bool,
    /// File that the pid of the process is written to.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Unix socket that gets the terminal's master.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Let connections of TCP come back closed.
    #[arg(long)]
    tcp_close: bool,
    /// Security label of the processes.
    #[arg(long, value_name = "TYPE:NAME", value_parser = lsm_profile)]
    lsm_profile: Option<String>,
    /// SELinux context of the mounts that had one.
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    /// Accepted from engines: orphans of the container are never this process's.
    #[arg(long)]
    no_subreaper: bool,
    /// Accepted from engines: CRIU changes the root in its own way.
    #[arg(long)]
    no_pivot: bool,
    /// Name of the container.
    id: String,
}

fn lsm_profile(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("apparmor" | "selinux", name)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("`{text}` isn't `apparmor:NAME` or `selinux:LABEL`")),
    }
}

/// Restores the container; without `--detach` to its end.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let runtime = global.runtime();
    let hands_terminal_over = arguments.console_socket.is_some();
    let restored = runtime.restore(Revival {
        id: arguments.id.clone(),
        bundle: arguments.bundle,
        detach: arguments.detach,
        stdio: streams::standard()?,
        hand_over: HandOver {
            pid_file: arguments.pid_file,
            console_socket: arguments.console_socket,
            pidfd_socket: None,
        },
        options: RestoreOptions {
            common: arguments.criu.into(),
            tcp_close: arguments.tcp_close,
            lsm_profile: arguments.lsm_profile,
            lsm_mount_context: arguments.lsm_mount_context,
        },
    })?;
    if arguments.detach {
        return Ok(0);
    }
    let status = foreground::run_restored(restored, !hands_terminal_over);
    runtime.delete(&arguments.id, true).and(status)
}
