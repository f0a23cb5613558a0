//! The verbs of a container's life, as engines call them.

mod support;

use std::os::unix::process::CommandExt;
use std::time::Duration;

use minictr_testkit::{Feature, missing};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{Engine, runs, wait_until};

#[test]
fn a_container_that_waits_is_entered_by_root_and_others_are_told_to_start_it() {
    let Some(engine) = Engine::new() else { return };
    engine.create("c1");
    let said = engine.call(&["exec", "c1", "echo", "inside"]);
    if Feature::Root.present() {
        assert_eq!(said.well(), "inside\n");
    } else {
        said.failed_with("cannot exec in a container that waits for its start");
    }
    assert_eq!(engine.status("c1"), "created");
    engine.call(&["start", "c1"]).well();
    assert_eq!(engine.call(&["exec", "c1", "echo", "inside"]).well(), "inside\n");
}

#[test]
fn a_created_container_waits_and_its_start_executes_the_program() {
    let Some(engine) = Engine::new() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    let pid_file = engine.path.join("pid");
    engine.call(&["create", "--pid-file", pid_file.to_str().unwrap(), id]).well();
    let state = engine.state(id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), std::fs::read_to_string(&pid_file).unwrap());
    assert_eq!(state["bundle"], engine.bundle().to_str().unwrap());
    assert_eq!(state["rootfs"], engine.rootfs().to_str().unwrap());
    let name = || std::fs::read_to_string(format!("/proc/{}/comm", state["pid"])).unwrap();
    assert_ne!(name(), "sleep\n");

    engine.call(&["start", id]).well();
    assert_eq!(name(), "sleep\n");
    assert_eq!(engine.status(id), "running");
    engine.call(&["kill", id, "KILL"]).well();
    engine.wait_for(id, "stopped");
    assert_eq!(engine.state(id)["pid"], 0);
    engine.call(&["delete", id]).well();
    assert!(!engine.root().join(id).exists());
    assert!(engine.cgroups(id).is_empty());
}

#[test]
fn a_container_lives_on_when_its_creator_has_ended() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(engine.status("c1"), "running");
}

#[test]
fn wrong_orders_are_refused_in_the_sentences_that_engines_match() {
    let Some(engine) = Engine::new() else { return };
    for verb in ["state", "start", "kill", "delete"] {
        engine.call(&[verb, "none"]).failed_with("container does not exist");
    }
    engine.call(&["exec", "none", "true"]).failed_with("container does not exist");
    engine.call(&["delete", "--force", "none"]).well();
    engine.call(&["create", "../x"]).failed_with("invalid container ID format");

    engine.create("c1");
    engine.call(&["create", "c1"]).failed_with("container with given ID already exists");
    engine.call(&["start", "c1"]).well();
    engine.call(&["start", "c1"]).failed_with("cannot start an already running container");
    engine
        .call(&["delete", "c1"])
        .failed_with("cannot delete container c1 that is not stopped: running");
    engine.call(&["kill", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    engine.call(&["start", "c1"]).failed_with("cannot start a container that has stopped");
    engine.call(&["kill", "c1", "KILL"]).failed_with("container not running");
    engine.call(&["kill", "--all", "c1", "KILL"]).well();
    engine.call(&["exec", "c1", "true"]).failed_with("container not running");
}

#[test]
fn a_program_that_is_not_there_fails_the_creation_and_leaves_nothing() {
    let Some(engine) = Engine::new() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    engine.change(|config| config["process"]["args"] = json!(["/bin/absent"]));
    engine.call(&["create", id]).failed_with("no such file or directory");
    assert!(!engine.root().join(id).exists());
    assert!(engine.cgroups(id).is_empty());
    engine.change(|config| config["process"]["args"] = json!(["/etc"]));
    engine.call(&["create", id]).failed_with("permission denied");
}

#[test]
fn a_program_that_vanishes_before_the_start_fails_the_start() {
    let Some(engine) = Engine::new() else { return };
    engine.create("c1");
    std::fs::remove_file(engine.rootfs().join("bin/sleep")).unwrap();
    engine.call(&["start", "c1"]).failed_with("executable file not found in $PATH");
    engine.wait_for("c1", "stopped");
    engine.call(&["delete", "c1"]).well();
}

#[test]
fn a_signal_ends_a_container_that_waits_for_its_start() {
    let Some(engine) = Engine::new() else { return };
    engine.create("c1");
    engine.call(&["kill", "c1", "TERM"]).well();
    engine.wait_for("c1", "stopped");
    engine.call(&["delete", "c1"]).well();
}

#[test]
fn a_failure_is_one_record_in_the_log_and_a_sentence_on_standard_error() {
    let Some(engine) = Engine::new() else { return };
    let log = engine.path.join("log");
    let path = log.to_str().unwrap().to_owned();
    let said = engine.call(&["--log", &path, "--log-format=json", "--debug", "start", "none"]);
    assert_eq!(said.status, 1);
    let record: Value = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
    assert_eq!(record["level"], "error");
    assert!(record["msg"].as_str().unwrap().contains("container does not exist"));
    assert!(said.stderr.contains("container does not exist"));
    std::fs::remove_file(&log).unwrap();
    engine.call(&["--log", &path, "list"]).well();
    assert!(!log.exists(), "a success is no record");
}

#[test]
fn it_goes_by_the_name_that_it_was_started_under() {
    for name in ["runc", "crun"] {
        let Some(engine) = Engine::new().map(|engine| engine.named(name)) else { return };
        let version = engine.call(&["--version"]).well();
        assert!(version.starts_with(&format!("{name} version ")), "{version}");
        assert!(version.contains("\ncommit: ") && version.contains("\nspec: 1.3.0\n"), "{version}");
        engine.start("c1");
    }
}

#[test]
fn features_are_json_and_nothing_on_standard_error() {
    let Some(engine) = Engine::new() else { return };
    let features: Value = serde_json::from_str(&engine.call(&["features"]).well()).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["ociVersionMax"], "1.3.0");
    let has = |list: &Value, word: &str| list.as_array().unwrap().contains(&json!(word));
    assert!(has(&features["mountOptions"], "rro"));
    assert!(has(&features["linux"]["namespaces"], "time"));
    assert!(has(&features["linux"]["seccomp"]["actions"], "SCMP_ACT_NOTIFY"));
}

#[test]
fn run_exits_as_the_program_does_and_leaves_nothing() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| config["process"]["args"] = json!(["sh", "-c", "echo here; exit 7"]));
    let said = engine.call(&["run", "c1"]);
    assert_eq!((said.status, said.stdout.as_str()), (7, "here\n"), "{}", said.stderr);
    assert!(!engine.root().join("c1").exists());
    assert_eq!(engine.call(&["run", "--keep", "c2"]).status, 7);
    assert_eq!(engine.status("c2"), "stopped");
}

#[test]
fn a_container_that_runs_in_the_foreground_is_known_to_the_other_verbs() {
    let Some(engine) = Engine::new() else { return };
    let mut run = engine.command(&["run", "c1"]).spawn().unwrap();
    wait_until(|| engine.root().join("c1").exists());
    wait_until(|| engine.call(&["state", "c1"]).stdout.contains("running"));
    engine.call(&["exec", "c1", "true"]).well();
    engine.call(&["kill", "c1", "KILL"]).well();
    assert_eq!(run.wait().unwrap().code(), Some(128 + 9));
    wait_until(|| !engine.root().join("c1").exists());
}

#[test]
fn list_shows_what_there_is_and_an_empty_list_is_json_too() {
    let Some(engine) = Engine::new() else { return };
    assert_eq!(engine.call(&["list", "--format=json"]).well().trim(), "null");
    engine.start("c1");
    engine.create("c2");
    let list: Vec<Value> =
        serde_json::from_str(&engine.call(&["list", "--format", "json"]).well()).unwrap();
    let seen: Vec<_> = list.iter().map(|s| (s["id"].clone(), s["status"].clone())).collect();
    assert_eq!(seen, [(json!("c1"), json!("running")), (json!("c2"), json!("created"))]);
    assert_eq!(engine.call(&["list", "-q"]).well(), "c1\nc2\n");
}

#[test]
fn ps_lists_the_processes_of_the_container_alone() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let pids: Vec<i64> =
        serde_json::from_str(&engine.call(&["ps", "--format", "json", "c1"]).well()).unwrap();
    assert_eq!(pids, [engine.state("c1")["pid"].as_i64().unwrap()]);
    let table = engine.call(&["ps", "c1"]).well();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("sleep 300"), "{table}");
}

#[test]
fn exec_runs_in_all_namespaces_of_the_container_as_its_user() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let pid = engine.state("c1")["pid"].clone();
    for name in ["mnt", "pid", "uts", "ipc", "user", "cgroup", "net"] {
        let link = format!("/proc/self/ns/{name}");
        let inside = engine.call(&["exec", "c1", "busybox", "readlink", &link]).well();
        let outside = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(inside.trim(), outside.to_str().unwrap(), "{name}");
    }
    let said = engine.call(&[
        "exec",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "c1",
        "sh",
        "-c",
        "echo $A $PWD; exit 9",
    ]);
    assert_eq!((said.status, said.stdout.as_str()), (9, "b /tmp\n"), "{}", said.stderr);
    assert_eq!(engine.call(&["exec", "c1", "absent"]).status, 127);
    assert_eq!(engine.call(&["exec", "c1", "/etc"]).status, 126);
}

#[test]
fn exec_takes_the_user_and_groups_that_were_written() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Root) {
        return;
    }
    engine.start("c1");
    let id = |user: &str| engine.call(&["exec", "-u", user, "-g", "7", "c1", "id"]).stdout;
    assert!(id("1").starts_with("uid=1 gid=0 groups=7"), "{}", id("1"));
    assert!(id("1:2").starts_with("uid=1 gid=2 groups=7"), "{}", id("1:2"));
    for wrong in ["-1", "4294967295", "", "1:", "root"] {
        assert_ne!(engine.call(&["exec", &format!("--user={wrong}"), "c1", "id"]).status, 0);
    }
}

#[test]
fn exec_adds_capabilities_but_never_inheritable_ones() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let status =
        engine.call(&["exec", "--cap", "CAP_SYS_CHROOT", "c1", "cat", "/proc/self/status"]);
    let status = status.well();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(set("CapInh:"), 0);
    assert_eq!(set("CapAmb:"), 0);
    assert_ne!(set("CapEff:") & 1 << 18, 0);
}

#[test]
fn a_detached_exec_lives_on_and_ends_with_the_container() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let pid_file = engine.path.join("exec-pid");
    let path = pid_file.to_str().unwrap();
    engine.call(&["exec", "--detach", "--pid-file", path, "c1", "sleep", "301"]).well();
    let pid: i64 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert!(runs(pid));
    engine.call(&["delete", "--force", "c1"]).well();
    wait_until(|| !runs(pid));
}

#[test]
fn nothing_that_this_process_had_open_reaches_the_program() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        config["process"]["args"] = json!(["sh", "-c", "ls /proc/self/fd; exec sleep 300"]);
    });
    let secret = std::fs::File::open("/etc").unwrap();
    let out = engine.path.join("seen");
    let mut command = engine.command(&["create", "c1"]);
    // 7 is a directory of the host's, inherited
    let fd = std::os::fd::AsRawFd::as_raw_fd(&secret);
    command.stdout(std::fs::File::create(&out).unwrap());
    let script = "exec 7<&$0; exec \"$@\"".to_owned();
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(script).arg(fd.to_string());
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(engine.bundle()).stdin(std::process::Stdio::null());
    shell.stdout(std::fs::File::create(&out).unwrap());
    clear_close_on_exec(&mut shell, fd);
    assert!(shell.status().unwrap().success());
    engine.call(&["start", "c1"]).well();
    wait_until(|| std::fs::read_to_string(&out).unwrap().lines().count() >= 4);
    // 3 is that of `ls` itself
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "0\n1\n2\n3\n");
}

fn clear_close_on_exec(command: &mut std::process::Command, fd: i32) {
    let _ = command.arg0("sh");
    let borrowed = minictr_core::sys::borrow_of_caller(fd).unwrap();
    nix::fcntl::fcntl(borrowed, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))
        .unwrap();
}

/// `delete --force` clears what a creation leaves that is killed at any moment.
#[test]
fn a_creation_that_is_killed_at_any_moment_is_cleared() {
    let Some(engine) = Engine::new() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    for delay_us in (0..30_000).step_by(1_500) {
        let mut create = engine.command(&["create", id]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay_us));
        kill(Pid::from_raw(create.id() as i32), Signal::SIGKILL).unwrap();
        create.wait().unwrap();
        engine.call(&["delete", "--force", id]).well();
        assert!(!engine.root().join(id).exists());
        wait_until(|| engine.cgroups(id).is_empty());
    }
    // and the id is free
    engine.start(id);
}

#[test]
fn a_start_that_is_killed_has_started_or_can_be_begun_again() {
    let Some(engine) = Engine::new() else { return };
    for delay_us in (0..6_000).step_by(1_000) {
        engine.create("c1");
        let mut start = engine.command(&["start", "c1"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay_us));
        let _ = kill(Pid::from_raw(start.id() as i32), Signal::SIGKILL);
        start.wait().unwrap();
        if engine.status("c1") == "created" {
            engine.call(&["start", "c1"]).well();
        }
        assert_eq!(engine.status("c1"), "running");
        engine.call(&["delete", "--force", "c1"]).well();
    }
}

#[test]
fn a_pid_that_means_another_process_now_is_left_alone() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    engine.call(&["kill", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    let mut other = std::process::Command::new("sleep").arg("300").spawn().unwrap();
    let path = engine.root().join("c1/state.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["process"]["pid"] = json!(other.id());
    std::fs::write(&path, record.to_string()).unwrap();
    assert_eq!(engine.status("c1"), "stopped");
    engine.call(&["kill", "c1", "KILL"]).failed_with("container not running");
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(runs(i64::from(other.id())));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_command_line_or_a_config_that_is_none_is_told_of_by_name() {
    let Some(engine) = Engine::new() else { return };
    engine.call(&["run"]).failed_with("<ID> is missing");
    std::fs::write(engine.bundle().join("config.json"), "{ \"ociVersion\": ").unwrap();
    let said = engine.call(&["run", "c1"]);
    let config = engine.bundle().join("config.json");
    assert!(said.stderr.contains("the config is `"), "{}", said.stderr);
    assert!(said.stderr.contains(config.to_str().unwrap()), "{}", said.stderr);
    said.failed_with("as JSON: EOF while parsing");
}

#[test]
fn options_that_cannot_be_honoured_are_refused() {
    let Some(engine) = Engine::new() else { return };
    engine.call(&["--systemd-cgroup", "create", "c1"]).failed_with("systemd");
    engine.call(&["create", "--bundle"]).failed_with("flag needs an argument: --bundle");
    engine.call(&["create", "--console-socket", "/nonexistent", "c1"]).failed_with("no terminal");
    assert!(!engine.root().join("c1").exists());
}

#[test]
fn a_tmpfs_that_copies_up_starts_with_what_it_covers() {
    let Some(engine) = Engine::new() else { return };
    std::fs::create_dir(engine.rootfs().join("etc/deep")).unwrap();
    std::fs::write(engine.rootfs().join("etc/deep/file"), "content").unwrap();
    engine.change(|config| {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/etc", "type": "tmpfs", "source": "tmpfs",
            "options": ["rw", "nosuid", "tmpcopyup"],
        }));
        let program = "cat /etc/deep/file; echo new > /etc/new";
        config["process"]["args"] = json!(["sh", "-c", program]);
    });
    let said = engine.call(&["run", "c1"]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "content"), "{}", said.stderr);
    assert!(!engine.rootfs().join("etc/new").exists());
}
