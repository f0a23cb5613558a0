//! What callers choose.

use std::path::PathBuf;

/// How CRIU treats cgroups, `criu(8)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupsMode {
    /// CRIU's own choice, `soft`.
    #[default]
    Default,
    /// Leaves them as they are.
    Ignore,
    /// Restores the properties of those that it makes.
    Soft,
    /// Restores all properties.
    Full,
    /// Refuses those that are there already.
    Strict,
}

impl CgroupsMode {
    /// The number of `criu_cg_mode`.
    pub(super) const fn number(self) -> i32 {
        match self {
            Self::Ignore => 0,
            Self::Soft => 3,
            Self::Full => 4,
            Self::Strict => 5,
            Self::Default => 6,
        }
    }
}

/// What dumping and restoring have in common.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// Directory of the images.
    pub images: PathBuf,
    /// Directory of the log and of what CRIU writes besides; that of the images where absent.
    pub work: Option<PathBuf>,
    /// Connections of TCP that are open are kept.
    pub tcp_established: bool,
    /// Unix sockets whose other end is outside are kept.
    pub ext_unix_sk: bool,
    /// The container shares the caller's session and terminal.
    pub shell_job: bool,
    /// Locks on files are kept.
    pub file_locks: bool,
    /// Pages are read only when they are used.
    pub lazy_pages: bool,
    /// How cgroups are treated.
    pub cgroups: CgroupsMode,
    /// The network namespace is left empty: its devices and addresses are somebody else's to make.
    pub empty_network: bool,
    /// Pages that a later image holds are taken out of an earlier one.
    pub auto_dedup: bool,
}

/// What only dumping knows.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// As for restoring.
    pub common: Common,
    /// Images of an earlier dump, relative to those of this one: pages that haven't changed since
    /// are left out.
    pub parent: Option<PathBuf>,
    /// The container goes on afterwards.
    pub leave_running: bool,
    /// Memory alone, and the container goes on: what a later dump leaves out.
    pub pre_dump: bool,
    /// Connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// Files that have no name any more get one for a while.
    pub link_remap: bool,
    /// Descriptor that a zero byte is written to once pages can be asked for.
    pub status_fd: Option<i32>,
    /// Where pages are sent instead: address and port.
    pub page_server: Option<(String, u16)>,
}

/// What only restoring knows.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// As for dumping.
    pub common: Common,
    /// Connections of TCP come back closed.
    pub tcp_close: bool,
    /// Security label of the processes, `apparmor:NAME` or `selinux:LABEL`.
    pub lsm_profile: Option<String>,
    /// SELinux context of the mounts that had one.
    pub lsm_mount_context: Option<String>,
}
