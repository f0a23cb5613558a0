//! stub
use crate::error::{Error, Result};
use crate::spec::Capabilities;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u64);
impl CapabilitySet {
    pub fn bits(self) -> u64 {
        self.0
    }
}
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
#[derive(Clone, Copy, Debug, Default)]
pub struct CapabilitySets {
    pub bounding: CapabilitySet,
    pub effective: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub permitted: CapabilitySet,
    pub ambient: CapabilitySet,
}
fn set(names: &[String]) -> Result<CapabilitySet> {
    let mut bits = 0;
    for n in names {
        let short = n.strip_prefix("CAP_").unwrap_or(n);
        let i = NAMES
            .iter()
            .position(|x| *x == short)
            .ok_or_else(|| Error::invalid("use", format!("capability `{n}`")))?;
        bits |= 1 << i;
    }
    Ok(CapabilitySet(bits))
}
impl CapabilitySets {
    pub fn from_spec(c: &Capabilities) -> Result<Self> {
        Ok(Self {
            bounding: set(&c.bounding)?,
            effective: set(&c.effective)?,
            inheritable: set(&c.inheritable)?,
            permitted: set(&c.permitted)?,
            ambient: set(&c.ambient)?,
        })
    }
}
pub fn last_cap_mask() -> u64 {
    (1 << 41) - 1
}
