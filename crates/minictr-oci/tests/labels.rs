//! Profiles of AppArmor, where the kernel runs it: as the guest of the tests does.

mod support;

use std::path::PathBuf;
use std::process::Command;

use minictr_testkit::{Feature, missing};
use serde_json::json;
use support::{Engine, Said};

/// A profile that denies to write one file, loaded as long as this lives.
struct Profile {
    name: String,
    file: PathBuf,
}

fn parser(option: &str, file: &PathBuf) -> bool {
    let mut parser = Command::new("apparmor_parser");
    parser.args([option, "--skip-cache"]).arg(file).status().is_ok_and(|status| status.success())
}

impl Profile {
    fn load(engine: &Engine, what: &str) -> Self {
        let name = format!("minictr-{}-{what}", engine.unique_id());
        let file = engine.path.join(&name);
        let rules = format!(
            "profile {name} flags=(attach_disconnected) {{\n  file,\n  capability,\n  signal,\n  deny /tmp/{what} w,\n}}\n"
        );
        std::fs::write(&file, rules).unwrap();
        assert!(parser("--replace", &file));
        Self { name, file }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        parser("--remove", &self.file);
    }
}

fn engine() -> Option<Engine> {
    if missing(Feature::Root) || missing(Feature::AppArmor) { None } else { Engine::new() }
}

const TRIES: &str = "cat /proc/self/attr/current; echo > /tmp/first && echo first; echo > /tmp/second && echo second";

fn exec(engine: &Engine, options: &[&str]) -> Said {
    let mut arguments = vec!["exec"];
    arguments.extend_from_slice(options);
    arguments.extend_from_slice(&["c1", "sh", "-c", TRIES]);
    engine.call(&arguments)
}

#[test]
fn the_profile_of_a_config_holds_for_its_processes_unless_one_is_given_another() {
    let Some(engine) = engine() else { return };
    let (first, second) = (Profile::load(&engine, "first"), Profile::load(&engine, "second"));
    let original = engine.config();
    for no_new_privileges in [true, false] {
        engine.change(|config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["process"]["apparmorProfile"] = json!(first.name);
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "cgroup");
            config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/tmp",
                "type": "tmpfs", "source": "tmpfs" }));
        });
        engine.start("c1");
        let pid = engine.state("c1")["pid"].clone();
        let label = std::fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap();
        assert_eq!(label.trim(), format!("{} (enforce)", first.name));

        let said = exec(&engine, &[]);
        assert_eq!(said.stdout, format!("{} (enforce)\nsecond\n", first.name), "{}", said.stderr);
        let said = exec(&engine, &["--apparmor", &second.name]);
        assert_eq!(said.stdout, format!("{} (enforce)\nfirst\n", second.name), "{}", said.stderr);
        exec(&engine, &["--apparmor", "minictr-absent"])
            .failed_with("minictr-absent to `/proc/thread-self/attr/apparmor/exec`");
        engine.call(&["delete", "--force", "c1"]).well();
        engine.change(|config| *config = original.clone());
    }
}

/// CVE-2019-16884: the rootfs of an image has a /proc of its own.
#[test]
fn a_file_in_the_place_of_the_attribute_takes_nothing_of_it() {
    let Some(engine) = engine() else { return };
    let profile = Profile::load(&engine, "first");
    let fake = engine.rootfs().join("proc");
    for directory in ["self/attr/apparmor", "thread-self/attr/apparmor"] {
        std::fs::create_dir_all(fake.join(directory)).unwrap();
        std::fs::write(fake.join(directory).join("exec"), "").unwrap();
    }
    engine.change(|config| {
        config["process"]["apparmorProfile"] = json!(profile.name);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/proc");
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    });
    engine.start("c1");
    let pid = engine.state("c1")["pid"].clone();
    let label = std::fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap();
    assert_eq!(label.trim(), format!("{} (enforce)", profile.name));
    assert_eq!(std::fs::read(fake.join("self/attr/apparmor/exec")).unwrap(), b"");
}
