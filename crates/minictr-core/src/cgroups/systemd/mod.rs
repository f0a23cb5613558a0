//! The systemd cgroup driver: the container's cgroup is that of a transient scope, which systemd makes
//! and hands over (`Delegate=yes`), `org.freedesktop.systemd1(5)`.
//!
//! A scope is made with its processes, so it comes after the container's first one, which waits for
//! it. Where the cgroup is then, that process's own `/proc/PID/cgroup` says. Limits are both properties
//! of the unit and written to the cgroup.
//!
//! | module | what it does |
//! |---|---|
//! | `name` | `cgroupsPath` as slice and scope |
//! | `manager` | systemd itself: what it is asked, and what its answers mean |
//! | `properties` | limits as properties |
//! | `way_in` | letting systemd put a process into a unit's cgroup |
//! | `annotations` | properties that a config sets itself |

mod annotations;
mod manager;
mod name;
mod properties;
mod way_in;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::CgroupSpec;
use super::{Cgroup, Hierarchies, memberships};
use crate::dbus::Value;
use crate::error::{Error, ErrorCode, Result};
use crate::spec::Resources;

use manager::Manager;

pub use annotations::PREFIX as PROPERTY_ANNOTATIONS;
pub use name::{ScopeName, refuse_unit};
pub use way_in::WayIn;

/// The annotation that names a cgroup below the scope which the container's is to be.
pub const SUBGROUP_ANNOTATION: &str = "run.oci.systemd.subgroup";
const DESCRIPTION: &str = "Description";

/// A property of a unit.
type Property = (String, Value);

/// Where the buses are.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Of the system bus.
    pub system: String,
    /// Of the user's bus; empty where there is none.
    pub user: String,
    /// Directory of the user's session, which a socket of the user's systemd is in.
    pub runtime_directory: Option<String>,
}

/// Who a unit belongs to, its name, and what tells it from another of that name: what is written down
/// of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// It is one of the user's own systemd.
    pub user: bool,
    /// Its `Description`, which no other unit has unless configs give several the same one.
    pub description: String,
}

/// What systemd has under a unit's name.
#[derive(Debug)]
pub enum Found {
    /// The unit itself.
    Own(LoadedUnit),
    /// Another unit, whose cgroup is the one that this one would have.
    Other,
    /// No unit.
    Nothing,
}

/// A unit that systemd has.
#[derive(Debug)]
pub struct LoadedUnit {
    manager: Manager,
    name: String,
}

/// A scope to make for a container.
#[derive(Clone, Debug)]
pub struct Scope {
    name: ScopeName,
    user: bool,
    description: String,
    addresses: Addresses,
    properties: Vec<Property>,
    subgroup: Option<String>,
}

/// Checks the annotations about a container's cgroup, whether they come to be used or not.
///
/// # Errors
/// `InvalidArgument` for a value that can't be meant.
pub fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<()> {
    for annotation in [SUBGROUP_ANNOTATION, super::DELEGATE_ANNOTATION] {
        if let Some(name) = annotations.get(annotation).filter(|name| !name.is_empty()) {
            super::delegate::check_name(annotation, name)?;
        }
    }
    annotations::properties(annotations).map(drop)
}

impl Scope {
    /// From `cgroupsPath` and the annotations of a config; `fallback` is the name of a container whose
    /// config names none, and `description` what people see where annotations say nothing else: never
    /// that of another unit. `user`: by the user's own systemd.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn of(
        path: Option<&str>,
        fallback: &str,
        description: String,
        annotations: &BTreeMap<String, String>,
        user: bool,
        addresses: &Addresses,
    ) -> Result<Self> {
        let subgroup = annotations.get(SUBGROUP_ANNOTATION).filter(|name| !name.is_empty());
        let name = ScopeName::parse(path, fallback, user)?;
        let properties = annotations::properties(annotations)?;
        let described = properties.iter().rfind(|(name, _)| name == DESCRIPTION);
        let description = match described.and_then(|(_, value)| value.as_text()) {
            None => description,
            // systemd describes a unit by its name then.
            Some("") => name.unit.clone(),
            Some(text) => text.to_owned(),
        };
        Ok(Self {
            name,
            user,
            description,
            addresses: addresses.clone(),
            properties,
            subgroup: subgroup.cloned(),
        })
    }

    /// What is to be written down of it before it is made.
    #[must_use]
    pub fn unit(&self) -> Unit {
        Unit {
            name: self.name.unit.clone(),
            user: self.user,
            description: self.description.clone(),
        }
    }

    /// Whether the user's own systemd makes it, which puts no rules for devices in force.
    #[must_use]
    pub fn is_users(&self) -> bool {
        self.user
    }

    /// Makes it around a process, with the limits of a spec.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn start(&self, pid: i32, spec: &CgroupSpec<'_>, hierarchies: &Hierarchies) -> Result<()> {
        let mut manager = Manager::connect(self.user, &self.addresses)?;
        let yes = |name: &str| (name.to_owned(), Value::Bool(true));
        let only_v2 = hierarchies.only_v2();
        let mut properties = vec![
            (DESCRIPTION.to_owned(), Value::text(&*self.description)),
            ("Slice".to_owned(), Value::text(&*self.name.slice)),
            ("PIDs".to_owned(), Value::Array("u".to_owned(), vec![Value::U32(pid as u32)])),
            yes("Delegate"),
            ("DefaultDependencies".to_owned(), Value::Bool(false)),
            yes("MemoryAccounting"),
            yes("CPUAccounting"),
            yes(if only_v2 { "IOAccounting" } else { "BlockIOAccounting" }),
            yes("TasksAccounting"),
        ];
        let none = Resources::default();
        let resources = spec.resources().unwrap_or(&none);
        properties.extend(limits(resources, spec.pids_limit(), only_v2, self.user)?);
        // Last: what a config says by name stands.
        properties.extend(self.properties.iter().cloned());
        manager.start_scope(&self.name.unit, properties)
    }

    /// Ends it with all that is in it, where it has been made and isn't gone.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn stop(&self) -> Result<()> {
        match self.unit().find(&self.addresses)? {
            Found::Own(unit) => unit.stop(),
            Found::Other | Found::Nothing => Ok(()),
        }
    }

    /// The cgroup of the scope that a process is in, with its limits in force. `paths` are its
    /// directories, as [`Scope::paths`] gives them.
    ///
    /// # Errors
    /// As for [`Hierarchies::create`].
    pub fn open(
        &self,
        pid: i32,
        paths: &[String],
        spec: &CgroupSpec<'_>,
        hierarchies: &Hierarchies,
    ) -> Result<Cgroup> {
        if let Some(subgroup) = &self.subgroup {
            hierarchies.make_subgroup(paths, subgroup, pid)?;
        }
        hierarchies.adopt(paths, spec)
    }

    /// The directories of the cgroup of a scope that a process is in, the subgroup's where there is to
    /// be one.
    ///
    /// # Errors
    /// `Cgroup` where it isn't in the scope.
    pub fn paths(&self, pid: i32, hierarchies: &Hierarchies) -> Result<Vec<String>> {
        let memberships = memberships(pid).unwrap_or_default();
        let found = memberships
            .into_iter()
            .map(|membership| membership.path)
            .find(|path| path.rsplit('/').next() == Some(&self.name.unit));
        let Some(path) = found else {
            let object = format!("`{}`: its process isn't there", self.name.unit);
            return Err(Error::new(ErrorCode::Cgroup, "find the cgroup of scope", object));
        };
        let path = match &self.subgroup {
            Some(subgroup) => format!("{path}/{subgroup}"),
            None => path,
        };
        Ok(hierarchies.directories(&path))
    }
}

fn limits(
    resources: &Resources,
    pids_limit: Option<i64>,
    only_v2: bool,
    user: bool,
) -> Result<Vec<Property>> {
    let mut properties = properties::of(resources, pids_limit, only_v2)?;
    if !user {
        let drivers = std::fs::read_to_string("/proc/devices").unwrap_or_default();
        properties.extend(properties::of_devices(&resources.devices, &drivers)?);
    }
    Ok(properties)
}

impl Unit {
    /// Tells systemd of limits that are in force in the cgroup already.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn update(
        &self,
        resources: &Resources,
        hierarchies: &Hierarchies,
        addresses: &Addresses,
    ) -> Result<()> {
        let pids_limit = resources.pids.as_ref().and_then(|pids| pids.limit);
        let properties = limits(resources, pids_limit, hierarchies.only_v2(), self.user)?;
        if properties.is_empty() {
            return Ok(());
        }
        Manager::connect(self.user, addresses)?.set(&self.name, properties)
    }

    /// Looks for it. One of its name needn't be it: whoever wrote it down may have been killed before it
    /// was made, or it has ended since, and the name is free for everybody.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn find(&self, addresses: &Addresses) -> Result<Found> {
        let mut manager = Manager::connect(self.user, addresses)?;
        Ok(match manager.description(&self.name)? {
            None => Found::Nothing,
            Some(found) if found != self.description => Found::Other,
            Some(_) => Found::Own(LoadedUnit { manager, name: self.name.clone() }),
        })
    }
}

impl LoadedUnit {
    /// Ends it with all that is in it.
    ///
    /// # Errors
    /// `Cgroup` where systemd refuses, `Io` where it says nothing.
    pub fn stop(mut self) -> Result<()> {
        self.manager.stop(&self.name)
    }
}
