//! Annotations of crun's that Podman and people set: names that mean something to this runtime.
//!
//! All others are metadata, `config.md#annotations`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cgroups;
use crate::error::{Error, Result};

const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const MOUNT_CONTEXT: &str = "run.oci.mount_context_type";
const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
const SECCOMP_RECEIVER: &str = "run.oci.seccomp.receiver";

/// Annotations that reach out of the container, for `features`: whoever lets others write a config
/// has to know them.
pub const POTENTIALLY_UNSAFE: &[&str] = &[
    KEEP_GROUPS,
    MOUNT_CONTEXT,
    HOOKS_STDOUT,
    HOOKS_STDERR,
    PIDFD_RECEIVER,
    SECCOMP_RECEIVER,
    cgroups::DELEGATE_ANNOTATION,
    cgroups::SUBGROUP_ANNOTATION,
    cgroups::PROPERTY_ANNOTATIONS,
];

/// What the annotations of a container ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// The program keeps the supplementary groups of the caller.
    pub(super) keep_groups: bool,
    /// Which option the SELinux context of mounts is given with.
    pub(super) mount_context: Option<String>,
    /// Files that the output of hooks is added to.
    pub(super) hooks_stdout: Option<PathBuf>,
    pub(super) hooks_stderr: Option<PathBuf>,
    /// Socket that gets a handle of the first process.
    pub(super) pidfd_receiver: Option<PathBuf>,
    /// Socket that gets the listener of the filter.
    pub(super) seccomp_receiver: Option<PathBuf>,
}

impl Annotations {
    /// Those of a config.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that can't be meant.
    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Result<Self> {
        let path = |name: &str| match annotations.get(name).map(PathBuf::from) {
            Some(path) if !path.is_absolute() => {
                let shown = path.display();
                Err(Error::invalid("use", format!("annotation {name}: `{shown}` isn't absolute")))
            }
            path => Ok(path),
        };
        let keep_groups = match annotations.get(KEEP_GROUPS).map(String::as_str) {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                return Err(Error::invalid("use", format!("annotation {KEEP_GROUPS}: `{other}`"))
                    .hint("it is 1 or 0"));
            }
        };
        let mount_context = match annotations.get(MOUNT_CONTEXT) {
            Some(kind) if !MOUNT_CONTEXTS.contains(&kind.as_str()) => {
                return Err(Error::invalid("use", format!("annotation {MOUNT_CONTEXT}: `{kind}`"))
                    .hint(format!("it is one of {}", MOUNT_CONTEXTS.join(", "))));
            }
            kind => kind.cloned(),
        };
        Ok(Self {
            keep_groups,
            mount_context,
            hooks_stdout: path(HOOKS_STDOUT)?,
            hooks_stderr: path(HOOKS_STDERR)?,
            pidfd_receiver: path(PIDFD_RECEIVER)?,
            seccomp_receiver: path(SECCOMP_RECEIVER)?,
        })
    }
}

/// `mount(8)`, of SELinux.
const MOUNT_CONTEXTS: &[&str] = &["context", "fscontext", "defcontext", "rootcontext"];
