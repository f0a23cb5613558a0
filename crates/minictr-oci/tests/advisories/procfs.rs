//! The kernel's own files, and mounts that take their place.

use std::path::Path;

use minictr_testkit::{Feature, missing};
use nix::sys::stat::Mode;
use serde_json::json;

use crate::attack::{Victim, attempt, bind, running};

/// CVE-2019-16884: a volume over `/proc` takes the place of the files that labels are written to.
/// It is refused, as is a label that no security module of this kernel could keep.
#[test]
fn a_volume_over_proc_makes_no_label_or_mask_silently_ineffective() {
    let Some(engine) = running("cat /proc/self/attr/exec /proc/marker; echo end") else { return };
    let volume = engine.path.join("volume");
    std::fs::create_dir_all(volume.join("self/attr")).unwrap();
    std::fs::write(volume.join("self/attr/exec"), "untouched").unwrap();
    let base = engine.config();
    for order in ["behind", "instead"] {
        engine.change(|config| {
            *config = base.clone();
            if order == "instead" {
                crate::attack::without_mounts(config, "/proc");
            }
            bind(config, &volume, "/proc");
        });
        let said = attempt(&engine, "c1");
        assert_ne!(said.status, 0, "{order}: {}", said.stdout);
        assert!(said.stderr.contains("/proc"), "{}", said.stderr);
        // a tmpfs is no better
        engine.change(|config| {
            *config = base.clone();
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/proc", "type": "tmpfs", "source": "tmpfs",
            }));
        });
        assert_ne!(attempt(&engine, "c1").status, 0);
    }
    for (field, value) in [("apparmorProfile", "docker-default"), ("selinuxLabel", "a:b:c:d")] {
        engine.change(|config| {
            *config = base.clone();
            config["process"][field] = json!(value);
            bind(config, &volume.join("self"), "/proc/self");
        });
        let said = attempt(&engine, "c1");
        assert_ne!(said.status, 0, "{field} isn't silently left out: {}", said.stdout);
    }
    let attr = std::fs::read_to_string(volume.join("self/attr/exec")).unwrap();
    assert_eq!(attr, "untouched");
}

/// CVE-2025-52881, youki's CVE-2025-62596: what is written for the container goes to the kernel's
/// file and to no other, whatever is mounted over its name.
#[test]
fn a_file_over_a_kernel_parameter_is_not_what_is_written() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = running("cat /proc/sys/kernel/msgmax; echo end") else { return };
    let victim = Victim::new(&engine);
    let swappiness = std::fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    for source in [victim.marker().as_path(), Path::new("/proc/sys/vm/swappiness")] {
        let base = engine.config();
        engine.change(|config| {
            config["linux"]["sysctl"] = json!({ "kernel.msgmax": "8191" });
            bind(config, source, "/proc/sys/kernel/msgmax");
        });
        attempt(&engine, "c1");
        victim.is_untouched();
        let now = std::fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
        assert_eq!(now, swappiness);
        engine.change(|config| *config = base);
    }
    // and it arrives where it belongs
    engine.change(|config| config["linux"]["sysctl"] = json!({ "kernel.msgmax": "8191" }));
    assert_eq!(attempt(&engine, "c1").well(), "8191\nend\n");
}

/// The same for the clocks of a time namespace, which are set once the root is the container's.
#[test]
fn a_file_over_the_clocks_of_a_time_namespace_is_not_what_is_written() {
    if missing(Feature::Root) {
        return;
    }
    let Some(engine) = running("cat /proc/uptime; echo end") else { return };
    let victim = Victim::new(&engine);
    let base = engine.config();
    engine.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1_000_000_000 } });
    });
    let plain = attempt(&engine, "c1").well();
    assert!(plain.starts_with("100"), "{plain}");
    // a /proc of the rootfs's own
    let own = engine.rootfs().join("proc/self");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("timens_offsets"), "").unwrap();
    std::fs::write(engine.rootfs().join("proc/uptime"), "none\n").unwrap();
    engine.change(|config| {
        crate::attack::without_mounts(config, "/proc");
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    });
    attempt(&engine, "c1");
    assert_eq!(std::fs::read(own.join("timens_offsets")).unwrap(), b"", "nothing went astray");
    // a FIFO that nobody reads
    std::fs::remove_file(own.join("timens_offsets")).unwrap();
    nix::unistd::mkfifo(&own.join("timens_offsets"), Mode::from_bits_truncate(0o666)).unwrap();
    attempt(&engine, "c1");
    engine.change(|config| *config = base);
    victim.is_untouched();
}

/// Ids are mapped, and out-of-memory scores set, by files that no rootfs can take the place of.
#[test]
fn what_is_written_before_the_root_is_changed_is_out_of_its_reach() {
    let Some(engine) = running("cat /proc/self/oom_score_adj; id -u") else { return };
    let own = engine.rootfs().join("proc/self");
    std::fs::create_dir(&own).unwrap();
    for file in ["uid_map", "gid_map", "setgroups", "oom_score_adj"] {
        std::fs::write(own.join(file), "").unwrap();
    }
    engine.change(|config| config["process"]["oomScoreAdj"] = json!(500));
    assert_eq!(attempt(&engine, "c1").well(), "500\n0\n");
    for file in ["uid_map", "gid_map", "setgroups", "oom_score_adj"] {
        assert_eq!(std::fs::read(own.join(file)).unwrap(), b"", "{file}");
    }
}
