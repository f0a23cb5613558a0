//! What a host holds that a container may leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::features::own_cgroup;

/// Mounts, cgroups, network devices, processes of ours and temporary files, as lines of text.
///
/// Taken before a test and compared after it; the difference is what leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the host now.
    #[must_use]
    pub fn take() -> Self {
        let mut found = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            found.insert(format!("mount {} on {}", fields[0], fields[4]));
        }
        for controller in ["memory", "pids", "cpuacct", "cpu", "devices", "freezer", ""] {
            if let Some(own) = own_cgroup(controller) {
                directories_below(&own, &mut |path| {
                    found.insert(format!("cgroup {}", path.display()));
                });
            }
        }
        for device in names_in(Path::new("/sys/class/net")) {
            found.insert(format!("network device {device}"));
        }
        for file in names_in(&std::env::temp_dir()) {
            if file.starts_with("minictr") {
                found.insert(format!("temporary file {file}"));
            }
        }
        for pid in names_in(Path::new("/proc")) {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if pid.parse::<u32>().is_ok()
                && (comm.starts_with("minictr-oci") || command.starts_with("/bin/probe"))
            {
                found.insert(format!("process {pid} {command}"));
            }
        }
        Self(found)
    }

    /// What is there now and wasn't then; empty where nothing leaked. Waits a moment for what ends
    /// by itself: the kernel takes mounts and processes away a little after the last wait returns.
    #[must_use]
    pub fn leaked(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let leaked: Vec<String> = Self::take().0.difference(&self.0).cloned().collect();
            if leaked.is_empty() || Instant::now() >= deadline {
                return leaked;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into()).collect()
        })
        .unwrap_or_default()
}

fn directories_below(directory: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found(&entry.path());
            directories_below(&entry.path(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_temporary_file_is_a_leak_until_it_is_gone() {
        let before = Snapshot::take();
        let path = std::env::temp_dir().join(format!("minictr-snapshot-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let leaked = before.leaked();
        fs::remove_file(&path).unwrap();
        assert!(leaked.iter().any(|line| line.contains("minictr-snapshot-")), "{leaked:?}");
        assert!(!before.leaked().iter().any(|line| line.contains("minictr-snapshot-")));
    }
}
