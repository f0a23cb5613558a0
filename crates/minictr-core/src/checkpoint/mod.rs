//! Writing a running container to files, and making it go on from them: what CRIU does, told to by
//! its RPC.
//!
//! | module | what it does |
//! |---|---|
//! | `options` | what callers choose, for dumping and for restoring |
//! | `dump` | the request that writes a container to images |
//! | `restore` | the request that makes one of images |
//! | `mounts`, `namespaces` | what isn't the container's own: in no image, but named there |
//! | `images` | the directories of images and logs |
//! | `worker`, `rpc` | the `criu` process, and the language that it speaks |
//!
//! Callers: [`crate::lifecycle`], which knows the state of containers and makes their cgroups; what
//! only it can do while CRIU works, it is asked for through [`Events`]. The images come from whoever
//! calls, and are as trusted as the config: they hold memory and credentials of processes.

mod dump;
mod images;
mod mounts;
mod namespaces;
mod options;
mod restore;
mod rpc;
mod worker;

use std::path::Path;

use crate::error::{Error, ErrorCode};
use crate::spec::Spec;
use rpc::Response;
use worker::{Criu, Worker, reason_in};

pub use dump::{Running, dump};
pub use options::{CgroupsMode, Common, DumpOptions, RestoreOptions};
pub use restore::{Events, Restoration, restore};

/// The annotation that names a file of options of CRIU's, which take precedence over ours; empty for
/// none.
const CONFIG_ANNOTATION: &str = "org.criu.config";
/// Where that file is otherwise.
const CONFIG_FILE: &str = "/etc/criu/minictr.conf";

fn config_file(config: &Spec) -> Option<String> {
    match config.annotations.get(CONFIG_ANNOTATION) {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.clone()),
        // One that isn't there is no error to CRIU, but it warns.
        None => Path::new(CONFIG_FILE).exists().then(|| CONFIG_FILE.to_owned()),
    }
}

/// Why CRIU hasn't done it: in its own words, from its log, or from before it had one.
fn failed(
    criu: &Criu,
    operation: &str,
    object: String,
    answer: Option<&Response>,
    log: &Path,
    worker: &mut Worker,
) -> Error {
    worker.end();
    // What keeps it from working at all explains all else.
    if let Some(reason) = criu.check() {
        return unusable(&reason);
    }
    let reason = reason_in(log)
        .or_else(|| worker.reason())
        .or_else(|| answer.and_then(|answer| answer.message.clone()))
        .or_else(|| answer.and_then(|answer| answer.errno).map(|errno| format!("errno {errno}")))
        .unwrap_or_else(|| "it gives no reason".to_owned());
    let error = Error::new(ErrorCode::Checkpoint, operation, format!("{object}: CRIU: {reason}"));
    if log.exists() { error.hint(format!("its log is `{}`", log.display())) } else { error }
}

fn unusable(reason: &str) -> Error {
    let object = format!("`criu` on this machine: `criu check` fails: {reason}");
    Error::new(ErrorCode::KernelUnsupported, "use", object)
        .hint("`criu check --all` says what it lacks here")
}
