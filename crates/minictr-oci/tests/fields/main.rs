//! Every property of the runtime spec's config, 1.3 (`config.md`, `config-linux.md`): honoured, or
//! refused by name; none is read and forgotten.
//!
//! The list is written by hand from the spec. It is held against what the parser knows, so that neither
//! can have a property that the other hasn't.

mod general;
mod limits;
mod of_linux;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use minictr_core::spec;
use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};
use support::Engine;

/// How it shows that a property isn't forgotten.
enum Proof {
    /// With this change of the config a command in the container prints these words.
    Prints(Value, &'static str, &'static str),
    /// With this change a container that waits has these words in that file of its /proc directory.
    Waits(Value, &'static str, &'static str),
    /// With this change no container is made, and the error has these words.
    Refused(Value, &'static str),
    /// A test, or code with tests beside it, in a file below `crates`.
    In(&'static str, &'static str),
}
use Proof::{In, Prints, Refused, Waits};

/// Its path (`[]` is an entry of a list, `{}` of a map), who can see it, the proof.
type Field = (&'static str, bool, Proof);

const ROOT: bool = true;
const ANY: bool = false;

const PROCESS: &str = "minictr-oci/tests/process.rs";
const HOOKS: &str = "minictr-oci/tests/hooks.rs";
const NETWORK: &str = "minictr-oci/tests/network.rs";
const SECCOMP: &str = "minictr-oci/tests/seccomp.rs";
const RESCTRL: &str = "minictr-core/src/resctrl.rs";
const RANDOM_PROFILES: &str = "minictr-core/tests/seccomp.rs";
const KILL: &str = "0000000000000020";

fn process(change: Value) -> Value {
    json!({ "process": change })
}

fn linux(change: Value) -> Value {
    json!({ "linux": change })
}

fn mapped() -> Value {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    linux(json!({ "uidMappings": map, "gidMappings": map, "namespaces+": [{ "type": "user" }] }))
}

/// The spec's properties.
fn fields() -> Vec<Field> {
    let mut fields = general::general();
    fields.extend(of_linux::of_linux());
    fields.extend(limits::resources());
    fields
}

/// Adds a change: objects become one, `NAME+` adds to a list, all else is replaced.
fn merge(config: &mut Value, change: &Value) {
    for (name, value) in change.as_object().unwrap() {
        if let Some(name) = name.strip_suffix('+') {
            config[name].as_array_mut().unwrap().extend(value.as_array().unwrap().iter().cloned());
        } else if value.is_object() && config[name].is_object() {
            merge(&mut config[name], value);
        } else {
            config[name] = value.clone();
        }
    }
}

/// Text with one blank where there were several, and the one capability by its name.
fn plain(text: &str) -> String {
    format!(" {}", text.split_whitespace().collect::<Vec<_>>().join(" ")).replace(KILL, "KILL")
}

fn prove(engine: &Engine, path: &str, proof: &Proof) {
    let with = |change: &Value, command: &str| {
        engine.change(|config| {
            config["process"]["args"] = json!(["sh", "-c", command]);
            merge(config, change);
        });
    };
    match proof {
        Prints(change, command, words) => {
            with(change, command);
            let said = engine.call(&["run", "c1"]);
            assert!(plain(&said.stdout).contains(words), "{path}: {}{}", said.stdout, said.stderr);
        }
        Waits(change, file, words) => {
            with(change, "true");
            engine.create("c1");
            let file = format!("/proc/{}/{file}", engine.state("c1")["pid"]);
            let text = plain(&std::fs::read_to_string(file).unwrap());
            assert!(text.contains(words), "{path}: {text}");
        }
        Refused(change, words) => {
            with(change, "true");
            let said = engine.call(&["create", "c1"]);
            assert_ne!(said.status, 0, "{path} is passed over");
            assert!(said.stderr.contains(words), "{path}: {}", said.stderr);
        }
        In(file, words) => {
            let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
            let text = std::fs::read_to_string(format!("{folder}/../{file}")).unwrap();
            assert!(text.contains(words), "{path}: `{words}` isn't in {file}");
        }
    }
    engine.call(&["delete", "--force", "c1"]).well();
}

fn prove_all(whose: bool) {
    let Some(engine) = Engine::new() else { return };
    let config = engine.config();
    for (path, who, proof) in fields() {
        if who == whose {
            prove(&engine, path, &proof);
            engine.change(|changed| *changed = config.clone());
        }
    }
}

#[test]
fn every_field_is_honoured_or_refused_by_name() {
    prove_all(ANY);
}

#[test]
fn every_field_that_takes_root_is_honoured() {
    if !missing(Feature::Root) {
        prove_all(ROOT);
    }
}

/// The names that the parser takes in the object at a path: it says them where it meets another.
fn known(path: &str) -> BTreeSet<String> {
    let mut document = json!({ "unheard-of": 1 });
    for part in path.split('.').rev().filter(|part| !part.is_empty()) {
        document = match part.strip_suffix("[]") {
            Some(name) => json!({ name: [document] }),
            None => json!({ part: document }),
        };
    }
    let error = spec::parse(document.to_string().as_bytes()).unwrap_err().to_string();
    let (_, names) = error.split_once("expected").unwrap_or_else(|| panic!("{path}: {error}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_list_has_every_property_that_the_parser_has_and_no_other() {
    let mut objects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, ..) in fields() {
        let parts: Vec<&str> = path.split('.').collect();
        for at in 0..parts.len() {
            if parts[at] != "{}" {
                let name = parts[at].trim_end_matches("[]").to_owned();
                objects.entry(parts[..at].join(".")).or_default().insert(name);
            }
        }
    }
    for (path, listed) in objects {
        // Hooks are one type, of which one list is written out.
        if path.starts_with("hooks.") && !path.contains("startContainer") {
            continue;
        }
        assert_eq!(listed, known(&path), "{path}");
    }
}
