//! One file for each verb.

pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod foreground;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod spawner;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;

use minictr_core::error::Result;

use crate::output;

/// `--version`, as dockerd and go-runc parse it: name and version, commit, spec.
pub(crate) fn version(name: &str) -> Result<u8> {
    let commit = minictr_core::commit().unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    let spec = minictr_core::spec::OCI_VERSION;
    output::text(&format!("{name} version {version}\ncommit: {commit}\nspec: {spec}\n"))?;
    Ok(0)
}
