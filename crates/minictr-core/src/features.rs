//! What this runtime can do, as the runtime spec's `features.md` has it.
//!
//! Everything in it comes from the tables that the code works with, or stands beside the code that
//! refuses the rest, so that the document can't promise what a start would refuse.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::capabilities::CapabilitySet;
use crate::lifecycle;
use crate::rootfs::options;
use crate::seccomp;
use crate::spawn::hooks::Moment;
use crate::spawn::memory_policy_words;
use crate::spec::{NamespaceKind, OCI_VERSION};

/// The oldest version of the runtime spec whose documents are understood.
const OCI_VERSION_MIN: &str = "1.0.0";

/// The document of the `features` command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Vec<&'static str>,
    mount_options: Vec<String>,
    linux: LinuxFeatures,
    annotations: BTreeMap<&'static str, String>,
    potentially_unsafe_config_annotations: &'static [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinuxFeatures {
    namespaces: Vec<&'static str>,
    capabilities: Vec<String>,
    cgroup: CgroupFeatures,
    seccomp: SeccompFeatures,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdtFeatures,
    memory_policy: MemoryPolicyFeatures,
    net_devices: Enabled,
    mount_extensions: MountExtensions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CgroupFeatures {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeccompFeatures {
    enabled: bool,
    actions: Vec<&'static str>,
    operators: Vec<&'static str>,
    archs: Vec<&'static str>,
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct MemoryPolicyFeatures {
    modes: Vec<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct IntelRdtFeatures {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

/// What this runtime can do on this kernel.
#[must_use]
pub fn features() -> Features {
    let [actions, operators, archs, flags] = seccomp::known_words();
    let [modes, policy_flags] = memory_policy_words();
    let mut mount_options: Vec<String> = options::known_options().collect();
    mount_options.sort_unstable();
    Features {
        oci_version_min: OCI_VERSION_MIN,
        oci_version_max: OCI_VERSION,
        hooks: Moment::ALL.map(Moment::name).to_vec(),
        mount_options,
        linux: LinuxFeatures {
            namespaces: NamespaceKind::ALL.iter().map(|(_, name)| *name).collect(),
            capabilities: CapabilitySet::known().names().collect(),
            cgroup: CgroupFeatures {
                v1: true,
                v2: true,
                systemd: true,
                systemd_user: true,
                rdma: true,
            },
            seccomp: SeccompFeatures {
                enabled: true,
                actions,
                operators,
                archs,
                supported_flags: seccomp::supported_flags(),
                known_flags: flags,
            },
            apparmor: Enabled { enabled: true },
            selinux: Enabled { enabled: true },
            intel_rdt: IntelRdtFeatures { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicyFeatures { modes, flags: policy_flags },
            net_devices: Enabled { enabled: true },
            mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
        },
        annotations: BTreeMap::from([
            ("org.opencontainers.runc.checkpoint.enabled", "true".to_owned()),
            ("dev.minictr.version", crate::version()),
        ]),
        potentially_unsafe_config_annotations: lifecycle::POTENTIALLY_UNSAFE,
    }
}
