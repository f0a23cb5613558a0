//! `checkpoint`: a running container written to files, by CRIU.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use minictr_core::checkpoint::{CgroupsMode, Common, DumpOptions};
use minictr_core::error::Result;

use crate::global::Global;

/// Write a running container to files that `restore` makes one of again, with CRIU.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    criu: CriuArguments,
    /// Directory of an earlier checkpoint, relative to the images: what hasn't changed since is left
    /// out.
    #[arg(long)]
    parent_path: Option<PathBuf>,
    /// Let the container go on.
    #[arg(long)]
    leave_running: bool,
    /// Write memory alone and let the container go on, for a checkpoint with `--parent-path` that is
    /// quicker then.
    #[arg(long)]
    pre_dump: bool,
    /// Leave out connections of TCP that are being made.
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Give files without a name one for a while.
    #[arg(long)]
    link_remap: bool,
    /// Descriptor that a zero byte is written to once pages can be asked for.
    #[arg(long)]
    status_fd: Option<i32>,
    /// Send pages to the page server at this address and port.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = page_server)]
    page_server: Option<(String, u16)>,
    /// Name of the container.
    id: String,
}

/// What `checkpoint` and `restore` have in common.
#[derive(Debug, Args)]
pub(crate) struct CriuArguments {
    /// Directory of the images.
    #[arg(long, default_value = "checkpoint")]
    image_path: PathBuf,
    /// Directory of CRIU's log [default: that of the images].
    #[arg(long)]
    work_path: Option<PathBuf>,
    /// Keep open connections of TCP.
    #[arg(long)]
    tcp_established: bool,
    /// Keep Unix sockets whose other end is outside.
    #[arg(long)]
    ext_unix_sk: bool,
    /// The container shares this session and terminal.
    #[arg(long)]
    shell_job: bool,
    /// Keep locks on files.
    #[arg(long)]
    file_locks: bool,
    /// Read pages only when they are used, with `criu lazy-pages`.
    #[arg(long)]
    lazy_pages: bool,
    /// How cgroups are treated.
    #[arg(long, value_enum)]
    manage_cgroups_mode: Option<Mode>,
    /// Leave this namespace empty.
    #[arg(long, value_enum)]
    empty_ns: Vec<EmptyNamespace>,
    /// Take pages out of earlier images that later ones hold.
    #[arg(long)]
    auto_dedup: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Soft,
    Full,
    Strict,
    Ignore,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EmptyNamespace {
    Network,
}

impl From<CriuArguments> for Common {
    fn from(arguments: CriuArguments) -> Self {
        Self {
            images: arguments.image_path,
            work: arguments.work_path,
            tcp_established: arguments.tcp_established,
            ext_unix_sk: arguments.ext_unix_sk,
            shell_job: arguments.shell_job,
            file_locks: arguments.file_locks,
            lazy_pages: arguments.lazy_pages,
            cgroups: match arguments.manage_cgroups_mode {
                None => CgroupsMode::Default,
                Some(Mode::Soft) => CgroupsMode::Soft,
                Some(Mode::Full) => CgroupsMode::Full,
                Some(Mode::Strict) => CgroupsMode::Strict,
                Some(Mode::Ignore) => CgroupsMode::Ignore,
            },
            empty_network: !arguments.empty_ns.is_empty(),
            auto_dedup: arguments.auto_dedup,
        }
    }
}

/// `ADDRESS:PORT`; an address of IPv6 has colons of its own.
fn page_server(text: &str) -> Result<(String, u16), String> {
    let (address, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse::<u16>().ok().filter(|port| *port > 0);
    match port {
        Some(port) if !address.is_empty() => {
            Ok((address.trim_matches(['[', ']']).to_owned(), port))
        }
        _ => Err(format!("`{text}` isn't ADDRESS:PORT")),
    }
}

/// Writes the container.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let options = DumpOptions {
        common: arguments.criu.into(),
        parent: arguments.parent_path,
        leave_running: arguments.leave_running,
        pre_dump: arguments.pre_dump,
        tcp_skip_in_flight: arguments.tcp_skip_in_flight,
        link_remap: arguments.link_remap,
        status_fd: arguments.status_fd,
        page_server: arguments.page_server,
    };
    global.runtime().checkpoint(&arguments.id, &options)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::page_server;

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        assert_eq!(page_server("10.0.0.1:27"), Ok(("10.0.0.1".to_owned(), 27)));
        assert_eq!(page_server("[::1]:27"), Ok(("::1".to_owned(), 27)));
        for text in ["", "27", ":27", "host", "host:", "host:0", "host:65536", "host:x"] {
            assert!(page_server(text).is_err(), "{text}");
        }
    }
}
