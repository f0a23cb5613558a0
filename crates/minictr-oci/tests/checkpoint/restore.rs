//! Containers that are made of files: as they were, and nothing of those that fail.

use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use minictr_testkit::skip;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::counting::{checkpoint, count, counting, counts_on, images, start, wait_long};
use crate::support::Engine;

/// Mount points with filesystem, part of it, and whether it is read-only, in an order of their own.
fn mounts(engine: &Engine, id: &str) -> Vec<String> {
    let table = engine.call(&["exec", id, "cat", "/proc/self/mountinfo"]).well();
    let mut mounts: Vec<String> = table
        .lines()
        .map(|line| {
            let (mount, filesystem) = line.split_once(" - ").unwrap();
            let fields: Vec<&str> = mount.split(' ').collect();
            let access = fields[5].split(',').next().unwrap();
            let kind = filesystem.split(' ').next().unwrap();
            format!("{} {kind} {} {access}", fields[4], fields[3])
        })
        .collect();
    mounts.sort_unstable();
    mounts
}

fn status_lines(pid: &Value) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kept = ["Cap", "NoNewPrivs", "Seccomp:", "Uid", "Gid"];
    let lines = status.lines().filter(|line| kept.iter().any(|start| line.starts_with(start)));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_container_goes_on_where_it_was_and_is_kept_in_as_before() {
    let Some(engine) = counting() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    engine.change(|config| {
        config["linux"]["resources"] = json!({
            "pids": { "limit": 30 },
            "devices": [{ "allow": false, "access": "rwm" }],
        });
    });
    start(&engine, id);
    let (mounts_before, lines_before) =
        (mounts(&engine, id), status_lines(&engine.state(id)["pid"]));

    let path = checkpoint(&engine, id, &[]);
    let last = count(&engine);
    engine.call(&["state", id]).failed_with("container does not exist");
    assert!(engine.cgroups(id).is_empty(), "the cgroup is left");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&engine), last, "it goes on after its checkpoint");

    let pid_file = engine.path.join("pid");
    let pid_path = pid_file.to_str().unwrap();
    engine.call(&["restore", "--detach", "--image-path", &path, "--pid-file", pid_path, id]).well();
    let state = engine.state(id);
    assert_eq!(state["status"], "running");
    assert_eq!(state["pid"].to_string(), std::fs::read_to_string(&pid_file).unwrap());
    counts_on(&engine, last);

    assert_eq!(mounts(&engine, id), mounts_before);
    assert_eq!(status_lines(&state["pid"]), lines_before);
    let inside = |command: &str| engine.call(&["exec", id, "sh", "-c", command]);
    inside("cat /proc/kcore | grep -q . && echo seen; exit 0").well();
    assert_eq!(inside("cat /proc/keys").well(), "");
    inside("echo 1 > /proc/sys/kernel/panic").failed_with("Read-only file system");
    inside("busybox mknod /tmp/disk b 7 0 && cat /tmp/disk").failed_with("not permitted");
    let cgroup = engine.cgroups(id).pop().expect("it has a cgroup");
    assert_eq!(std::fs::read_to_string(cgroup.join("pids.max")).unwrap(), "30\n");
    let members = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
    let pid = state["pid"].to_string();
    assert!(members.lines().any(|member| member == pid), "{members}");
    // Nothing that CRIU needed is mounted here.
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(engine.root().to_str().unwrap()), "{table}");

    engine.call(&["pause", id]).well();
    assert_eq!(engine.status(id), "paused");
    engine.call(&["delete", "--force", id]).well();
    assert!(engine.cgroups(id).is_empty());
}

#[test]
fn a_restore_that_fails_leaves_nothing() {
    let Some(engine) = counting() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    start(&engine, id);
    let path = checkpoint(&engine, id, &[]);
    // What was dumped is there, but not the memory of it.
    let pages = PathBuf::from(&path).join("pages-1.img");
    let kept = pages.with_file_name("kept");
    std::fs::rename(&pages, &kept).unwrap();
    let pid_file = engine.path.join("pid");
    let said = engine.call(&[
        "restore",
        "--image-path",
        &path,
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--detach",
        id,
    ]);
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("CRIU: "), "{}", said.stderr);
    assert!(!engine.root().join(id).exists(), "its state is left");
    assert!(engine.cgroups(id).is_empty(), "its cgroup is left");
    assert!(!pid_file.exists());
    let last = count(&engine);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&engine), last, "something of it runs");

    // A hook that refuses is a failure too, in the midst of it all.
    std::fs::rename(&kept, &pages).unwrap();
    engine.change(|config| {
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo no, thanks >&2; exit 3"] }]);
    });
    engine
        .call(&["restore", "--image-path", &path, "--detach", id])
        .failed_with("run createRuntime hook `/bin/sh`: exit status: 3: no, thanks");
    assert!(!engine.root().join(id).exists());
    assert!(engine.cgroups(id).is_empty());
}

#[test]
fn what_a_killed_restore_leaves_is_cleared_by_a_forced_deletion() {
    let Some(engine) = counting() else { return };
    let id = engine.unique_id();
    let id = id.as_str();
    start(&engine, id);
    let path = checkpoint(&engine, id, &[]);
    let last = count(&engine);
    let note = engine.path.join("note");
    engine.change(|config| {
        let script = format!("echo $$ > {}; exec /bin/sleep 20", note.display());
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        config["hooks"]["createRuntime"] = hook;
    });
    let mut restore = engine.command(&["restore", "--detach", "--image-path", &path, id]);
    let mut restore = restore.stderr(Stdio::null()).spawn().unwrap();
    let hook = || std::fs::read_to_string(&note).unwrap_or_default().trim().parse::<i32>().ok();
    wait_long(|| hook().is_some());
    assert_eq!(engine.status(id), "creating");
    restore.kill().unwrap();
    restore.wait().unwrap();
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(hook().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    );
    engine.call(&["delete", "--force", id]).well();
    assert!(!engine.root().join(id).exists());
    assert!(engine.cgroups(id).is_empty(), "its cgroup is left");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&engine), last, "something of it runs");
}

#[test]
fn in_the_foreground_the_streams_are_new_and_the_exit_status_is_the_programs() {
    let Some(engine) = counting() else { return };
    let data = engine.path.join("data");
    std::fs::create_dir_all(data.join("below")).unwrap();
    std::fs::write(data.join("file"), "given").unwrap();
    let namespace = Namespace::new();
    engine.change(|config| {
        let script = "i=0; while [ ! -e /data/stop ]; do i=$((i+1)); echo $i > /tmp/count; \
                      sleep 0.1; done; echo counted $i; cat /data/file /one; exit 7";
        config["process"]["args"] = json!(["sh", "-c", script]);
        let mounts = config["mounts"].as_array_mut().unwrap();
        let bind = |source: PathBuf, destination: &str| {
            json!({ "destination": destination, "type": "bind", "source": source,
                    "options": ["rbind", "rw"] })
        };
        mounts.push(bind(data.clone(), "/data"));
        mounts.push(bind(data.join("file"), "/one"));
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        for entry in namespaces.iter_mut().filter(|entry| entry["type"] == "network") {
            entry["path"] = json!(namespace.path());
        }
    });
    let mut run = engine.command(&["run", "--detach", "c1"]);
    // Not those of the test, which may be a terminal of the machine's.
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut first = run.spawn().unwrap();
    assert!(first.wait().unwrap().success());
    wait_long(|| count(&engine) > 3);
    let path = checkpoint(&engine, "c1", &[]);
    let last = count(&engine);
    let mut said = String::new();
    first.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");

    let mut restore = engine.command(&["restore", "--image-path", &path, "c1"]);
    let restored = restore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::fs::write(engine.rootfs().join("tmp/count"), "0").unwrap();
    wait_long(|| count(&engine) > last);
    let pid = engine.state("c1")["pid"].clone();
    let link = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).unwrap();
    assert_eq!(link(&pid.to_string()), link(&namespace.pid().to_string()));
    std::fs::write(data.join("stop"), "").unwrap();
    let output = restored.wait_with_output().unwrap();
    let (said, complaints) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), complaints.as_str()), (Some(7), ""));
    let counted: u32 =
        said.strip_prefix("counted ").and_then(|s| s.split('\n').next()?.parse().ok()).unwrap();
    assert!(counted > last, "{said}");
    assert!(said.ends_with("\ngivengiven"), "{said}");
    engine.call(&["state", "c1"]).failed_with("container does not exist");
}

/// A network namespace, kept by a process of the test's.
struct Namespace(std::process::Child);

impl Namespace {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "600"]).stdin(Stdio::null());
        let namespace = Self(command.spawn().unwrap());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_long(|| std::fs::read_link(namespace.path()).is_ok_and(|link| link != own));
        namespace
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_terminal_is_sent_to_the_engine_again() {
    let Some(engine) = counting() else { return };
    engine.change(|config| {
        let script = "i=0; while read word; do i=$((i+1)); echo \"<$i $word>\"; done";
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["process"]["terminal"] = json!(true);
    });
    let socket = engine.path.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let console = socket.to_str().unwrap();
    engine.call(&["run", "--detach", "--console-socket", console, "c1"]).well();
    let mut master = accept(&listener);
    master.write_all(b"one\n").unwrap();
    heard(&mut master, "<1 one>");
    let path = checkpoint(&engine, "c1", &[]);
    drop(master);
    engine
        .call(&["restore", "--detach", "--image-path", &path, "c1"])
        .failed_with("no `--console-socket`");
    engine
        .call(&["restore", "--detach", "--image-path", &path, "--console-socket", console, "c1"])
        .well();
    let mut master = accept(&listener);
    master.write_all(b"two\n").unwrap();
    heard(&mut master, "<2 two>");
}

/// The descriptor that an engine is sent.
fn accept(listener: &UnixListener) -> std::fs::File {
    let (connection, _) = listener.accept().unwrap();
    let mut buffer = [0u8; 256];
    let mut data = [IoSliceMut::new(&mut buffer)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let fd = connection.as_raw_fd();
    let message =
        recvmsg::<()>(fd, &mut data, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
    let fd = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    own(fd.expect("a descriptor came"))
}

#[expect(unsafe_code, reason = "a received number becomes an owner")]
fn own(fd: i32) -> std::fs::File {
    // SAFETY: the kernel has just installed it for this process, and it is taken once.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

#[track_caller]
fn heard(master: &mut std::fs::File, words: &str) {
    let mut said = String::new();
    let begun = Instant::now();
    while !said.contains(words) {
        assert!(begun.elapsed() < Duration::from_secs(120), "`{words}` isn't in: {said}");
        let mut buffer = [0u8; 1024];
        let count = master.read(&mut buffer).unwrap();
        said.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn runc_restores_what_we_have_dumped_and_we_what_runc_has() {
    let Some(engine) = counting() else { return };
    if !Command::new("runc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("runc");
    }
    let runc = |arguments: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(engine.path.join("runc")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.current_dir(engine.bundle()).status().unwrap();
        assert!(status.success(), "runc {arguments:?}");
    };
    // How runc has CRIU lock a network namespace needs more of a kernel than the guest has.
    engine.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    });
    start(&engine, "ours");
    let path = checkpoint(&engine, "ours", &[]);
    let last = count(&engine);
    runc(&["restore", "--detach", "--image-path", &path, "theirs"]);
    counts_on(&engine, last);
    runc(&["delete", "--force", "theirs"]);

    std::fs::remove_file(engine.rootfs().join("tmp/count")).unwrap();
    runc(&["run", "--detach", "theirs"]);
    wait_long(|| count(&engine) > 3);
    let path = images(&engine, "theirs");
    runc(&["checkpoint", "--image-path", &path, "theirs"]);
    let last = count(&engine);
    engine.call(&["restore", "--detach", "--image-path", &path, "ours"]).well();
    counts_on(&engine, last);
}
