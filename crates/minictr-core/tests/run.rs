//! Containers from start to end, through the supervisor.
mod support;

use minictr_core::spawn::Supervisor;
use support::{busybox_rootfs, request, run};

#[test]
fn runs_a_program_as_root_of_its_own_root() {
    let Some(rootfs) = busybox_rootfs("root") else { return };
    let mut supervisor = Supervisor::new().unwrap();
    let script = "id -u; hostname; ls /; ls /proc/self/fd; cat /proc/self/status | grep -i -E 'cap|secc|nonew'; ls -la /dev; mount; cat /proc/self/uid_map";
    let finished = run(&mut supervisor, request(rootfs.path(), &["sh", "-c", script])).unwrap();
    println!("{}\n{}", finished.stdout, finished.stderr);
    assert_eq!(finished.exit.code, Some(0), "{finished:?}");
    assert!(finished.stdout.starts_with("0\ntest\n"), "{finished:?}");
}
