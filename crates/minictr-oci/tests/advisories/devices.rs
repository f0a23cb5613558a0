//! Devices and terminals of a rootfs that aren't what their names say.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minictr_core::sys::openat2::cwd;
use minictr_testkit::{Feature, missing, skip};
use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::attack::{Victim, attempt, bind, in_time, race, running, without_mounts};
use crate::support::Engine;

/// An engine without a mount on `/dev`: what the rootfs has there stays visible.
fn without_dev(script: &str) -> Option<Engine> {
    let engine = running(script)?;
    engine.change(|config| {
        config["root"]["readonly"] = json!(false);
        without_mounts(config, "/dev");
    });
    Some(engine)
}

/// A shell script that says which device each name is.
const LOOK: &str = "for f in null console tty ptmx zero; do busybox stat -L -c \"$f %t:%T %F\" \
    /dev/$f; done; cat /dev/null";

/// CVE-2025-31133, youki's CVE-2025-62161; crun's CVE-2026-88265: what is bound over masked paths and
/// opened as standard streams is the null device, wherever the rootfs's name leads.
#[test]
fn a_null_device_that_is_a_link_masks_nothing_with_a_file() {
    let Some(engine) = without_dev("cat /proc/keys /proc/kcore; echo end") else { return };
    let victim = Victim::new(&engine);
    let null = engine.rootfs().join("dev/null");
    let marker = victim.marker();
    let targets = [&marker, Path::new("/proc/sys/kernel/core_pattern"), Path::new("/bin/busybox")];
    for target in targets {
        symlink(target, &null).unwrap();
        for closed in [false, true] {
            // without streams, the runtime opens the null device itself
            let direct = engine.command(&["run", "c1"]);
            let command = if closed { without_streams(&direct) } else { direct };
            let said = in_time(&engine, command);
            assert_ne!(said.status, 0, "{}", said.stdout);
            victim.is_unseen(&said);
        }
        std::fs::remove_file(&null).unwrap();
    }
}

/// The runtime without open standard input, output and error.
fn without_streams(direct: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
    shell.arg(direct.get_program()).args(direct.get_args());
    shell
}

/// The racing variant: another container of the same rootfs exchanges the device and a link.
#[test]
fn a_null_device_that_turns_into_a_link_masks_nothing_with_a_file() {
    let Some(engine) = without_dev("[ -s /proc/keys ] && echo seen; echo end") else { return };
    let victim = Victim::new(&engine);
    let dev = engine.rootfs().join("dev");
    let link = dev.join("link");
    symlink(victim.marker(), &link).unwrap();
    let null = dev.join("null");
    if Feature::Root.present() {
        mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    } else {
        // a file that a device can be bound on
        std::fs::write(&null, "").unwrap();
    }
    race(&null, &link, |_| {
        let said = attempt(&engine, "c1");
        assert!(!said.stdout.contains("seen"), "{}", said.stdout);
        victim.is_unseen(&said);
    });
}

const DEVICES: usize = 40;

/// A device is made, and its mode set afterwards: by a name that is a link by then, the mode of
/// what it leads to.
#[test]
fn a_device_that_turns_into_a_link_gives_no_file_of_the_host_its_mode() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = without_dev("true") else { return };
    let victim = Victim::new(&engine);
    std::fs::set_permissions(victim.marker(), PermissionsExt::from_mode(0o600)).unwrap();
    let victim = victim.seen_again();
    engine.change(|config| {
        let devices = (0..DEVICES).map(|minor| {
            json!({ "path": format!("/dev/many/{minor}"), "type": "c", "major": 1, "minor": 3,
                "fileMode": 0o666, "uid": 7, "gid": 7 })
        });
        config["linux"]["devices"] = devices.collect();
    });
    let (many, links) = (engine.rootfs().join("dev/many"), engine.rootfs().join("dev/links"));
    let begun = Instant::now();
    let mut replaced = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        for directory in [&many, &links] {
            let _ = std::fs::remove_dir_all(directory);
            std::fs::create_dir(directory).unwrap();
        }
        for minor in 0..DEVICES {
            symlink(victim.marker(), links.join(minor.to_string())).unwrap();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // each device is exchanged for its link as soon as there is one
                for minor in (0..DEVICES).map(|minor| minor.to_string()) {
                    let (device, link) = (many.join(&minor), links.join(&minor));
                    while !stop.load(Ordering::Relaxed) {
                        let exchange = RenameFlags::RENAME_EXCHANGE;
                        if renameat2(cwd(), &device, cwd(), &link, exchange).is_ok() {
                            break;
                        }
                    }
                }
            });
            attempt(&engine, "c1");
            stop.store(true, Ordering::Relaxed);
        });
        replaced += (0..DEVICES).filter(|minor| many.join(minor.to_string()).is_symlink()).count();
        victim.is_untouched();
    }
    assert!(replaced > 0, "{replaced} devices were replaced");
}

/// A container with a terminal, and what its program prints there.
fn with_terminal(engine: &Engine, script: &str) -> crate::support::Said {
    engine.change(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    // `script` gives the runtime a terminal of its own, as a person's shell does
    let direct = engine.command(&["run", "c1"]);
    let words = direct.get_args().map(|word| word.to_str().unwrap().to_owned());
    let line = std::iter::once(direct.get_program().to_str().unwrap().to_owned())
        .chain(words)
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(" ");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    in_time(engine, command)
}

/// CVE-2025-52565; crun's CVE-2026-88264: the console is made through a link, or is another file than
/// the container's terminal.
#[test]
fn a_console_that_is_a_link_is_neither_made_nor_shown_outside() {
    if !Path::new("/usr/bin/script").exists() {
        return skip("script");
    }
    for mounted in [false, true] {
        let Some(engine) = Engine::new() else { return };
        let victim = Victim::new(&engine);
        engine.change(|config| {
            config["root"]["readonly"] = json!(false);
            let pts = config["mounts"].as_array().unwrap()[2].clone();
            assert_eq!(pts["destination"], "/dev/pts");
            without_mounts(config, "/dev");
            if mounted {
                config["mounts"].as_array_mut().unwrap().push(pts);
            }
        });
        let dev = engine.rootfs().join("dev");
        std::fs::create_dir(dev.join("pts")).unwrap();
        for target in [victim.marker(), victim.path.join("new"), "/proc/sysrq-trigger".into()] {
            symlink(&target, dev.join("console")).unwrap();
            let said = with_terminal(&engine, LOOK);
            victim.is_unseen(&said);
            assert!(!victim.path.join("new").exists());
            if mounted && said.stdout.contains("console ") {
                assert!(said.stdout.contains("console 88:"), "{}", said.stdout);
            }
            std::fs::remove_file(dev.join("console")).unwrap();
        }
        // terminals of the rootfs's own: a file, a FIFO, a link to the host's, a device that isn't one
        let ptmx = dev.join("pts/ptmx");
        let forms: [&dyn Fn(); 4] = [
            &|| std::fs::write(&ptmx, "").unwrap(),
            &|| nix::unistd::mkfifo(&ptmx, Mode::from_bits_truncate(0o666)).unwrap(),
            &|| symlink("/dev/ptmx", &ptmx).unwrap(),
            &|| symlink(victim.marker(), &ptmx).unwrap(),
        ];
        for make in forms {
            make();
            let said = with_terminal(&engine, LOOK);
            victim.is_unseen(&said);
            assert!(mounted || said.status != 0, "{}", said.stdout);
            std::fs::remove_file(&ptmx).unwrap();
        }
    }
}

/// A device of the rootfs under the name of the terminals' is never opened: opening alone does
/// something on some, such as a watchdog.
#[test]
fn a_device_in_the_place_of_the_terminals_is_not_opened() {
    if missing(Feature::Root) {
        return;
    }
    if !Path::new("/usr/bin/script").exists() {
        return skip("script");
    }
    let Some(engine) = without_dev("true") else { return };
    let pts = engine.rootfs().join("dev/pts");
    std::fs::create_dir(&pts).unwrap();
    // no driver has this number: opening it is ENXIO, which nothing else here says
    mknod(&pts.join("ptmx"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(60, 7))
        .unwrap();
    let said = with_terminal(&engine, LOOK);
    assert_ne!(said.status, 0);
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(text.contains("ENODEV"), "{text}");
}

/// CVE-2017-5226 of bubblewrap: a program in the caller's session pushes characters into the
/// caller's terminal.
#[test]
fn a_program_is_in_a_session_of_its_own() {
    let Some(engine) = running("cat /proc/self/stat; cat < /dev/tty") else { return };
    let said = attempt(&engine, "c1");
    let fields: Vec<&str> = said.stdout.split(' ').collect();
    // session and terminal, proc_pid_stat(5): its own, of which it is a child, and none
    assert_eq!((fields[5], fields[6]), ("1", "0"), "{}", said.stdout);
    assert!(said.stderr.contains("/dev/tty"), "{}", said.stderr);
    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    engine.start("c2");
    let joined = engine.call(&["exec", "c2", "cat", "/proc/self/stat"]).well();
    let fields: Vec<&str> = joined.split(' ').collect();
    assert_eq!((fields[0], fields[6]), (fields[5], "0"), "{joined}");
}

/// A directory of the host's devices, bound on `/dev`, gets nothing from us.
#[test]
fn a_dev_of_the_host_that_is_bound_stays_as_it_is() {
    let Some(engine) = running("true") else { return };
    let victim = Victim::new(&engine);
    engine.change(|config| {
        without_mounts(config, "/dev");
        bind(config, &victim.path, "/dev");
    });
    attempt(&engine, "c1");
    victim.is_untouched();
}
