//! The systemd cgroup driver, with a systemd that runs: in the guest of `npm run test:guest`.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};
use support::{Engine, Said, runs, wait_until};

/// An engine whose containers' cgroups systemd can make: as root the machine's, else the user's own.
fn engine() -> Option<Engine> {
    let own = std::env::var("XDG_RUNTIME_DIR").map(|folder| format!("{folder}/systemd/private"));
    let socket = match nix::unistd::geteuid().is_root() {
        true => "/run/systemd/private".to_owned(),
        false => own.unwrap_or_default(),
    };
    if !Path::new(&socket).exists() {
        minictr_testkit::skip("systemd");
        return None;
    }
    let engine = Engine::new()?;
    let id = engine.unique_id();
    engine.change(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("minictr-test.slice:unit:{id}"));
        config["linux"]["resources"] = json!({
            "memory": { "limit": 50 << 20, "swap": 60 << 20 },
            "pids": { "limit": 40 },
        });
    });
    Some(engine)
}

fn unit(engine: &Engine) -> String {
    format!("unit-{}.scope", engine.unique_id())
}

fn call(engine: &Engine, arguments: &[&str]) -> Said {
    let mut all = vec!["--systemd-cgroup"];
    all.extend(arguments);
    engine.call(&all)
}

fn systemctl(arguments: &[&str]) -> String {
    let mut command = Command::new("systemctl");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--user");
    }
    let output = command.args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--property", name, "--value", unit])
}

/// Whether systemd knows nothing of a unit any more.
fn is_gone(unit: &str) -> bool {
    property(unit, "ActiveState") == "inactive" && property(unit, "LoadState") == "not-found"
}

/// The cgroup of a container's first process.
fn cgroup(engine: &Engine) -> PathBuf {
    let pid = engine.state("c1")["pid"].as_i64().unwrap();
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = membership.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'))
}

fn file(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned()
}

#[test]
fn systemd_makes_a_delegated_scope_with_the_limits() {
    let Some(engine) = engine() else { return };
    let unit = unit(&engine);
    call(&engine, &["create", "c1"]).well();
    assert_eq!(engine.status("c1"), "created");
    let cgroup = cgroup(&engine);
    assert!(cgroup.ends_with(format!("minictr.slice/minictr-test.slice/{unit}")), "{cgroup:?}");
    assert_eq!(file(&cgroup, "memory.max"), (50 << 20).to_string());
    assert_eq!(file(&cgroup, "memory.swap.max"), (10 << 20).to_string());
    assert_eq!(file(&cgroup, "pids.max"), "40");
    for (name, value) in [
        ("ActiveState", "active"),
        ("Slice", "minictr-test.slice"),
        ("Delegate", "yes"),
        ("DefaultDependencies", "no"),
        ("MemoryMax", "52428800"),
        ("MemorySwapMax", "10485760"),
        ("TasksMax", "40"),
    ] {
        assert_eq!(property(&unit, name), value, "{name}");
    }
    call(&engine, &["start", "c1"]).well();
    engine.call(&["kill", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    engine.call(&["delete", "c1"]).well();
    assert!(is_gone(&unit));
    assert!(!cgroup.exists());
}

#[test]
fn an_update_keeps_systemd_in_step() {
    let Some(engine) = engine() else { return };
    let unit = unit(&engine);
    call(&engine, &["create", "c1"]).well();
    let cgroup = cgroup(&engine);
    engine
        .call(&["update", "--pids-limit", "70", "--memory=67108864", "--memory-swap=-1", "c1"])
        .well();
    assert_eq!(
        (file(&cgroup, "pids.max"), property(&unit, "TasksMax")),
        ("70".into(), "70".into())
    );
    assert_eq!(property(&unit, "MemoryMax"), "67108864");
    assert_eq!(property(&unit, "MemorySwapMax"), "infinity");
    if file(&cgroup, "cgroup.controllers").contains("cpu ") {
        engine.call(&["update", "--cpu-quota=50000", "--cpu-period=200000", "c1"]).well();
        assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), "250ms");
        // Half of a limit means what it does with the other half that is there.
        engine.call(&["update", "--cpu-quota=100000", "c1"]).well();
        assert_eq!(file(&cgroup, "cpu.max"), "100000 200000");
        assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), "500ms");
        assert_eq!(property(&unit, "CPUQuotaPeriodUSec"), "200ms");
    }
    // systemd writes its own idea of the limits then.
    systemctl(&["daemon-reload"]);
    assert_eq!(
        (file(&cgroup, "pids.max"), file(&cgroup, "memory.max")),
        ("70".into(), "67108864".into())
    );
}

#[test]
fn a_container_of_systemd_runs_in_the_foreground_and_leaves_nothing() {
    let Some(engine) = engine() else { return };
    let unit = unit(&engine);
    engine.change(|config| config["process"]["args"] = json!(["cat", "/proc/self/cgroup"]));
    let said = call(&engine, &["run", "c1"]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "0::/\n"), "{}", said.stderr);
    assert!(is_gone(&unit));
    engine.change(|config| config["process"]["args"] = json!(["/absent"]));
    assert_eq!(call(&engine, &["run", "c1"]).status, 127);
    assert!(is_gone(&unit));
    engine.change(|config| config["linux"]["resources"]["unified"] = json!({ "memory.max": "no" }));
    call(&engine, &["create", "c1"]).failed_with("memory.max");
    assert!(is_gone(&unit));
    engine.call(&["state", "c1"]).failed_with("does not exist");
}

#[test]
fn systemd_is_asked_without_a_bus_too() {
    let Some(engine) = engine() else { return };
    let with = |arguments: &[&str]| {
        let mut command = engine.command(arguments);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        engine.call_command(command)
    };
    with(&["--cgroup-manager", "systemd", "create", "c1"]).well();
    assert_eq!(property(&unit(&engine), "ActiveState"), "active");
    with(&["update", "--pids-limit", "33", "c1"]).well();
    with(&["delete", "--force", "c1"]).well();
    assert!(is_gone(&unit(&engine)));
}

#[test]
fn a_process_joins_the_scope_that_systemd_made() {
    let Some(engine) = engine() else { return };
    call(&engine, &["create", "c1"]).well();
    engine.call(&["start", "c1"]).well();
    let cgroup = cgroup(&engine);
    engine.call(&["exec", "--detach", "c1", "sleep", "301"]).well();
    assert_eq!(file(&cgroup, "cgroup.procs").lines().count(), 2);
    engine.call(&["pause", "c1"]).well();
    assert_eq!(engine.status("c1"), "paused");
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(is_gone(&unit(&engine)));
}

#[test]
fn annotations_set_properties_of_the_systemd_unit() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        config["annotations"] = json!({
            "org.systemd.property.TimeoutStopSec": "uint64 7",
            "org.systemd.property.Description": "'a test'",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
        });
    });
    call(&engine, &["create", "c1"]).well();
    let unit = unit(&engine);
    assert_eq!(property(&unit, "TimeoutStopUSec"), "7s");
    assert_eq!(property(&unit, "Description"), "a test");
    assert_eq!(property(&unit, "CollectMode"), "inactive-or-failed");
    engine.call(&["delete", "--force", "c1"]).well();
    engine.change(|config| {
        config["annotations"] = json!({ "org.systemd.property.NoSuchThing": "true" });
    });
    call(&engine, &["create", "c1"]).failed_with("NoSuchThing");
    assert!(is_gone(&unit));
}

#[test]
fn a_subgroup_of_the_systemd_scope_is_the_containers_cgroup() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.systemd.subgroup": "container" });
    });
    call(&engine, &["create", "c1"]).well();
    let cgroup = cgroup(&engine);
    assert!(cgroup.ends_with(format!("{}/container", unit(&engine))), "{cgroup:?}");
    assert_eq!(file(&cgroup, "pids.max"), "40");
    let events = engine.call(&["events", "--stats", "c1"]).well();
    let events: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events["data"]["memory"]["usage"]["limit"], 50 << 20, "stats are of the same one");
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(is_gone(&unit(&engine)));
}

#[test]
fn a_delegated_cgroup_of_a_systemd_container_is_its_own_to_use() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.delegate-cgroup": "payload" });
    });
    call(&engine, &["create", "c1"]).well();
    engine.call(&["start", "c1"]).well();
    let cgroup = cgroup(&engine);
    assert!(cgroup.ends_with(format!("{}/payload", unit(&engine))), "{cgroup:?}");
    assert_eq!(file(&cgroup, "pids.max"), "max");
    assert_eq!(file(cgroup.parent().unwrap(), "pids.max"), "40");
    // Its own cgroup passes controllers on, so whoever joins goes where its first process is.
    let said = engine.call(&["exec", "c1", "cat", "/proc/self/cgroup"]);
    assert_eq!(said.well(), "0::/\n");
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(is_gone(&unit(&engine)));
}

#[test]
fn nothing_is_left_in_systemd_after_a_kill_at_any_moment() {
    let Some(engine) = engine() else { return };
    let unit = unit(&engine);
    for delay in 0..16 {
        let mut creator = engine.command(&["--systemd-cgroup", "create", "c1"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay * 12));
        creator.kill().unwrap();
        creator.wait().unwrap();
        let state = engine.call(&["state", "c1"]);
        engine.call(&["delete", "--force", "c1"]).well();
        assert!(is_gone(&unit), "after {delay}");
        if let Ok(state) = serde_json::from_str::<Value>(&state.stdout) {
            let pid = state["pid"].as_i64().unwrap();
            wait_until(|| pid == 0 || !runs(pid));
        }
    }
}

#[test]
fn a_systemd_unit_of_the_same_name_is_not_taken() {
    let Some(engine) = engine() else { return };
    call(&engine, &["create", "c1"]).well();
    call(&engine, &["create", "c2"]).failed_with("there is one of that name");
    assert_eq!(engine.status("c1"), "created");
    assert_eq!(property(&unit(&engine), "ActiveState"), "active");
}

/// A unit of somebody else's, with the name and the slice of a container's.
struct Others {
    unit: String,
    process: std::process::Child,
}

impl Others {
    fn start(unit: &str) -> Self {
        let mut command = Command::new("systemd-run");
        if !nix::unistd::geteuid().is_root() {
            command.arg("--user");
        }
        command.args(["--quiet", "--scope", "--slice=minictr-test.slice", "--unit", unit]);
        let process = command.args(["sleep", "300"]).spawn().unwrap();
        wait_until(|| property(unit, "ActiveState") == "active");
        Self { unit: unit.to_owned(), process }
    }

    fn is_untouched(&mut self) -> bool {
        property(&self.unit, "ActiveState") == "active"
            && self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        wait_until(|| is_gone(&self.unit));
    }
}

#[test]
fn a_kill_before_the_systemd_scope_is_made_leaves_anothers_of_its_name() {
    let Some(engine) = engine() else { return };
    let mut others = Others::start(&unit(&engine));
    let path = engine.path.join("bus");
    let silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix:path={}", path.display());
    let mut creator = engine
        .command(&["--systemd-cgroup", "create", "c1"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", &address)
        .env("DBUS_SESSION_BUS_ADDRESS", &address)
        .spawn()
        .unwrap();
    // It asks for its scope, so its state tells of one, and nobody answers.
    let _asked = silent.accept().unwrap();
    assert_eq!(engine.status("c1"), "creating");
    creator.kill().unwrap();
    creator.wait().unwrap();
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(others.is_untouched());
    engine.call(&["state", "c1"]).failed_with("does not exist");
}

#[test]
fn a_systemd_scope_that_has_ended_leaves_anothers_of_its_name() {
    let Some(engine) = engine() else { return };
    let unit = unit(&engine);
    engine.change(|config| config["process"]["args"] = json!(["true"]));
    call(&engine, &["create", "c1"]).well();
    engine.call(&["start", "c1"]).well();
    engine.wait_for("c1", "stopped");
    wait_until(|| is_gone(&unit));
    let mut others = Others::start(&unit);
    engine.call(&["delete", "c1"]).well();
    assert!(others.is_untouched());
}

#[test]
fn a_checkpoint_is_restored_into_a_systemd_scope_of_its_own() {
    let Some(engine) = engine() else { return };
    if missing(Feature::Root) || missing(Feature::Criu) {
        return;
    }
    counting::counts(&engine);
    let unit = unit(&engine);
    let mut run = engine.command(&["--systemd-cgroup", "run", "--detach", "c1"]);
    assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    counting::wait_long(|| counting::count(&engine) > 3);
    let path = counting::checkpoint(&engine, "c1", &[]);
    let last = counting::count(&engine);
    assert!(is_gone(&unit));

    let restore = ["restore", "--detach", "--image-path", &path, "c1"];
    let mut others = Others::start(&unit);
    call(&engine, &restore).failed_with("there is one of that name");
    assert!(others.is_untouched());
    drop(others);
    engine.call(&["state", "c1"]).failed_with("does not exist");

    call(&engine, &restore).well();
    counting::counts_on(&engine, last);
    let cgroup = cgroup(&engine);
    assert!(cgroup.ends_with(format!("minictr.slice/minictr-test.slice/{unit}")), "{cgroup:?}");
    assert_eq!(property(&unit, "TasksMax"), "40");
    assert_eq!(file(&cgroup, "pids.max"), "40");
    // CRIU itself has gone from there.
    let pid = engine.state("c1")["pid"].to_string();
    let processes = file(&cgroup, "cgroup.procs");
    assert!(processes.lines().any(|line| line == pid), "{pid} isn't in {processes}");
    engine.call(&["pause", "c1"]).well();
    assert_eq!(engine.status("c1"), "paused");
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(is_gone(&unit));

    // Its images are short of what they need.
    std::fs::remove_file(Path::new(&path).join("pages-1.img")).unwrap();
    assert_ne!(call(&engine, &restore).status, 0);
    assert!(is_gone(&unit));
    engine.call(&["state", "c1"]).failed_with("does not exist");
}
