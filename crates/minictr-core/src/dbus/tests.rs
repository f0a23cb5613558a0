//! Against a real `dbus-daemon`, which Debian's package of that name has.

use std::io::BufRead;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

/// A bus of the test's own.
struct Daemon {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Daemon {
    fn start(name: &str) -> Option<Self> {
        let folder =
            std::env::temp_dir().join(format!("minictr-dbus-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let config = folder.join("bus.conf");
        // A comma ends a part of an address, and `%2c` stands for it.
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}/a%2cbus</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>\
             <allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>",
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let spawned = Command::new("dbus-daemon")
            .args(["--nofork", "--nosyslog", "--print-address=1", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            // It asks for more descriptors than this user may have.
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            let _ = std::fs::remove_dir_all(&folder);
            minictr_testkit::skip("dbus-daemon");
            return None;
        };
        let mut address = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut address).unwrap();
        Some(Self { child, address: address.trim().to_owned(), folder })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn of_bus(method: &str, arguments: Vec<Value>) -> Call<'_> {
    Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        method,
        arguments,
    }
}

#[test]
fn calls_are_answered_and_refused_by_a_real_bus() {
    let Some(daemon) = Daemon::start("calls") else { return };
    let mut connection = Connection::open(&daemon.address, true).unwrap();
    let name = Value::text("org.minictr.Test");
    let owned = connection.call(&of_bus("RequestName", vec![name.clone(), Value::U32(4)])).unwrap();
    assert_eq!(owned, [Value::U32(1)]);
    let Ok(names) = connection.call(&of_bus("ListNames", vec![])) else { panic!() };
    let Some(Value::Array(element, names)) = names.into_iter().next() else { panic!() };
    assert_eq!(element, "s");
    assert!(names.contains(&name), "{names:?}");
    let user = connection.call(&of_bus("GetConnectionUnixUser", vec![name])).unwrap();
    assert_eq!(user, [Value::U32(nix::unistd::geteuid().as_raw())]);
    match connection.call(&of_bus("GetNameOwner", vec![Value::text("org.minictr.Nobody")])) {
        Err(Failure::Refused { name, text }) => {
            assert_eq!(name, "org.freedesktop.DBus.Error.NameHasNoOwner");
            assert!(text.contains("org.minictr.Nobody"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn signals_that_come_before_an_answer_are_kept() {
    let Some(daemon) = Daemon::start("signals") else { return };
    let mut connection = Connection::open(&daemon.address, true).unwrap();
    let rule = "type='signal',member='NameOwnerChanged'";
    connection.call(&of_bus("AddMatch", vec![Value::text(rule)])).unwrap();
    let name = Value::text("org.minictr.Test");
    connection.call(&of_bus("RequestName", vec![name.clone(), Value::U32(4)])).unwrap();
    connection.call(&of_bus("GetId", vec![])).unwrap();
    let found = connection
        .wait_for(Duration::from_secs(5), |signal| {
            let ours = signal.member == "NameOwnerChanged" && signal.values[0] == name;
            ours.then_some(signal.values.len())
        })
        .unwrap();
    assert_eq!(found, 3);
}

#[test]
fn a_bus_that_does_not_answer_is_not_waited_for_forever() {
    let Some(daemon) = Daemon::start("silence") else { return };
    let mut connection = Connection::open(&daemon.address, true).unwrap();
    let error = connection.wait_for(Duration::from_millis(50), |_| None::<()>).unwrap_err();
    assert_eq!(error.errno, Some(libc::ETIMEDOUT));
    assert!(error.message().contains(&daemon.address), "{error}");
}

#[test]
fn a_large_message_is_sent_and_read_whole() {
    let Some(daemon) = Daemon::start("large") else { return };
    let mut connection = Connection::open(&daemon.address, true).unwrap();
    let long = "x".repeat(50_000);
    match connection.call(&of_bus("GetNameOwner", vec![Value::text(long)])) {
        Err(Failure::Refused { text, .. }) => assert!(text.len() > 50_000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_where_nobody_listens_are_named() {
    let error = Connection::open("tcp:host=a;unix:path=/nonexistent/bus", true).unwrap_err();
    assert_eq!(
        error.message(),
        "connect to D-Bus at `unix:path=/nonexistent/bus`: No such file or directory (ENOENT)"
    );
    assert!(Connection::open("tcp:host=a", true).unwrap_err().hint.is_some());
}
