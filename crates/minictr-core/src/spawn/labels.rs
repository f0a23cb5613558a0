//! What security modules of the kernel keep for a process: AppArmor's profile and SELinux's label,
//! `config.md#linux-process`, and the label of mounts, `config-linux.md#mount-label`.
//!
//! A kernel runs at most one of the two. The child writes its own through a procfs of its own, so that
//! no mount in a rootfs can take the place of the file (CVE-2019-16884, CVE-2019-19921).

use std::ffi::CStr;
use std::path::Path;

use nix::errno::Errno;

use crate::rootfs::mounts::Fault;
use crate::rootfs::root;

/// Something that a security module keeps for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// AppArmor's profile from the next execution on.
    Profile(String),
    /// SELinux's label from the next execution on.
    Label(String),
    /// SELinux's label of keys that are made; `None` takes it back.
    KeyLabel(Option<String>),
}

impl Attribute {
    /// What it is, and where it is written, as in a message: Podman looks for the path.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Profile(profile) => {
                format!("AppArmor profile {profile} to `/proc/thread-self/attr/apparmor/exec`")
            }
            Self::Label(label) => {
                format!("SELinux label {label} to `/proc/thread-self/attr/exec`")
            }
            Self::KeyLabel(_) => {
                "SELinux label of keys to `/proc/thread-self/attr/keycreate`".to_owned()
            }
        }
    }

    /// Child: writes it.
    ///
    /// # Errors
    /// ENOENT for a profile that isn't loaded, EINVAL for a label that isn't one, EACCES and EPERM for
    /// one that isn't allowed.
    pub fn write(&self) -> Result<(), Fault> {
        let (paths, value): (&[&CStr], String) = match self {
            // Of its own since Linux 5.1, else that of the first module.
            Self::Profile(profile) => {
                (&[c"attr/apparmor/exec", c"attr/exec"], format!("exec {profile}"))
            }
            Self::Label(label) => (&[c"attr/exec"], label.clone()),
            Self::KeyLabel(Some(label)) => (&[c"attr/keycreate"], label.clone()),
            // A line without anything in it.
            Self::KeyLabel(None) => (&[c"attr/keycreate"], "\n".to_owned()),
        };
        let mut last = Errno::ENOENT;
        for path in paths {
            match root::write_attribute(path, value.as_bytes()) {
                Err(errno @ Errno::ENOENT) => last = errno,
                written => return Ok(written?),
            }
        }
        Err(last.into())
    }
}

/// Whether the kernel runs AppArmor.
#[must_use]
pub fn apparmor_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|enabled| enabled.starts_with(b"Y"))
}

/// Whether the kernel runs SELinux: only then is there its filesystem.
#[must_use]
pub fn selinux_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// The option that gives a new filesystem its label; `kind` is `context`, or another one of the four
/// of `mount(8)`.
#[must_use]
pub fn mount_option(kind: &str, label: &str) -> String {
    format!("{kind}=\"{label}\"")
}
