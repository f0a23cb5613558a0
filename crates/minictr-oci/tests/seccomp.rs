//! Filters that ask a listener: who is told, and that nobody waits for ever.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use support::Engine;

const MKDIR: &str = if cfg!(target_arch = "x86_64") { "83" } else { "34" };
const EDOM: &str = "33";

/// A process that answers calls, on a socket.
struct Answers {
    process: Child,
    said: BufReader<ChildStdout>,
    socket: String,
}

impl Answers {
    /// Denies to make directories with EDOM, and lets all else go on.
    fn start(engine: &Engine, name: &str) -> Self {
        let probe = engine.path.join("probe");
        minictr_testkit::install_probe(&probe).unwrap();
        let socket = engine.path.join(name).to_str().unwrap().to_owned();
        let mut command = Command::new(probe);
        command.args(["answer-calls", &socket, MKDIR, EDOM]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self { process, said, socket }
    }

    /// What it has been told of a container.
    fn told(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A filter that asks about these calls.
fn asks(engine: &Engine, calls: &[&str], socket: Option<&str>) {
    engine.change(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }],
        });
        if let Some(socket) = socket {
            config["linux"]["seccomp"]["listenerPath"] = json!(socket);
            config["linux"]["seccomp"]["listenerMetadata"] = json!("only=this");
        }
        config["annotations"] = json!({ "a": "b" });
    });
}

/// Every call that a container's own process makes from its filter on.
const ALL: &[&str] = &[
    "mkdir",
    "mkdirat",
    "sendto",
    "sendmsg",
    "recvfrom",
    "read",
    "write",
    "close",
    "prctl",
    "execve",
    "futex",
    "openat",
    "setuid",
    "setresuid",
    "setgroups",
    "capset",
    "rt_sigprocmask",
    "setsid",
];

const TRIES: &str = "busybox mkdir /tmp/made; test -e /tmp/made && echo made";

#[test]
fn a_listener_gets_the_state_of_the_container_and_its_answer_is_what_the_program_sees() {
    // Last in the set-up, and before privileges are given up.
    for no_new_privileges in [true, false] {
        let Some(engine) = Engine::new() else { return };
        let mut answers = Answers::start(&engine, "listener");
        asks(&engine, ALL, Some(&answers.socket));
        engine.change(|config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["process"]["args"] = json!(["sh", "-c", TRIES]);
        });
        let said = engine.call(&["run", "c1"]);
        assert!(said.stderr.contains("/tmp/made"), "{}", said.stderr);
        assert!(said.stderr.contains("out of domain") || said.stderr.contains("error 33"));
        assert_eq!(said.stdout, "");
        let told = answers.told();
        assert_eq!(told["ociVersion"], "1.3.0");
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "only=this");
        assert_eq!(told["pid"], told["state"]["pid"]);
        assert!(told["pid"].as_i64().unwrap() > 1);
        assert_eq!(told["state"]["id"], "c1");
        assert_eq!(told["state"]["status"], "creating");
        assert_eq!(told["state"]["bundle"], engine.bundle().to_str().unwrap());
        assert_eq!(told["state"]["annotations"], json!({ "a": "b" }));
    }
}

#[test]
fn a_container_that_waits_for_its_start_and_a_process_that_joins_have_listeners_too() {
    let Some(engine) = Engine::new() else { return };
    let mut answers = Answers::start(&engine, "listener");
    asks(&engine, ALL, Some(&answers.socket));
    engine.start("c1");
    let pid = engine.state("c1")["pid"].clone();
    assert_eq!(answers.told()["pid"], pid);
    for detach in [false, true] {
        let mut arguments = vec!["exec", "c1", "sh", "-c", TRIES];
        if detach {
            arguments.insert(1, "--detach");
        }
        let said = engine.call(&arguments);
        let told = answers.told();
        assert_eq!(told["state"]["status"], "running");
        assert_eq!(told["state"]["pid"], pid);
        assert_ne!(told["pid"], pid);
        if !detach {
            assert!(said.stderr.contains("/tmp/made"), "{}", said.stderr);
        }
    }
}

/// crun's way to name one.
#[test]
fn an_annotation_names_the_listener_of_a_config_that_names_none() {
    let Some(engine) = Engine::new() else { return };
    let mut answers = Answers::start(&engine, "listener");
    asks(&engine, &["mkdir", "mkdirat"], None);
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.seccomp.receiver": answers.socket });
        config["process"]["args"] = json!(["sh", "-c", TRIES]);
    });
    assert_eq!(engine.call(&["run", "c1"]).stdout, "");
    assert_eq!(answers.told()["state"]["id"], "c1");
    engine.change(|config| config["annotations"] = json!({ "run.oci.seccomp.receiver": "here" }));
    engine.call(&["create", "c1"]).failed_with("`here` isn't absolute");
}

#[test]
fn a_filter_that_asks_nobody_is_refused_and_so_is_a_listener_that_is_not_there() {
    let Some(engine) = Engine::new() else { return };
    asks(&engine, &["mkdir"], None);
    engine.call(&["create", "c1"]).failed_with("linux.seccomp.listenerPath");
    let nobody = engine.path.join("nobody").to_str().unwrap().to_owned();
    asks(&engine, &["mkdir"], Some(&nobody));
    engine.call(&["create", "c1"]).failed_with(&nobody);
    assert!(!engine.root().join("c1").exists());
    engine.change(|config| {
        config["linux"]["seccomp"] =
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x" });
    });
    engine.call(&["create", "c1"]).failed_with("listenerMetadata without a listenerPath");
}

#[test]
fn what_the_kernel_would_cut_or_not_know_is_refused() {
    let Some(engine) = Engine::new() else { return };
    for (rule, words) in [
        (json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 }), "errnoRet 4096: it is over 4095"),
        (json!({ "action": "SCMP_ACT_TRACE", "errnoRet": 65536 }), "it is over 65535"),
        (json!({ "action": "SCMP_ACT_KILL", "errnoRet": 1 }), "with errno 1"),
        (json!({ "action": "SCMP_ACT_WISH" }), "unknown action `SCMP_ACT_WISH`"),
    ] {
        engine.change(|config| {
            let mut rule = rule;
            rule["names"] = json!(["mkdir"]);
            config["linux"]["seccomp"] =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        });
        engine.call(&["create", "c1"]).failed_with(words);
    }
    engine.change(|config| {
        config["linux"]["seccomp"] =
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW"] });
    });
    engine.call(&["create", "c1"]).failed_with("unknown flag `SECCOMP_FILTER_FLAG_NEW`");
}
