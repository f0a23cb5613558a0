//! Namespaces that a container was given by path: the images hold nothing of them but a name.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::rpc::{InheritedFd, JoinedNamespace};
use super::worker::pass_on;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::{NamespaceKind, Spec};

/// The kinds that CRIU leaves as they are: the file in `/proc/PID/ns`, and the name in the images,
/// which is runc's.
const LEFT: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// Namespaces of a config that are named by path.
fn named(config: &Spec) -> impl Iterator<Item = (NamespaceKind, &str)> {
    let namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.filter_map(|namespace| Some((namespace.kind, namespace.path.as_deref()?)))
}

fn left(kind: NamespaceKind) -> Option<(&'static str, &'static str)> {
    LEFT.iter().find(|(other, ..)| *other == kind).map(|(_, file, name)| (*file, *name))
}

/// Those that are left out of a dump, as CRIU's `--external` takes them.
///
/// # Errors
/// `Namespace`.
pub(super) fn of_container(config: &Spec, pid: i32) -> Result<Vec<String>> {
    let mut external = Vec::new();
    for (file, name) in named(config).filter_map(|(kind, _)| left(kind)) {
        // The process's own: the path may lead to another one by now.
        let path = format!("/proc/{pid}/ns/{file}");
        let found = std::fs::metadata(&path).context(
            ErrorCode::Namespace,
            "look at",
            format!("`{path}`"),
        )?;
        external.push(format!("{file}[{}]:{name}", found.ino()));
    }
    Ok(external)
}

/// Those that a restored container is put into.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) inherited: Vec<InheritedFd>,
    pub(super) joined: Vec<JoinedNamespace>,
    opened: Vec<OwnedFd>,
}

impl Given {
    /// CRIU has been started, and has copies of what is open.
    pub(super) fn close(self) -> (Vec<InheritedFd>, Vec<JoinedNamespace>) {
        drop(self.opened);
        (self.inherited, self.joined)
    }
}

/// Opens them for CRIU.
///
/// # Errors
/// `InvalidArgument` for a kind that CRIU can't put anything into; `Namespace`.
pub(super) fn of_machine(config: &Spec) -> Result<Given> {
    let mut given = Given::default();
    for (kind, path) in named(config) {
        let shown = || format!("`{path}`");
        if let Some((_, name)) = left(kind) {
            let file = std::fs::File::open(path).context(
                ErrorCode::Namespace,
                "open namespace",
                shown(),
            )?;
            let file = OwnedFd::from(file);
            pass_on(file.as_fd()).context(ErrorCode::Namespace, "pass on namespace", shown())?;
            given.inherited.push(InheritedFd { key: name.to_owned(), fd: file.as_raw_fd() });
            given.opened.push(file);
            continue;
        }
        let word = match kind {
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::User => "user",
            NamespaceKind::Mount => "mnt",
            _ => {
                let what = format!("a {kind:?} namespace by path ({})", shown()).to_lowercase();
                return Err(Error::invalid("restore into", what));
            }
        };
        given.joined.push(JoinedNamespace { kind: word.to_owned(), file: path.to_owned() });
    }
    Ok(given)
}
