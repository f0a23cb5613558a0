//! systemd as a peer on D-Bus: the calls of its manager, `org.freedesktop.systemd1(5)`.

use std::path::Path;
use std::time::Duration;

use super::{Addresses, DESCRIPTION, Property};
use crate::dbus::{Call, Connection, Failure, Signal, Value};
use crate::error::{Error, ErrorCode, Result};

/// How long systemd may take for a job, as runc waits.
const JOB_PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// What a unit's object says that went between two calls.
const NO_SUCH_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// systemd, over one connection.
#[derive(Debug)]
pub(super) struct Manager {
    connection: Connection,
    bus: bool,
    listens: bool,
}

impl Manager {
    pub(super) fn connect(user: bool, addresses: &Addresses) -> Result<Self> {
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

    /// The description of a unit; `None` where there is no such unit.
    pub(super) fn description(&mut self, unit: &str) -> Result<Option<String>> {
        let mut look = || {
            let found = self.call("GetUnit", vec![Value::text(unit)])?;
            let call = Call {
                destination: NAME,
                path: found.first().and_then(Value::as_text).unwrap_or_default(),
                interface: PROPERTIES,
                method: "Get",
                arguments: vec![Value::text(UNIT), Value::text(DESCRIPTION)],
            };
            self.connection.call(&call)
        };
        match look() {
            Ok(values) => Ok(Some(match values.first() {
                Some(Value::Variant(text)) => text.as_text().unwrap_or_default().to_owned(),
                _ => String::new(),
            })),
            Err(Failure::Refused { name, .. })
                if name == NO_SUCH_UNIT || name == NO_SUCH_OBJECT =>
            {
                Ok(None)
            }
            Err(failure) => Err(self.refused(failure, "look at", unit)),
        }
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

    pub(super) fn start_scope(&mut self, unit: &str, properties: Vec<Property>) -> Result<()> {
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

    /// Puts a process into the cgroup at `below` that of a unit.
    pub(super) fn attach(&mut self, unit: &str, below: &str, pid: i32) -> Result<()> {
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid as u32)]);
        let arguments = vec![Value::text(unit), Value::text(below), pids];
        match self.call("AttachProcessesToUnit", arguments) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.refused(failure, "attach a process to", unit)),
        }
    }

    pub(super) fn set(&mut self, unit: &str, properties: Vec<Property>) -> Result<()> {
        let runtime = Value::Bool(true);
        let arguments = vec![Value::text(unit), runtime, list(properties)];
        match self.call("SetUnitProperties", arguments) {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.refused(failure, "set properties of", unit)),
        }
    }

    pub(super) fn stop(&mut self, unit: &str) -> Result<()> {
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
