//! A container that counts: where it goes on tells what became of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use minictr_testkit::{Feature, missing};
use serde_json::json;

use crate::support::Engine;

/// Counts in its memory, and writes the count down ten times a second.
const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done";

/// An engine whose container counts; `None` where CRIU doesn't work.
pub fn counting() -> Option<Engine> {
    if missing(Feature::Root) || missing(Feature::Criu) {
        return None;
    }
    let engine = Engine::new()?;
    counts(&engine);
    Some(engine)
}

/// Lets the container of an engine count.
pub fn counts(engine: &Engine) {
    engine.change(|config| {
        config["process"]["args"] = json!(["sh", "-c", COUNTER]);
        config["root"]["readonly"] = json!(false);
    });
}

/// Starts the container with no file of the machine's among its streams, which CRIU could not name.
#[track_caller]
pub fn start(engine: &Engine, id: &str) {
    let mut run = engine.command(&["run", "--detach", id]);
    assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    wait_long(|| count(engine) > 3);
}

pub fn count(engine: &Engine) -> u32 {
    let text = std::fs::read_to_string(engine.rootfs().join("tmp/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// CRIU takes its time in an emulated machine.
#[track_caller]
pub fn wait_long(mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a container counts on from at least `from`; what was written down before is forgotten.
#[track_caller]
pub fn counts_on(engine: &Engine, from: u32) {
    // Away, not overwritten: with a text of ours in it, a new one could be read in part.
    std::fs::remove_file(engine.rootfs().join("tmp/count")).unwrap();
    let mut now = 0;
    wait_long(|| {
        now = count(engine);
        now > 0
    });
    assert!(now > from, "{now} after {from}");
}

pub fn images(engine: &Engine, name: &str) -> String {
    engine.path.join(name).to_str().unwrap().to_owned()
}

#[track_caller]
pub fn checkpoint(engine: &Engine, id: &str, more: &[&str]) -> String {
    let path = images(engine, "images");
    let mut arguments = vec!["checkpoint", "--image-path", &path];
    arguments.extend(more);
    arguments.push(id);
    engine.call(&arguments).well();
    path
}
