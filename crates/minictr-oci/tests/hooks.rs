//! Hooks: when they run, what they are told, and what their failure does.

mod support;

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{Engine, runs};

/// A script of the host's that does what it is told with the state in `$STATE`.
fn script(engine: &Engine, name: &str, text: &str) -> String {
    let path = engine.path.join(name);
    std::fs::write(&path, format!("#!/bin/sh\nSTATE=$(cat)\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A hook that appends its name and the state to a file.
fn recorder(engine: &Engine, moment: &str) -> Value {
    let seen = engine.path.join("seen");
    let text = format!("echo \"{moment} $STATE\" >> {}", seen.display());
    json!({ "path": script(engine, moment, &text), "env": ["PATH=/bin:/usr/bin"] })
}

fn seen(engine: &Engine) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(engine.path.join("seen")).unwrap_or_default();
    text.lines()
        .map(|line| {
            let (moment, state) = line.split_once(' ').unwrap();
            (moment.to_owned(), serde_json::from_str(state).unwrap())
        })
        .collect()
}

#[test]
fn all_hooks_run_in_their_order_with_the_state_of_their_moment() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        config["annotations"] = json!({ "a": "b" });
        let outside = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        for moment in outside {
            config["hooks"][moment] = json!([recorder(&engine, moment)]);
        }
        // by a path in the container, whose output nobody reads
        config["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/shm/state; echo noise"] }]);
    });
    engine.create("c1");
    let moments = |engine: &Engine| seen(engine).into_iter().map(|(m, _)| m).collect::<Vec<_>>();
    assert_eq!(moments(&engine), ["prestart", "createRuntime", "createContainer"]);
    let pid = engine.state("c1")["pid"].clone();
    engine.call(&["start", "c1"]).well();
    let told = engine.call(&["exec", "c1", "cat", "/dev/shm/state"]).well();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["status"], &told["pid"]), (&json!("created"), &json!(1)));
    engine.call(&["delete", "--force", "c1"]).well();

    let seen = seen(&engine);
    let statuses: Vec<_> =
        seen.iter().map(|(m, state)| (m.as_str(), state["status"].as_str().unwrap())).collect();
    assert_eq!(
        statuses,
        [
            ("prestart", "creating"),
            ("createRuntime", "creating"),
            ("createContainer", "creating"),
            ("poststart", "running"),
            ("poststop", "stopped")
        ]
    );
    for (moment, state) in &seen {
        assert_eq!(state["id"], "c1", "{moment}");
        assert_eq!(state["bundle"], engine.bundle().to_str().unwrap(), "{moment}");
        assert_eq!(state["annotations"], json!({ "a": "b" }), "{moment}");
        assert_eq!(state["ociVersion"], "1.3.0", "{moment}");
    }
    assert_eq!(seen[1].1["pid"], pid);
    assert_eq!(seen[3].1["pid"], pid);
}

#[test]
fn a_hook_in_the_containers_namespaces_adds_to_its_root_before_that_is_changed() {
    let Some(engine) = Engine::new() else { return };
    let volume = engine.path.join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("from-the-hook"), "").unwrap();
    let bind = format!("mount --bind {} {}/tmp", volume.display(), engine.rootfs().display());
    engine.change(|config| {
        let hook =
            json!({ "path": script(&engine, "bind", &bind), "env": ["PATH=/bin:/usr/bin:/sbin"] });
        config["hooks"]["createContainer"] = json!([hook]);
        config["process"]["args"] = json!(["ls", "/tmp"]);
    });
    let said = engine.call(&["run", "c1"]);
    assert_eq!(said.stdout, "from-the-hook\n", "{}", said.stderr);
    assert_eq!(std::fs::read_dir(engine.rootfs().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_hook_that_fails_before_the_start_fails_the_creation_with_what_it_said() {
    for moment in ["prestart", "createRuntime", "createContainer"] {
        let Some(engine) = Engine::new() else { return };
        engine.change(|config| {
            let hook = script(&engine, "fails", "echo out of luck >&2; exit 3");
            config["hooks"][moment] = json!([{ "path": hook, "env": ["PATH=/bin:/usr/bin"] }]);
        });
        let said = engine.call(&["create", "c1"]);
        assert!(said.stderr.contains(moment), "{}", said.stderr);
        said.failed_with("exit status: 3: out of luck");
        assert!(!engine.root().join("c1").exists());
    }
}

#[test]
fn a_start_container_hook_that_fails_fails_the_start() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        config["hooks"]["startContainer"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 4"] }]);
    });
    engine.create("c1");
    engine.call(&["start", "c1"]).failed_with("exit status: 4");
    engine.wait_for("c1", "stopped");
}

#[test]
fn a_poststart_hook_that_fails_fails_the_start_and_ends_the_container() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        config["hooks"]["poststart"] =
            json!([{ "path": script(&engine, "fails", "exit 5"), "env": ["PATH=/bin"] }]);
    });
    engine.create("c1");
    engine.call(&["start", "c1"]).failed_with("exit status: 5");
    engine.wait_for("c1", "stopped");
}

#[test]
fn a_hook_that_takes_too_long_is_killed() {
    let Some(engine) = Engine::new() else { return };
    let pid = engine.path.join("pid");
    engine.change(|config| {
        let hook = script(&engine, "slow", &format!("echo $$ > {}; exec sleep 300", pid.display()));
        config["hooks"]["createRuntime"] =
            json!([{ "path": hook, "env": ["PATH=/bin:/usr/bin"], "timeout": 1 }]);
    });
    engine.call(&["create", "c1"]).failed_with("not done after 1 s");
    assert!(!runs(std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap()));
}

#[test]
fn hooks_that_cannot_be_run_as_written_are_refused() {
    let Some(engine) = Engine::new() else { return };
    for (hook, words) in [
        (json!({ "path": "relative" }), "its path isn't absolute"),
        (json!({ "path": "/bin/true", "timeout": 0 }), "its timeout isn't over 0"),
        (json!({ "path": "/bin/true", "env": ["A"] }), "NAME=value"),
    ] {
        engine.change(|config| config["hooks"] = json!({ "poststop": [hook] }));
        engine.call(&["create", "c1"]).failed_with(words);
    }
    engine.change(|config| config["hooks"] = json!({ "prestart": [{ "path": "/absent" }] }));
    engine.call(&["create", "c1"]).failed_with("run prestart hook `/absent`");
}
