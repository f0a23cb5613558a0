//! An engine's monitor that gets the runtime's children, as conmon and containerd's shim do. Alone in
//! its process: it gets the orphans of all its threads.

mod support;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use support::Engine;

#[test]
fn the_status_of_a_detached_process_is_left_to_the_monitor() {
    let Some(engine) = Engine::new() else { return };
    minictr_core::sys::process::set_child_subreaper().unwrap();
    engine.start("c1");
    let pid_file = engine.path.join("pid");
    let path = pid_file.to_str().unwrap();
    // so quick that it often ends before the runtime does
    for status in 1..40 {
        let program = format!("exit {status}");
        engine.call(&["exec", "-d", "--pid-file", path, "c1", "sh", "-c", &program]).well();
        let pid = Pid::from_raw(std::fs::read_to_string(&pid_file).unwrap().parse().unwrap());
        assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, status)));
    }
    let first = engine.state("c1")["pid"].as_i64().unwrap();
    engine.call(&["kill", "c1", "KILL"]).well();
    let first = Pid::from_raw(i32::try_from(first).unwrap());
    assert!(matches!(waitpid(first, None), Ok(WaitStatus::Signaled(..))));
    engine.call(&["delete", "c1"]).well();
}
