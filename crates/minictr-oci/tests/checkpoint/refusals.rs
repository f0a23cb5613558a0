//! What can't be done, and what is said then.

use std::process::Command;

use minictr_testkit::{Feature, missing, skip};

use crate::counting::images;
use crate::support::Engine;

#[test]
fn what_podman_asks_is_answered() {
    let Some(engine) = Engine::new() else { return };
    assert_eq!(engine.call(&["checkpoint", "--help"]).status, 0);
    engine.call(&["restore", "--lsm-mount-context"]).failed_with("flag needs an argument");
}

#[test]
fn a_machine_without_criu_is_told_so() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let path = images(&engine, "images");
    for arguments in
        [["checkpoint", "--image-path", &path, "c1"], ["restore", "--image-path", &path, "c2"]]
    {
        let mut command = engine.command(&arguments);
        command.env("PATH", &engine.path);
        engine.call_command(command).failed_with("find `criu`: it isn't installed");
    }
    assert_eq!(engine.status("c1"), "running");
    assert!(!engine.root().join("c2").exists());
}

#[test]
fn a_kernel_that_criu_fails_on_is_named_with_its_own_reason() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = Engine::new() else { return };
    let check = match Command::new("criu").arg("check").output() {
        Ok(check) if check.status.success() => return skip("a kernel that CRIU fails on"),
        Ok(check) => String::from_utf8_lossy(&check.stderr).into_owned(),
        Err(_) => return skip("criu"),
    };
    // Not of a program that it ran: which one, and why, comes after it.
    let own = |line: &&str| line.contains("Error (") && !line.contains("exited, status=");
    let line = check.lines().find(own).expect("it gives a reason");
    let reason = line.split_once("): ").expect("it says where").1;
    engine.start("c1");
    let path = images(&engine, "images");
    for more in [&["--leave-running"][..], &["--pre-dump"], &[]] {
        let mut arguments = vec!["checkpoint", "--image-path", &path];
        arguments.extend(more);
        arguments.push("c1");
        let said = engine.call(&arguments);
        said.failed_with(&format!("`criu check` fails: {}", reason.trim()));
        assert_eq!(engine.status("c1"), "running");
    }
    engine.call(&["restore", "--image-path", &path, "c2"]).failed_with("`criu check` fails");
    assert!(!engine.root().join("c2").exists());
    assert!(engine.cgroups("c2").is_empty());
    engine.call(&["exec", "c1", "true"]).well();
}

#[test]
fn another_user_is_told_that_it_takes_root() {
    if Feature::Root.present() {
        return skip("another user than root");
    }
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let path = images(&engine, "images");
    engine.call(&["checkpoint", "--image-path", &path, "c1"]).failed_with("it needs root");
    assert_eq!(engine.status("c1"), "running");
    engine.call(&["restore", "--image-path", &path, "c2"]).failed_with("it needs root");
    assert!(!engine.root().join("c2").exists());
}

#[test]
fn a_container_that_does_not_run_has_no_checkpoint() {
    let Some(engine) = Engine::new() else { return };
    let path = images(&engine, "images");
    let checkpoint = |id| engine.call(&["checkpoint", "--image-path", &path, id]);
    checkpoint("none").failed_with("container does not exist");
    engine.create("c1");
    checkpoint("c1").failed_with("cannot be checkpointed in created state");
    engine.call(&["kill", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    checkpoint("c1").failed_with("cannot be checkpointed in stopped state");
}
