//! Containers that are written to files, and those that go on afterwards.

use std::path::PathBuf;

use serde_json::json;

use crate::counting::{checkpoint, count, counting, counts_on, images, start, wait_long};

#[test]
fn a_container_left_running_goes_on_at_once_and_can_be_restored_beside_itself() {
    let Some(engine) = counting() else { return };
    start(&engine, "c1");
    let pre = images(&engine, "pre");
    engine.call(&["checkpoint", "--pre-dump", "--image-path", &pre, "c1"]).well();
    assert_eq!(engine.status("c1"), "running");
    counts_on(&engine, 3);
    let before = count(&engine);
    let path = checkpoint(&engine, "c1", &["--parent-path", "../pre", "--leave-running"]);
    assert_eq!(engine.status("c1"), "running");
    counts_on(&engine, before);
    // Of the pages that haven't changed, the second images only say where they are.
    let link = std::fs::read_link(PathBuf::from(&path).join("parent")).unwrap();
    assert_eq!(link.to_str(), Some("../pre"));
    engine.call(&["delete", "--force", "c1"]).well();
    engine.call(&["restore", "--detach", "--image-path", &path, "c2"]).well();
    counts_on(&engine, before.saturating_sub(1));
    engine
        .call(&["restore", "--detach", "--image-path", &path, "c2"])
        .failed_with("already exists");
    assert_eq!(engine.status("c2"), "running");
}

#[test]
fn a_checkpoint_that_fails_leaves_the_container_running() {
    let Some(engine) = counting() else { return };
    // Its streams are files of the machine's that no mount of the container shows.
    engine.start("c1");
    wait_long(|| count(&engine) > 3);
    let path = images(&engine, "images");
    let said = engine.call(&["checkpoint", "--image-path", &path, "c1"]);
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("CRIU: "), "{}", said.stderr);
    assert!(said.stderr.contains("dump.log"), "{}", said.stderr);
    assert_eq!(engine.status("c1"), "running");
    let last = count(&engine);
    counts_on(&engine, last.saturating_sub(1));
    engine.call(&["exec", "c1", "true"]).well();
}

#[test]
fn hooks_run_outside_before_it_goes_on_and_after_its_checkpoint() {
    let Some(engine) = counting() else { return };
    let note = engine.path.join("note");
    let hook = |word: &str| {
        let script =
            format!("echo {word} $(cat | grep -o '\"status\":\"[a-z]*\"') >> {}", note.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script],
                 "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] }])
    };
    engine.change(|config| {
        config["hooks"] = json!({
            "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
            "poststart": hook("poststart"), "poststop": hook("poststop"),
        });
    });
    start(&engine, "c1");
    std::fs::remove_file(&note).unwrap();
    let path = checkpoint(&engine, "c1", &[]);
    engine.call(&["restore", "--detach", "--image-path", &path, "c1"]).well();
    assert_eq!(
        std::fs::read_to_string(&note).unwrap(),
        "poststop \"status\":\"stopped\"\n\
         prestart \"status\":\"creating\"\n\
         createRuntime \"status\":\"creating\"\n"
    );
}
