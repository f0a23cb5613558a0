//! Compiles the probe: a static C program, so that a root filesystem needs nothing beside it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let sources = ["main.c", "files.c", "kernel.c", "process.c", "resources.c", "host.c"];
    let probe = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("probe");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(&compiler)
        .args(["-std=gnu17", "-O2", "-static", "-Wall", "-Wextra", "-o"])
        .arg(&probe)
        .args(sources.map(|name| format!("probe/{name}")))
        .status()
        .unwrap_or_else(|error| panic!("the tests need a C compiler, `{compiler}`: {error}"));
    assert!(status.success(), "compile the probe: {status}");
    println!("cargo::rerun-if-changed=probe");
    println!("cargo::rerun-if-env-changed=CC");
    println!("cargo::rustc-env=MINICTR_PROBE={}", probe.display());
}
