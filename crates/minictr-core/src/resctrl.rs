//! Shares of caches and of memory bandwidth: `linux.intelRdt`, `config-linux.md#intelrdt`.
//!
//! A class of service is a directory of the resctrl filesystem, a group that is monitored one below it.
//! What is made here is planned first, so that it can be written down before: a container's directories
//! go with the container. A class that the config names belongs to whoever named it, and stays.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::IntelRdt;

/// Where a container belongs, and what has to be made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    class: PathBuf,
    /// Whether the class must be there already.
    preconfigured: bool,
    schemata: Vec<String>,
    monitored: Option<PathBuf>,
    /// Whether the class is the container's alone.
    own: bool,
}

/// Where resctrl is mounted, from the text of `/proc/self/mountinfo`.
fn mount_point(mountinfo: &str) -> Option<&str> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        (filesystem.split(' ').next() == Some("resctrl")).then(|| mount.split(' ').nth(4))?
    })
}

/// The groups of a container.
///
/// # Errors
/// `KernelUnsupported` where no resctrl is mounted, `InvalidArgument`.
pub fn plan(rdt: &IntelRdt, id: &str) -> Result<Groups> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context(
        ErrorCode::Io,
        "read",
        "`/proc/self/mountinfo`",
    )?;
    let point = mount_point(&mounts).ok_or_else(|| {
        Error::new(
            ErrorCode::KernelUnsupported,
            "honour",
            "`linux.intelRdt` of the spec: no resctrl filesystem is mounted",
        )
        .hint("it takes a CPU with Intel RDT or AMD QoS, and `mount -t resctrl resctrl /sys/fs/resctrl`")
    })?;
    below(Path::new(point), rdt, id)
}

fn below(root: &Path, rdt: &IntelRdt, id: &str) -> Result<Groups> {
    let refuse = |what: String| Err(Error::invalid("use", format!("linux.intelRdt.{what}")));
    let named = rdt.clos_id.as_deref().filter(|name| !name.is_empty());
    let class = match named {
        Some("/") => root.to_owned(),
        Some(name) if matches!(name, "." | "..") || name.contains(['/', '\n', '\0']) => {
            return refuse(format!("closID `{name}`: it isn't the name of a directory"));
        }
        name => root.join(name.unwrap_or(id)),
    };
    let mut schemata = Vec::new();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let bandwidth = given(&rdt.mem_bw_schema);
    if let Some(cache) = given(&rdt.l3_cache_schema) {
        // The bandwidth has a field of its own, which decides.
        let lines = cache.lines().filter(|line| bandwidth.is_none() || !line.starts_with("MB:"));
        schemata.extend(lines.map(str::to_owned));
    }
    if let Some(bandwidth) = bandwidth {
        if !bandwidth.starts_with("MB:") || bandwidth.contains('\n') {
            return refuse(format!(
                "memBwSchema `{bandwidth}`: it is one line that begins with `MB:`"
            ));
        }
        schemata.push(bandwidth);
    }
    if let Some(line) = rdt.schemata.iter().find(|line| line.contains('\n')) {
        return refuse(format!("schemata `{line}`: it is more than one line"));
    }
    schemata.extend(rdt.schemata.iter().cloned());
    let monitoring = rdt.enable_monitoring.unwrap_or(false);
    Ok(Groups {
        preconfigured: named.is_some() && schemata.is_empty(),
        monitored: monitoring.then(|| class.join("mon_groups").join(id)),
        own: named.is_none(),
        schemata,
        class,
    })
}

impl Groups {
    /// The directories that go with the container, the inner one first.
    #[must_use]
    pub fn directories(&self) -> Vec<String> {
        let class = self.own.then_some(&self.class);
        let all = self.monitored.iter().chain(class);
        all.map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// The files that a process is written to, to belong there.
    #[must_use]
    pub fn task_files(&self) -> Vec<PathBuf> {
        [Some(&self.class), self.monitored.as_ref()]
            .into_iter()
            .flatten()
            .map(|group| group.join("tasks"))
            .collect()
    }

    /// Makes what isn't there.
    ///
    /// # Errors
    /// `InvalidArgument` for a class that must be there and isn't, `Cgroup` for a share that the kernel
    /// refuses: its reason is in the hint.
    pub fn make(&self) -> Result<()> {
        let shown = format!("`{}`", self.class.display());
        if !self.class.is_dir() {
            if self.preconfigured {
                return Err(Error::invalid(
                    "use linux.intelRdt.closID:",
                    format!("there is no {shown}, and no schema to make it with"),
                ));
            }
            std::fs::create_dir(&self.class).context(ErrorCode::Cgroup, "make", &shown)?;
        }
        self.write_schemata()?;
        match &self.monitored {
            Some(group) => match std::fs::create_dir(group) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    Err(error).context(ErrorCode::Cgroup, "make", format!("`{}`", group.display()))
                }
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Writes the shares of the class.
    ///
    /// # Errors
    /// `Cgroup` for a share that the kernel refuses: its reason is in the hint.
    pub fn write_schemata(&self) -> Result<()> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let shown = format!("`{}`", self.class.display());
        let text = self.schemata.iter().map(|line| format!("{line}\n")).collect::<String>();
        // One write: the kernel takes or refuses it as a whole.
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(self.class.join("schemata"))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.context(ErrorCode::Cgroup, "write schemata of", &shown).map_err(|error| {
            let status = self.class.ancestors().find_map(|directory| {
                std::fs::read_to_string(directory.join("info/last_cmd_status")).ok()
            });
            match status {
                Some(why) => error.hint(format!("the kernel says: {}", why.trim())),
                None => error,
            }
        })
    }
}

/// Puts a process, and what it will start, into groups.
///
/// # Errors
/// `Cgroup`.
pub fn join(task_files: &[PathBuf], pid: i32) -> Result<()> {
    for file in task_files {
        // By `write(2)` on what is there: it is never made.
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
            .context(ErrorCode::Cgroup, "join", format!("`{}`", file.display()))?;
    }
    Ok(())
}

/// Removes directories of a container; those that are gone are no failure.
///
/// # Errors
/// `Cgroup`.
pub fn remove(directories: &[String]) -> Result<()> {
    for directory in directories {
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(ErrorCode::Cgroup, "remove", format!("`{directory}`"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(json: &str) -> Result<Groups> {
        below(Path::new("/sys/fs/resctrl"), &serde_json::from_str(json).unwrap(), "c1")
    }

    #[test]
    fn the_mount_is_found_by_its_type() {
        let text = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                    99 22 0:50 / /sys/fs/resctrl rw,nosuid shared:9 - resctrl resctrl rw\n";
        assert_eq!(mount_point(text), Some("/sys/fs/resctrl"));
        assert_eq!(mount_point("31 30 0:27 / /resctrl rw - tmpfs resctrl rw\n"), None);
    }

    #[test]
    fn a_class_without_a_name_is_the_containers_own_and_goes_with_it() {
        let groups = groups(r#"{ "l3CacheSchema": "L3:0=f", "enableMonitoring": true }"#).unwrap();
        assert_eq!(
            groups.directories(),
            ["/sys/fs/resctrl/c1/mon_groups/c1", "/sys/fs/resctrl/c1"]
        );
        assert_eq!(groups.task_files()[0], Path::new("/sys/fs/resctrl/c1/tasks"));
        assert!(!groups.preconfigured);
    }

    #[test]
    fn a_class_with_a_name_stays_and_without_a_schema_must_be_there() {
        let named = groups(r#"{ "closID": "gold" }"#).unwrap();
        assert!(named.preconfigured && named.directories().is_empty());
        assert_eq!(groups(r#"{ "closID": "/" }"#).unwrap().class, Path::new("/sys/fs/resctrl"));
        for name in ["..", "a/b", "a\\nb"] {
            assert!(groups(&format!(r#"{{ "closID": "{name}" }}"#)).is_err(), "{name}");
        }
    }

    #[test]
    fn shares_are_written_to_the_class_in_one_piece() {
        let root = std::env::temp_dir().join(format!("minictr-test-rdt-{}", std::process::id()));
        std::fs::create_dir_all(root.join("gold")).unwrap();
        let schemata = root.join("gold/schemata");
        std::fs::write(&schemata, "").unwrap();
        let shares = IntelRdt {
            clos_id: Some("gold".to_owned()),
            l3_cache_schema: Some("L3:0=f".to_owned()),
            mem_bw_schema: Some("MB:0=50".to_owned()),
            ..IntelRdt::default()
        };
        let written = below(&root, &shares, "c1").and_then(|groups| groups.write_schemata());
        let text = std::fs::read_to_string(&schemata).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        written.unwrap();
        assert_eq!(text, "L3:0=f\nMB:0=50\n");
    }

    #[test]
    fn the_lines_are_combined_as_the_spec_says() {
        let both = r#"{ "l3CacheSchema": "L3:0=f\nMB:0=9", "memBwSchema": "MB:0=50", "schemata": ["L2:0=1"] }"#;
        assert_eq!(groups(both).unwrap().schemata, ["L3:0=f", "MB:0=50", "L2:0=1"]);
        let one = r#"{ "l3CacheSchema": "L3:0=f\nMB:0=9" }"#;
        assert_eq!(groups(one).unwrap().schemata, ["L3:0=f", "MB:0=9"]);
        assert!(groups(r#"{ "memBwSchema": "L3:0=1" }"#).is_err());
        assert!(groups(r#"{ "schemata": ["a\nb"] }"#).is_err());
    }
}
