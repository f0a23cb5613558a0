//! What a service manager gives: a socket to tell readiness on, and sockets to listen on.

mod support;

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::{Engine, wait_until};

/// The manager's socket.
fn manager(engine: &Engine) -> (UnixDatagram, String) {
    let path = engine.path.join("manager");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (socket, path.to_str().unwrap().to_owned())
}

fn heard(manager: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let length = manager.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

/// A program that says several things, the one that matters last.
fn says_ready(engine: &Engine) {
    let probe = engine.rootfs().join("bin/probe");
    minictr_testkit::install_probe(&probe).unwrap();
    engine.change(|config| {
        let say = "probe say-to $NOTIFY_SOCKET STATUS=READY=1; probe say-to $NOTIFY_SOCKET 'FDSTORE=1'; \
                   probe say-to $NOTIFY_SOCKET 'STATUS=up\nREADY=1\nMAINPID=1'; exec sleep 300";
        config["process"]["args"] = json!(["sh", "-c", say]);
    });
}

#[test]
fn a_start_returns_once_the_program_is_ready_and_the_manager_is_told_that_alone() {
    let Some(engine) = Engine::new() else { return };
    let (manager, path) = manager(&engine);
    says_ready(&engine);
    let with_manager = |arguments: &[&str]| {
        let mut command = engine.command(arguments);
        command.env("NOTIFY_SOCKET", &path);
        command
    };
    engine.call_command(with_manager(&["create", "c1"])).well();
    let pid = engine.state("c1")["pid"].to_string();
    let mut start = with_manager(&["start", "c1"]).spawn().unwrap();
    assert_eq!(heard(&manager), "READY=1\n");
    assert_eq!(heard(&manager), format!("MAINPID={pid}\n"));
    assert_eq!(heard(&manager), "BARRIER=1");
    assert!(start.wait().unwrap().success());
    // Its own pid is the container's, and its descriptors are no business of the manager's.
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 16]).is_err());
    engine.call(&["delete", "--force", "c1"]).well();
    assert!(!engine.root().join("c1").exists());
}

#[test]
fn a_program_that_ends_without_a_word_keeps_nobody_waiting() {
    let Some(engine) = Engine::new() else { return };
    let (_manager, path) = manager(&engine);
    engine.change(|config| config["process"]["args"] = json!(["true"]));
    for verb in [vec!["create", "c1"], vec!["start", "c1"]] {
        let mut command = engine.command(&verb);
        command.env("NOTIFY_SOCKET", &path);
        engine.call_command(command).well();
    }
}

#[test]
fn a_container_in_the_foreground_tells_its_manager_too() {
    let Some(engine) = Engine::new() else { return };
    let (manager, path) = manager(&engine);
    says_ready(&engine);
    let mut command = engine.command(&["run", "c1"]);
    let mut run = command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(heard(&manager), "READY=1\n");
    assert_eq!(heard(&manager), format!("MAINPID={}\n", run.id()));
    engine.call(&["kill", "c1", "KILL"]).well();
    run.wait().unwrap();
    wait_until(|| !engine.root().join("c1").exists());
}

#[test]
fn the_container_can_put_nothing_in_the_place_of_its_socket() {
    let Some(engine) = Engine::new() else { return };
    let (_manager, path) = manager(&engine);
    let mut command = engine.command(&["create", "c1"]);
    command.env("NOTIFY_SOCKET", &path);
    engine.call_command(command).well();
    engine.call(&["start", "c1"]).well();
    let tries = "touch /run/notify/x; mkdir /run/notify/y; ls -a /run/notify";
    let tries = format!("alias touch='busybox touch' mkdir='busybox mkdir'; {tries}");
    let said = engine.call(&["exec", "c1", "sh", "-c", &tries]);
    assert_eq!(said.stdout, ".\n..\n");
    assert!(said.stderr.contains("Read-only file system"), "{}", said.stderr);
}

#[test]
fn a_socket_that_is_none_is_refused_and_leaves_nothing() {
    let Some(engine) = Engine::new() else { return };
    for (socket, words) in [("relative", "it isn't a socket"), ("/absent/socket", "/absent/socket")]
    {
        let mut command = engine.command(&["run", "c1"]);
        command.env("NOTIFY_SOCKET", socket);
        engine.call_command(command).failed_with(words);
        assert!(!engine.root().join("c1").exists());
    }
}

/// `sd_listen_fds(3)`: descriptors from 3 on, their number, and for which process they are.
#[test]
fn sockets_that_a_manager_listens_on_are_the_programs() {
    let Some(engine) = Engine::new() else { return };
    let listener = UnixListener::bind(engine.path.join("listened")).unwrap();
    let other = UnixListener::bind(engine.path.join("other")).unwrap();
    engine.change(|config| {
        let show = "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; ls /proc/self/fd; \
                    busybox readlink /proc/self/fd/3; busybox readlink /proc/self/fd/4";
        config["process"]["args"] = json!(["sh", "-c", show]);
        let env = config["process"]["env"].as_array_mut().unwrap();
        env.push(json!("LISTEN_PID=99"));
    });
    for count in [1, 2] {
        let own = engine.command(&["run", "c1"]);
        // The shell's pid is that of the runtime, which it becomes.
        let script = format!(
            "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=web; exec \"$@\" 3<&0 4<&1 0</dev/null 1>&2"
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg("sh").arg(own.get_program()).args(own.get_args());
        let (first, second) = (listener.try_clone().unwrap(), other.try_clone().unwrap());
        shell.stdin(std::os::fd::OwnedFd::from(first)).stdout(std::os::fd::OwnedFd::from(second));
        shell.stderr(Stdio::piped()).current_dir(engine.bundle());
        let output = shell.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some(format!("{count} 1 web").as_str()), "{said}");
        assert_eq!(said.matches("socket:").count(), count, "{said}");
    }
}
