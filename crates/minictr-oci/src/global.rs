//! Options that stand before the verb.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use minictr_core::cgroups::Addresses;
use minictr_core::lifecycle::Runtime;
use minictr_core::spawn::CgroupMode;
use minictr_core::state;

use crate::render;

/// Options that stand before the verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the containers' state [default: /run/minictr/oci, for other users
    /// $XDG_RUNTIME_DIR/minictr/oci].
    #[arg(long)]
    root: Option<PathBuf>,
    /// File that a failure is written to, as one record.
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
    /// Form of that record.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Accepted from engines; there is nothing more to say.
    #[arg(long)]
    debug: bool,
    /// As `--cgroup-manager systemd`.
    #[arg(long)]
    systemd_cgroup: bool,
    /// Who makes cgroups.
    #[arg(long, value_enum, default_value_t = CgroupManager::Cgroupfs)]
    cgroup_manager: CgroupManager,
    /// Accepted from engines: what this user may do is found out by itself.
    #[arg(long, value_name = "true|false|auto", value_parser = ["true", "false", "auto"])]
    rootless: Option<String>,
    /// Accepted from engines: CRIU is looked for in the `PATH`.
    #[arg(long, hide = true)]
    criu: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

impl Global {
    /// The runtime that these options mean.
    pub(crate) fn runtime(&self) -> Runtime {
        let root = self.root.clone().unwrap_or_else(|| state::default_directory().join("oci"));
        let cgroups = match self.cgroup_manager {
            CgroupManager::Disabled => CgroupMode::None,
            CgroupManager::Cgroupfs | CgroupManager::Systemd => CgroupMode::Auto,
        };
        let runtime = Runtime::new(root, cgroups, render::warning).with_addresses(addresses());
        if self.systemd_cgroup || self.cgroup_manager == CgroupManager::Systemd {
            runtime.with_systemd()
        } else {
            runtime
        }
    }
}

/// Where the buses are, D-Bus specification, "Well-known Message Bus Instances".
fn addresses() -> Addresses {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let runtime_directory = variable("XDG_RUNTIME_DIR");
    let of_session = || runtime_directory.as_ref().map(|folder| format!("unix:path={folder}/bus"));
    Addresses {
        system: variable("DBUS_SYSTEM_BUS_ADDRESS")
            .unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned()),
        user: variable("DBUS_SESSION_BUS_ADDRESS").or_else(of_session).unwrap_or_default(),
        runtime_directory,
    }
}
