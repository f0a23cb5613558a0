//! Link settings of a Node-API addon, and the commit that `coreVersion()` tells.

fn main() {
    napi_build::setup();
    // The addon's thread lives as long as the process: Node unloads an addon with the last worker
    // that used it, which would take the code away from under the thread.
    println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-env-changed=MINICTR_COMMIT");
}
