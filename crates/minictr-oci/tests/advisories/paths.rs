//! Paths of the rootfs that lead out of it, or do so for a moment.

use std::os::unix::fs::symlink;

use minictr_testkit::{Feature, missing};
use serde_json::json;

use crate::attack::{Victim, attempt, bind, race, replace_by_link, running, without_mounts};
use crate::support::Engine;

/// What a container shows of itself: which files are at the usual places.
const LOOK: &str = "for d in /dev /proc /sys /vol /vol/x /etc; do ls $d; cat $d/marker; done";

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, youki's CVE-2025-54867: masks and labels go to
/// another directory than the kernel's files.
#[test]
fn a_rootfs_whose_proc_or_sys_is_a_link_is_refused() {
    let Some(engine) = running(LOOK) else { return };
    let victim = Victim::new(&engine);
    std::fs::create_dir(engine.rootfs().join("other")).unwrap();
    let inside = ["/other", "other", "../other"].map(std::path::PathBuf::from);
    for name in ["proc", "sys"] {
        for link in inside.iter().chain(&victim.links()) {
            replace_by_link(&engine, name, link);
            let said = attempt(&engine, "c1");
            assert_ne!(said.status, 0, "{name} -> {}: {}", link.display(), said.stdout);
            victim.is_unseen(&said);
        }
        std::fs::remove_file(engine.rootfs().join(name)).unwrap();
        std::fs::create_dir(engine.rootfs().join(name)).unwrap();
    }
    assert_eq!(std::fs::read_dir(engine.rootfs().join("other")).unwrap().count(), 0);
}

/// The race of CVE-2019-19921: a volume gives the container's `/proc` two places to be at.
#[test]
fn a_proc_that_lies_on_a_shared_volume_is_refused() {
    let Some(engine) = running(LOOK) else { return };
    let volume = engine.path.join("volume");
    for level in ["level1", "level1~"] {
        std::fs::create_dir_all(volume.join(level).join("level2")).unwrap();
    }
    std::fs::create_dir(engine.rootfs().join("evil")).unwrap();
    replace_by_link(&engine, "proc", "/evil/level1/level2".as_ref());
    engine.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.insert(
            0,
            json!({ "destination": "/evil", "type": "bind", "source": volume, "options": ["rbind"] }),
        );
    });
    race(&volume.join("level1"), &volume.join("level1~"), |_| {
        assert_ne!(attempt(&engine, "c1").status, 0);
    });
}

/// CVE-2019-18837, bubblewrap's CVE-2026-87766: a mount point is made behind a link.
#[test]
fn a_mount_point_behind_a_link_is_made_inside() {
    let Some(engine) = running(LOOK) else { return };
    let victim = Victim::new(&engine);
    let source = engine.path.join("source");
    std::fs::create_dir(&source).unwrap();
    engine.change(|config| {
        config["root"]["readonly"] = json!(false);
        bind(config, &source, "/vol/below");
        bind(config, &source, "/vol/new/deeper");
        let file = source.join("file");
        std::fs::write(&file, "").unwrap();
        bind(config, &file, "/vol/new-file");
    });
    for link in victim.links() {
        replace_by_link(&engine, "vol", &link);
        victim.is_unseen(&attempt(&engine, "c1"));
    }
    // and one that is ordinary is followed: refusing them all broke Flatpak
    std::fs::create_dir(engine.rootfs().join("run")).unwrap();
    replace_by_link(&engine, "vol", "/run".as_ref());
    engine.change(|config| config["process"]["args"] = json!(["ls", "/run", "/run/below"]));
    let seen = attempt(&engine, "c1").well();
    assert!(seen.contains("below") && seen.contains("new-file"), "{seen}");
}

/// CVE-2021-30465 and CVE-2024-45310: the directory that a mount goes to is a link when it is
/// looked at again; what is missing is made behind it.
#[test]
fn a_volume_whose_directory_turns_into_a_link_never_leads_out() {
    let Some(engine) = running(LOOK) else { return };
    let victim = Victim::new(&engine);
    let volume = engine.path.join("volume");
    let source = engine.path.join("source");
    std::fs::create_dir_all(volume.join("x/below")).unwrap();
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir(engine.rootfs().join("vol")).unwrap();
    for (index, link) in victim.links().iter().enumerate().take(2) {
        let swapped = volume.join(format!("y{index}"));
        symlink(link, &swapped).unwrap();
        let base = engine.config();
        engine.change(|config| {
            bind(config, &volume, "/vol");
            bind(config, &source, "/vol/x/below");
            bind(config, &source, "/vol/x/missing/deep");
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/vol/x/tmp", "type": "tmpfs", "source": "tmpfs",
            }));
        });
        let mut started = 0;
        let calls = race(&volume.join("x"), &swapped, |_| {
            let said = attempt(&engine, "c1");
            started += usize::from(said.stdout.contains("below"));
            victim.is_unseen(&said);
        });
        assert!(started > 0, "none of {calls} started");
        engine.change(|config| *config = base);
        // what was made in the volume is the volume's
        let _ = std::fs::remove_file(&swapped);
        let _ = std::fs::remove_file(volume.join("x"));
        std::fs::create_dir_all(volume.join("x/below")).unwrap();
    }
}

/// CVE-2026-41579 (crun: CVE-2026-47766): `/dev` is a link and nothing is mounted on it, so the
/// devices and links of `/dev` are made where it leads.
#[test]
fn a_dev_that_is_a_link_takes_no_device_or_link_out() {
    let Some(engine) = running(LOOK) else { return };
    let victim = Victim::new(&engine);
    engine.change(|config| {
        config["root"]["readonly"] = json!(false);
        without_mounts(config, "/dev");
    });
    for link in victim.links() {
        replace_by_link(&engine, "dev", &link);
        victim.is_unseen(&attempt(&engine, "c1"));
        // with a mount on it, as engines have it
        engine.change(|config| {
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            }));
        });
        victim.is_unseen(&attempt(&engine, "c1"));
        engine.change(|config| without_mounts(config, "/dev"));
    }
}

/// Tells of files of the kernel's that are neither masked nor read-only, wherever its files are.
/// Opened only, nothing is written.
const UNMASKED: &str = "for d in /proc /other; do [ -e $d/self/status ] || continue; \
    for f in sysrq-trigger sys/vm/swappiness; do (exec 3>>$d/$f) 2>/dev/null && echo open $d/$f; \
    done; [ -f $d/keys ] && echo open $d/keys; done; echo end";

/// Races for `/proc` of a rootfs; every container that starts has masked what it has.
fn race_for_proc(other: &std::path::Path, engine: &Engine) {
    let mut started = 0;
    let calls = race(&engine.rootfs().join("proc"), other, |_| {
        let said = attempt(engine, "c1");
        started += usize::from(said.stdout.contains("end"));
        assert!(!said.stdout.contains("open"), "{}", said.stdout);
    });
    assert!(started > 0, "none of {calls} started");
}

/// The rootfs itself is shared with a container that runs, which moves `/proc` away while another
/// is set up: what is masked must be what is mounted (CVE-2019-19921 without a link).
#[test]
fn a_proc_that_is_moved_away_is_masked_all_the_same() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = running(UNMASKED) else { return };
    let other = engine.rootfs().join("other");
    std::fs::create_dir(&other).unwrap();
    race_for_proc(&other, &engine);
}

/// The same with a link, which may be an ordinary directory when it is looked at.
#[test]
fn a_proc_that_turns_into_a_link_and_back_is_masked_or_refused() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = running(UNMASKED) else { return };
    std::fs::create_dir(engine.rootfs().join("other")).unwrap();
    let link = engine.rootfs().join("link");
    symlink("/other", &link).unwrap();
    race_for_proc(&link, &engine);
}
