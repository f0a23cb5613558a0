//! `foreground`: one container for the command line, which this process has replaced.

use std::os::fd::OwnedFd;

use clap::Args;
use minictr_core::error::{Error, Result};
use minictr_core::spawner::protocol::from_memory;
use minictr_core::spec::parse_json;
use minictr_core::sys;

use crate::foreground::{self, Foreground};
use crate::{protect, render};

/// Run one container in the foreground, from a request in memory.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Descriptor of the request.
    #[arg(long)]
    request_fd: i32,
    /// Descriptors that the program gets as 3, 4, …
    #[arg(long = "preserve-fd")]
    preserve_fds: Vec<i32>,
}

/// Runs the container of the request behind a descriptor.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    protect::executable()?;
    let json = from_memory(take(arguments.request_fd)?)?;
    let request: Foreground = parse_json(&json, "read run request")?;
    render::set_json(request.json_errors);
    let preserved =
        arguments.preserve_fds.iter().map(|fd| take(*fd)).collect::<Result<Vec<_>>>()?;
    foreground::run(request, preserved)
}

fn take(fd: i32) -> Result<OwnedFd> {
    if fd < 3 || sys::borrow_of_caller(fd).is_none() {
        return Err(Error::invalid("use", format!("descriptor {fd}: it isn't open")));
    }
    Ok(sys::own_received(fd))
}
