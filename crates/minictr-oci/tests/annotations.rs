//! Annotations of crun's that mean something, and those that don't.

mod support;

use std::io::Read;
use std::os::unix::net::UnixListener;

use minictr_testkit::{Feature, missing};
use serde_json::json;
use support::Engine;

#[test]
fn the_output_of_hooks_is_added_to_files() {
    let Some(engine) = Engine::new() else { return };
    let path = |name: &str| engine.path.join(name).to_str().unwrap().to_owned();
    engine.change(|config| {
        config["annotations"] =
            json!({ "run.oci.hooks.stdout": path("said"), "run.oci.hooks.stderr": path("lamented") });
        for moment in ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
            let said = format!("echo {moment}; echo no {moment} >&2");
            config["hooks"][moment] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", said], "env": ["PATH=/bin"] }]);
        }
    });
    engine.start("c1");
    engine.call(&["delete", "--force", "c1"]).well();
    let moments = ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("said"), moments.map(|moment| format!("{moment}\n")).concat());
    assert_eq!(read("lamented"), moments.map(|moment| format!("no {moment}\n")).concat());
}

#[test]
fn a_handle_of_the_first_process_goes_where_an_annotation_says() {
    let Some(engine) = Engine::new() else { return };
    let path = engine.path.join("receiver");
    let listener = UnixListener::bind(&path).unwrap();
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.pidfd_receiver": path.to_str().unwrap() });
    });
    engine.create("c1");
    let mut said = String::new();
    listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
    assert_eq!(said, "pidfd");
}

/// What Podman's `--group-add keep-groups` sets.
#[test]
fn the_groups_of_the_caller_are_kept_where_an_annotation_says_so() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Root) {
        return;
    }
    let groups = |keep: &str| {
        engine.change(|config| {
            config["annotations"] = json!({ "run.oci.keep_original_groups": keep });
            config["process"]["args"] = json!(["grep", "Groups", "/proc/self/status"]);
        });
        let mut command = std::process::Command::new("setpriv");
        let own = engine.command(&["run", "c1"]);
        command.args(["--groups", "7,4242"]).arg(own.get_program()).args(own.get_args());
        command.current_dir(engine.bundle());
        engine.call_command(command).well().trim_start_matches("Groups:").trim().to_owned()
    };
    assert_eq!(groups("1"), "7 4242");
    assert_eq!(groups("0"), "");
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.keep_original_groups": "perhaps" });
    });
    engine.call(&["create", "c2"]).failed_with("run.oci.keep_original_groups: `perhaps`");
}

#[test]
fn annotations_of_others_are_passed_over_and_a_path_that_is_none_is_refused() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        config["annotations"] = json!({ "run.oci.unheard-of": "1", "com.example": "x" });
    });
    engine.create("c1");
    assert_eq!(engine.state("c1")["annotations"]["run.oci.unheard-of"], "1");
    for name in ["run.oci.hooks.stdout", "run.oci.pidfd_receiver"] {
        engine.change(|config| config["annotations"] = json!({ name: "relative" }));
        engine.call(&["create", "c2"]).failed_with("`relative` isn't absolute");
        assert!(!engine.root().join("c2").exists());
    }
}
