//! What a caller asks for: a spec and the few launch options that the spec has no field for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::runtime::RuntimeOptions;
use crate::spec::Spec;

/// One container to start.
///
/// This and [`Spec`] are all that crosses from TypeScript to Rust about a container. Descriptors
/// travel beside it, in a list; fields that mean a descriptor are indexes into that list.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaunchRequest {
    /// Names the container: 1 to 128 of `A-Z a-z 0-9 _ . -`, the first alphanumeric.
    pub id: String,
    /// The container.
    pub spec: Spec,
    /// Absolute directory that relative paths of the spec are taken from; default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// `NAME|UID[:GROUP|GID]`, looked up in the container's own `/etc/passwd` and `/etc/group`;
    /// overrides `process.user` of the spec, sets supplementary groups, and HOME where the
    /// environment has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Supplementary groups besides those of `user`, by name or number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Where the ids of a new user namespace come from.
    #[serde(default)]
    pub id_mapping: IdMappingSource,
    /// Puts a private layer over the rootfs: everything is writable, nothing is kept.
    #[serde(default)]
    pub overlay: bool,
    /// Makes the root of this machine's own `/`, in the place of the spec's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_root: Option<HostRoot>,
    /// Most that the private layers of `overlay` or `host_root` hold together, bytes; default 1 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_bytes: Option<u64>,
    /// Where mount points that the rootfs lacks are made.
    #[serde(default)]
    pub mount_points: MountPoints,
    /// Further lines of the container's `/etc/hosts`, names with their addresses, `hosts(5)`. The file
    /// is covered by one that has them too; the rootfs keeps its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<(String, IpAddr)>,
    /// Which system call filter.
    #[serde(default)]
    pub seccomp: SeccompSource,
    /// Runs a small init as pid 1 that reaps orphans and forwards signals.
    #[serde(default)]
    pub init: bool,
    /// The container's cgroup.
    #[serde(default)]
    pub cgroup: CgroupRequest,
    /// Standard input, output and error: indexes into the descriptors; `None` is `/dev/null`.
    /// Ignored where the spec asks for a terminal.
    #[serde(default)]
    pub stdio: [Option<u32>; 3],
    /// Descriptors that the program gets as 3, 4, …: indexes into the descriptors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preserve_fds: Vec<u32>,
    /// Kills the whole container after this many milliseconds, set-up included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Kills the whole container once its processes have used this much CPU time, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_time_ms: Option<u64>,
    /// What only an OCI runtime asks for.
    #[serde(skip)]
    pub runtime: RuntimeOptions,
}

impl LaunchRequest {
    /// Whether the program gets a terminal.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.spec.process.as_ref().and_then(|process| process.terminal).unwrap_or(false)
    }
}

/// What a container of the host's files doesn't have. Paths are absolute ones of the host's, whose
/// symbolic links are followed; what is mounted at other places too is hidden there as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostRoot {
    /// Directories that are there in any case, empty and the container's own to write.
    #[serde(default)]
    pub empty: Vec<EmptyDirectory>,
    /// Further paths: a directory is empty, anything else is missing.
    #[serde(default)]
    pub hide: Vec<String>,
}

/// A directory with nothing in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmptyDirectory {
    /// Where.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
}

/// Where the ids of a new user namespace come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMappingSource {
    /// `linux.uidMappings` and `gidMappings` of the spec, as they stand.
    #[default]
    Spec,
    /// As root a range of 65,536 ids that nobody else uses; otherwise the caller's own id alone,
    /// mapped to the container's user.
    Auto,
    /// The caller's subordinate ids (`/etc/subuid`, `newuidmap`); the caller's own id is root.
    Subordinate,
}

/// Where mount points that the rootfs lacks are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountPoints {
    /// In a private layer: nothing appears in the user's directories.
    Private,
    /// In the rootfs itself, as runc does.
    #[default]
    Create,
}

/// Which system call filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompSource {
    /// `linux.seccomp` of the spec; none where it is absent.
    #[default]
    Spec,
    /// The built-in allow-list, for the capabilities of the spec.
    Default,
    /// The built-in allow-list and what starting containers inside takes. Refused where the
    /// container's ids include the machine's root: what such a container's /proc leaves unmasked is
    /// then kept from it by the owner of the files alone.
    Nesting,
}

/// The container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CgroupRequest {
    /// What happens where no cgroup can be had.
    #[serde(default)]
    pub mode: CgroupMode,
    /// Cgroup that the container's is made in; default the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Whether reads and writes of block devices are counted where that takes a cgroup of its own:
    /// on v1, where each costs a start some 0.3 ms; v2 counts them wherever they are limited.
    #[serde(default)]
    pub account_io: bool,
    /// Limit on processes where the spec has none, in force where a cgroup can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_pids: Option<i64>,
}

/// What happens where no cgroup can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupMode {
    /// A cgroup where one can be had; without one, limits that need it are an error, and the
    /// default limit on processes is left out.
    #[default]
    Auto,
    /// No cgroup; limits are an error.
    None,
}
