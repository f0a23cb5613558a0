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
//! | `properties` | limits as properties |
//! | `annotations` | properties that a config sets itself |

mod annotations;
mod name;
mod properties;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::CgroupSpec;
use super::{Cgroup, Hierarchies};
use crate::dbus::{Call, Connection, Failure, Signal, Value};
use crate::error::{Error, ErrorCode, Result};
use crate::spec::Resources;

pub use annotations::PREFIX as PROPERTY_ANNOTATIONS;
pub use name::{ScopeName, refuse_unit};

/// The annotation that names a cgroup below the scope which the container's is to be.
pub const SUBGROUP_ANNOTATION: &str = "run.oci.systemd.subgroup";
/// How long systemd may take for a job, as runc waits.
const JOB_PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

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

/// Who a unit belongs to, and its name: what is written down of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// It is one of the user's own systemd.
    pub user: bool,
}

/// A scope to make for a container.
#[derive(Clone, Debug)]
pub struct Scope {
    name: ScopeName,
    user: bool,
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
    /// config names none. `user`: by the user's own systemd.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn of(
        path: Option<&str>,
        fallback: &str,
        annotations: &BTreeMap<String, String>,
        user: bool,
        addresses: &Addresses,
    ) -> Result<Self> {
        let subgroup = annotations.get(SUBGROUP_ANNOTATION).filter(|name| !name.is_empty());
        Ok(Self {
            name: ScopeName::parse(path, fallback, user)?,
            user,
            addresses: addresses.clone(),
            properties: annotations::properties(annotations)?,
            subgroup: subgroup.cloned(),
        })
    }

    /// What is to be written down of it before it is made.
    #[must_use]
    pub fn unit(&self) -> Unit {
        Unit { name: self.name.unit.clone(), user: self.user }
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
            ("Description".to_owned(), Value::text(format!("container {}", self.name.unit))),
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

    /// As [`Unit::stop`].
    ///
    /// # Errors
    /// As for [`Unit::stop`].
    pub fn stop(&self) -> Result<()> {
        self.unit().stop(&self.addresses)
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
        let file = format!("/proc/{pid}/cgroup");
        let membership = std::fs::read_to_string(&file).unwrap_or_default();
        let found = membership
            .lines()
            .filter_map(|line| line.splitn(3, ':').nth(2))
            .find(|path| path.rsplit('/').next() == Some(&self.name.unit));
        let Some(path) = found else {
            let object = format!("`{}`: its process isn't there", self.name.unit);
            return Err(Error::new(ErrorCode::Cgroup, "find the cgroup of scope", object));
        };
        let path = match &self.subgroup {
            Some(subgroup) => format!("{path}/{subgroup}"),
            None => path.to_owned(),
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

    /// Ends it with all that is in it; one that is gone is.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn stop(&self, addresses: &Addresses) -> Result<()> {
        Manager::connect(self.user, addresses)?.stop(&self.name)
    }
}

/// systemd, over one connection.
#[derive(Debug)]
struct Manager {
    connection: Connection,
    bus: bool,
    listens: bool,
}

impl Manager {
    fn connect(user: bool, addresses: &Addresses) -> Result<Self> {
        let (address, private) = if user {
            let private = addresses.runtime_directory.as_deref();
            (&addresses.user, private.map(|folder| format!("{folder}/systemd/private")))
        } else {
            (&addresses.system, Some("/run/systemd/private".to_owned()))
        };
        let over = |address: &str, bus| {
            Connection::open(address, bus).map(|connection| Self {
                connection,
                bus,
                listens: false,
            })
        };
        let error = match over(address, true) {
            Ok(manager) => return Ok(manager),
            Err(error) => error,
        };
        // systemd's own socket, for whoever it belongs to: there without a bus too.
        let private = private.filter(|path| Path::new(path).exists());
        if let Some(path) = private
            && let Ok(manager) = over(&format!("unix:path={path}"), false)
        {
            return Ok(manager);
        }
        Err(unavailable(user, error))
    }

    fn call(&mut self, method: &str, arguments: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let call = Call { destination: NAME, path: PATH, interface: MANAGER, method, arguments };
        self.connection.call(&call)
    }

    /// Lets the bus send us what comes of jobs. Without a bus it comes anyway.
    fn listen(&mut self) -> Result<()> {
        if !self.bus || std::mem::replace(&mut self.listens, true) {
            return Ok(());
        }
        let rule = format!(
            "type='signal',sender='{NAME}',path='{PATH}',interface='{MANAGER}',member='JobRemoved'"
        );
        let call = Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            method: "AddMatch",
            arguments: vec![Value::text(rule)],
        };
        match self.connection.call(&call) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.refused(failure, "listen to", "systemd")),
        }
    }

    fn start_scope(&mut self, unit: &str, properties: Vec<Property>) -> Result<()> {
        self.listen()?;
        let arguments = vec![
            Value::text(unit),
            Value::text("replace"),
            list(properties),
            Value::Array("(sa(sv))".to_owned(), Vec::new()),
        ];
        let mut started = self.call("StartTransientUnit", arguments.clone());
        if matches!(&started, Err(Failure::Refused { name, .. }) if name == UNIT_EXISTS) {
            // One that failed keeps its name until somebody has taken notice.
            let _ = self.call("ResetFailedUnit", vec![Value::text(unit)]);
            started = self.call("StartTransientUnit", arguments);
        }
        match started {
            Ok(values) => self.finish(&values, "start", unit),
            Err(failure) => Err(self.refused(failure, "start", unit)),
        }
    }

    fn set(&mut self, unit: &str, properties: Vec<Property>) -> Result<()> {
        let runtime = Value::Bool(true);
        let arguments = vec![Value::text(unit), runtime, list(properties)];
        match self.call("SetUnitProperties", arguments) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.refused(failure, "set properties of", unit)),
        }
    }

    fn stop(&mut self, unit: &str) -> Result<()> {
        self.listen()?;
        let name = || Value::text(unit);
        // Its processes would be asked to end, and be given time for it.
        let _ = self.call("KillUnit", vec![name(), Value::text("all"), Value::I32(libc::SIGKILL)]);
        let stopped = match self.call("StopUnit", vec![name(), Value::text("replace")]) {
            Ok(values) => self.finish(&values, "stop", unit),
            Err(Failure::Refused { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
            Err(failure) => Err(self.refused(failure, "stop", unit)),
        };
        // One that ended badly would be kept, and its name with it; mostly there is none.
        let _ = self.call("ResetFailedUnit", vec![name()]);
        stopped
    }

    /// Waits for the end of the job that a call has begun.
    fn finish(&mut self, answer: &[Value], operation: &'static str, unit: &str) -> Result<()> {
        let job = answer.first().and_then(Value::as_text).unwrap_or_default().to_owned();
        let ended = |signal: &Signal| {
            let text = |at: usize| signal.values.get(at).and_then(Value::as_text);
            let ours = signal.interface == MANAGER
                && signal.member == "JobRemoved"
                && text(1) == Some(&job);
            ours.then(|| text(3).unwrap_or_default().to_owned())
        };
        let result = self.connection.wait_for(JOB_PATIENCE, ended).map_err(|error| {
            error.hint(
                "systemd has begun the job, and doesn't come to its end: `systemctl list-jobs`",
            )
        })?;
        if result == "done" {
            return Ok(());
        }
        let object = format!("`{unit}`: the job's result is `{result}`");
        Err(Error::new(ErrorCode::Cgroup, format!("{operation} systemd unit"), object)
            .hint(format!("`systemctl status {unit}` or systemd's journal says more")))
    }

    fn refused(&self, failure: Failure, operation: &'static str, unit: &str) -> Error {
        match failure {
            Failure::Broken(error) => error,
            Failure::Refused { name, .. }
                if name.ends_with(".ServiceUnknown") || name.ends_with(".NameHasNoOwner") =>
            {
                let what = "systemd: it isn't on this bus";
                Error::new(ErrorCode::CgroupUnavailable, "ask", what).hint(HINT)
            }
            Failure::Refused { name, .. } if name == UNIT_EXISTS => {
                let object = format!("`{unit}`: there is one of that name");
                Error::new(ErrorCode::AlreadyExists, format!("{operation} systemd unit"), object)
            }
            Failure::Refused { name, text } => {
                let object = format!("`{unit}`: {text} ({name})");
                Error::new(ErrorCode::Cgroup, format!("{operation} systemd unit"), object)
            }
        }
    }
}

const HINT: &str = "the cgroup driver `systemd` asks systemd, as the machine's first process, over D-Bus: without them use the cgroup driver `cgroupfs`";

/// The error where systemd can't be reached.
fn unavailable(user: bool, mut error: Error) -> Error {
    // sd_booted(3)
    let hint = if !Path::new("/run/systemd/system").exists() {
        format!("systemd doesn't run on this machine; {HINT}")
    } else if user {
        "it takes a session of this user's (`loginctl enable-linger`), and `DBUS_SESSION_BUS_ADDRESS` or `XDG_RUNTIME_DIR` that lead to its bus".to_owned()
    } else {
        "systemd runs, but the system bus doesn't: perhaps the package `dbus` isn't installed"
            .to_owned()
    };
    error.code = ErrorCode::CgroupUnavailable;
    error.operation = format!("use cgroup driver `systemd`: {}", error.operation);
    error.hint(hint)
}

fn list(properties: Vec<Property>) -> Value {
    let entries = properties
        .into_iter()
        .map(|(name, value)| Value::Struct(vec![Value::Text(name), Value::variant(value)]));
    Value::Array("(sv)".to_owned(), entries.collect())
}
