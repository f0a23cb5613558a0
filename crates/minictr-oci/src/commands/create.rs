//! `create`: a container from a bundle, which waits for its start.

use std::path::PathBuf;

use clap::Args;
use minictr_core::error::Result;
use minictr_core::lifecycle::{Creation, HandOver};

use crate::global::Global;
use crate::{protect, streams};

/// Make a container that waits for its start.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) container: Container,
}

/// What `create` and `run` have in common.
#[derive(Debug, Args)]
pub(crate) struct Container {
    /// Directory that holds config.json.
    #[arg(short, long, default_value = ".")]
    bundle: PathBuf,
    #[command(flatten)]
    hand_over: HandOverArguments,
    /// Move the root over `/` instead of using pivot_root, for a machine on an initramfs.
    #[arg(long)]
    no_pivot: bool,
    /// Leave the container in the session keyring of the caller.
    #[arg(long)]
    no_new_keyring: bool,
    /// Give the program this many descriptors after the standard ones.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u16,
    /// Name of the container.
    id: String,
}

/// Where an engine is told of a process that runs.
#[derive(Debug, Args)]
pub(crate) struct HandOverArguments {
    /// Unix socket that gets the terminal's master.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Unix socket that gets a handle of the process.
    #[arg(long)]
    pidfd_socket: Option<PathBuf>,
    /// File that the pid of the process is written to.
    #[arg(long)]
    pid_file: Option<PathBuf>,
}

impl From<HandOverArguments> for HandOver {
    fn from(arguments: HandOverArguments) -> Self {
        Self {
            pid_file: arguments.pid_file,
            console_socket: arguments.console_socket,
            pidfd_socket: arguments.pidfd_socket,
        }
    }
}

impl Container {
    /// The container with this process's descriptors.
    pub(crate) fn creation(self) -> Result<Creation> {
        let (listening, preserved) = streams::preserved(self.preserve_fds)?;
        protect::executable()?;
        Ok(Creation {
            id: self.id,
            bundle: self.bundle,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserved,
            listening,
            listening_names: std::env::var("LISTEN_FDNAMES").ok(),
            stdio: streams::standard()?,
            hand_over: self.hand_over.into(),
            notify_socket: streams::notify_socket(),
        })
    }
}

/// Makes the container.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let runtime = global.runtime();
    runtime.create(arguments.container.creation()?)?;
    Ok(0)
}
