//! A cgroup by itself, with a process of this test's in it: on what the machine has, and on that
//! with v1 or v2 taken away.
mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use minictr_core::cgroups::{Cgroup, CgroupSpec, Hierarchies, remove_leftover};
use minictr_core::error::ErrorCode;
use minictr_core::spawn::LaunchRequest;
use minictr_core::spec::Resources;
use minictr_testkit::skip;
use serde_json::{Value, json};
use support::limited;

/// Which hierarchies a test sees.
#[derive(Clone, Copy, Debug)]
enum Sees {
    All,
    V1,
    V2,
}

fn hierarchies(sees: Sees) -> Hierarchies {
    let read = |path| std::fs::read_to_string(path).unwrap();
    let mounts: String = read("/proc/self/mountinfo")
        .lines()
        .filter(|line| match sees {
            Sees::All => true,
            Sees::V1 => line.contains(" - cgroup "),
            Sees::V2 => line.contains(" - cgroup2 "),
        })
        .map(|line| format!("{line}\n"))
        .collect();
    Hierarchies::of(&mounts, &read("/proc/self/cgroup"))
}

/// A cgroup that is removed with its processes.
struct Trial {
    hierarchies: Hierarchies,
    cgroup: Option<Cgroup>,
    paths: Vec<String>,
    children: Vec<Child>,
}

impl Trial {
    fn new(name: &str, sees: Sees, resources: Value) -> Option<Self> {
        Self::try_new(name, sees, resources).map(|trial| trial.unwrap())
    }

    /// `None` and a skip where this user or machine has no such cgroup.
    fn try_new(
        name: &str,
        sees: Sees,
        resources: Value,
    ) -> Option<minictr_core::error::Result<Self>> {
        if !limited() {
            skip("limits");
            return None;
        }
        let hierarchies = hierarchies(sees);
        let id = format!("test-{name}-{}", std::process::id());
        let request = LaunchRequest { id, ..LaunchRequest::default() };
        let resources: Resources = serde_json::from_value(resources).unwrap();
        let spec = CgroupSpec::of(&request, Some(&resources), true);
        let paths = hierarchies.planned_paths(&spec);
        let cgroup = match hierarchies.create(&spec) {
            Ok(Some(cgroup)) => cgroup,
            Ok(None) => {
                skip(&format!("{sees:?}"));
                return None;
            }
            Err(error) if error.code == ErrorCode::CgroupUnavailable => {
                skip(&error.message());
                return None;
            }
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Self { hierarchies, cgroup: Some(cgroup), paths, children: Vec::new() }))
    }

    fn cgroup(&mut self) -> &mut Cgroup {
        self.cgroup.as_mut().unwrap()
    }

    /// Starts a program that waits for a line before it does anything, and puts it in.
    fn start(&mut self, script: &str) -> i32 {
        let child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        self.children.push(child);
        self.cgroup().add_process(pid).unwrap();
        let stdin = self.children.last_mut().unwrap().stdin.as_mut().unwrap();
        std::io::Write::write_all(stdin, b"go\n").unwrap();
        pid
    }

    /// The output of the last program, once it has ended.
    fn output(&mut self) -> String {
        let child = self.children.pop().unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn update(&mut self, resources: Value) -> minictr_core::error::Result<()> {
        self.cgroup().update(&serde_json::from_value(resources).unwrap())
    }

    /// The text of a control file, wherever the cgroup has it.
    fn text(&self, file: &str) -> Option<String> {
        let found = self
            .paths
            .iter()
            .find_map(|path| std::fs::read_to_string(format!("{path}/{file}")).ok());
        found.map(|text| text.trim().to_owned())
    }

    fn left(&self) -> Vec<&String> {
        self.paths.iter().filter(|path| std::path::Path::new(path).exists()).collect()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(cgroup) = self.cgroup.take() {
            let _ = cgroup.kill_all();
            self.children.iter_mut().for_each(end);
            let _ = cgroup.remove();
        }
        self.children.iter_mut().for_each(end);
    }
}

/// Ends a child, in the cgroup or not.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn cpu_us(trial: &mut Trial) -> u64 {
    trial.cgroup().stats().cpu.usage_us.unwrap()
}

#[test]
fn a_paused_container_stands_still_goes_on_and_can_be_killed() {
    for (name, sees) in [("pause", Sees::All), ("pause1", Sees::V1), ("pause2", Sees::V2)] {
        let Some(mut trial) = Trial::new(name, sees, json!({})) else { continue };
        trial.start("while :; do :; done & while :; do :; done");
        assert!(!trial.cgroup().is_frozen().unwrap());
        trial.cgroup().freeze().unwrap();
        assert!(trial.cgroup().is_frozen().unwrap());
        let before = cpu_us(&mut trial);
        std::thread::sleep(Duration::from_millis(100));
        let frozen = cpu_us(&mut trial) - before;
        assert!(frozen < 5_000, "{sees:?}: {frozen} us");
        trial.cgroup().thaw().unwrap();
        assert!(!trial.cgroup().is_frozen().unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(cpu_us(&mut trial) > before, "{sees:?}");

        trial.cgroup().freeze().unwrap();
        trial.cgroup().kill_all().unwrap();
        trial.children.pop().unwrap().wait().unwrap();
        assert_eq!(trial.cgroup().processes(), [] as [i32; 0], "{sees:?}");
        trial.cgroup.take().unwrap().remove().unwrap();
        assert_eq!(trial.left(), [] as [&String; 0], "{sees:?}");
    }
}

#[test]
fn a_cgroup_is_found_again_by_its_paths() {
    for (name, sees) in [("again", Sees::All), ("again1", Sees::V1), ("again2", Sees::V2)] {
        let Some(mut trial) = Trial::new(name, sees, json!({})) else { continue };
        let pid = trial.start("sleep 60");
        trial.cgroup().freeze().unwrap();
        let mut found = trial.hierarchies.open(&trial.paths).unwrap().unwrap();
        assert!(found.is_frozen().unwrap(), "{sees:?}");
        assert!(found.processes().contains(&pid), "{sees:?}");
        found.thaw().unwrap();
        found.freeze().unwrap();
        drop(found);
        // Paused and forgotten, as after a kill.
        let child = trial.children.pop();
        trial.cgroup = None;
        remove_leftover(&trial.hierarchies, &trial.paths).unwrap();
        child.unwrap().wait().unwrap();
        assert_eq!(trial.left(), [] as [&String; 0], "{sees:?}");
        assert!(trial.hierarchies.open(&trial.paths).unwrap().is_none());
    }
}

#[test]
fn paths_outside_the_hierarchies_are_left_alone() {
    let directory = std::env::temp_dir().join(format!("minictr-outside-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut paths = vec![directory.to_str().unwrap().to_owned()];
    paths.push(format!("/sys/fs/cgroup/pids/..{}", directory.display()));
    let hierarchies = hierarchies(Sees::All);
    assert!(hierarchies.open(&paths).unwrap().is_none());
    remove_leftover(&hierarchies, &paths).unwrap();
    assert!(directory.exists());
    std::fs::remove_dir(directory).unwrap();
}

#[test]
fn limits_are_changed_while_it_runs_and_new_controllers_joined() {
    let Some(mut trial) = Trial::new("update", Sees::All, json!({ "pids": { "limit": 50 } }))
    else {
        return;
    };
    trial.start("sleep 60 & sleep 60");
    let resources = json!({
        "memory": { "limit": 64 << 20 },
        "pids": { "limit": 20 },
        "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 }
    });
    match trial.update(resources) {
        Err(error) if error.code == ErrorCode::CgroupUnavailable => return skip(&error.message()),
        result => result.unwrap(),
    }
    assert_eq!(trial.text("pids.max").unwrap(), "20");
    let stats = trial.cgroup().stats();
    assert_eq!(stats.memory.limit_bytes, Some(64 << 20));
    assert_eq!(stats.pids.limit, Some(20));
    assert!(stats.cpu.periods.is_some(), "{stats:?}");
    let quota = trial.text("cpu.cfs_quota_us").or_else(|| trial.text("cpu.max")).unwrap();
    assert!(quota.starts_with("50000"), "{quota}");
}

#[test]
fn an_update_that_is_refused_changes_nothing() {
    let before = json!({ "pids": { "limit": 50 }, "memory": { "limit": 64 << 20 } });
    let Some(mut trial) = Trial::new("refused", Sees::All, before) else { return };
    trial.start("x=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 60");
    while trial.cgroup().stats().memory.usage_bytes.unwrap() < 4 << 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let resources = json!({
        "pids": { "limit": 20 },
        "memory": { "limit": 4096, "checkBeforeUpdate": true }
    });
    let error = trial.update(resources).unwrap_err();
    assert_eq!(error.errno, Some(libc::EBUSY), "{error}");
    assert!(error.message().contains("bytes are in use"), "{error}");
    // And one that the kernel itself refuses, after others.
    let resources = json!({ "pids": { "limit": 20 }, "memory": { "limit": 48 << 20 }, "cpu": { "mems": "77" } });
    let error = trial.update(resources).unwrap_err();
    if error.code == ErrorCode::CgroupUnavailable {
        return skip(&error.message());
    }
    assert!(error.message().contains("cpuset.mems"), "{error}");
    assert_eq!(trial.text("pids.max").unwrap(), "50");
    assert_eq!(trial.cgroup().stats().memory.limit_bytes, Some(64 << 20));
}

/// Whether devices can be opened by what is in the cgroup, as `yes` and `no`.
fn opens(trial: &mut Trial) -> String {
    let try_one = |device| format!("if (: <{device}) 2>/dev/null; then echo yes; else echo no; fi");
    let script = ["/dev/zero", "/dev/full", "/dev/random"].map(try_one).join("; ");
    trial.start(&script);
    trial.output().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rules(minors: &[u32]) -> Value {
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    // What the shell itself needs.
    for minor in minors.iter().chain(&[3]) {
        rules.push(
            json!({ "allow": true, "type": "c", "major": 1, "minor": minor, "access": "rw" }),
        );
    }
    json!({ "devices": rules })
}

#[test]
fn device_rules_hold_and_are_replaced() {
    const ZERO: u32 = 5;
    const FULL: u32 = 7;
    for (name, sees) in [("devices1", Sees::V1), ("devices2", Sees::V2)] {
        let Some(mut trial) = Trial::new(name, sees, rules(&[ZERO])) else { continue };
        if !trial.cgroup().limits_devices() {
            skip(&format!("device rules on {sees:?}"));
            continue;
        }
        assert_eq!(opens(&mut trial), "yes no no", "{sees:?}");
        trial.update(rules(&[ZERO, FULL])).unwrap();
        assert_eq!(opens(&mut trial), "yes yes no", "{sees:?}");
        trial.update(rules(&[FULL])).unwrap();
        assert_eq!(opens(&mut trial), "no yes no", "{sees:?}");
        // What is beyond the rules stays so.
        trial.update(json!({ "pids": { "limit": 100 } })).unwrap_or_default();
        assert_eq!(opens(&mut trial), "no yes no", "{sees:?}");
    }
}

#[test]
fn the_kernel_takes_a_long_list_of_devices() {
    let minors: Vec<u32> = (0..300).collect();
    let Some(mut trial) = Trial::new("many", Sees::V2, rules(&minors)) else { return };
    if !trial.cgroup().limits_devices() {
        return skip("device rules on v2");
    }
    assert_eq!(opens(&mut trial), "yes yes yes");
}

#[test]
fn io_is_limited_and_counted() {
    let Some((major, minor)) = disk() else { return skip("a disk") };
    let device = json!([{ "major": major, "minor": minor, "rate": 1 << 20 }]);
    let resources = json!({ "blockIO": { "throttleReadBpsDevice": device, "throttleWriteIOPSDevice": device } });
    let Some(mut trial) = Trial::new("io", Sees::All, resources) else { return };
    let limit = trial.text("blkio.throttle.read_bps_device").or_else(|| trial.text("io.max"));
    let limit = limit.unwrap();
    assert!(limit.contains(&format!("{major}:{minor} ")) && limit.contains("1048576"), "{limit}");
    assert!(trial.cgroup().stats().io.devices.is_some());
    let device = json!([{ "major": major, "minor": minor, "rate": 0 }]);
    trial.update(json!({ "blockIO": { "throttleReadBpsDevice": device } })).unwrap();
    let limit = trial.text("blkio.throttle.read_bps_device").or_else(|| trial.text("io.max"));
    assert!(!limit.unwrap().contains("rbps=1048576"));
}

/// A whole disk of this machine.
fn disk() -> Option<(u32, u32)> {
    std::fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let number = std::fs::read_to_string(entry.path().join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        let size = std::fs::read_to_string(entry.path().join("size")).ok()?;
        (size.trim() != "0").then_some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[test]
fn pressure_is_told_on_v2() {
    let Some(mut trial) =
        Trial::new("pressure", Sees::V2, json!({ "unified": { "cgroup.max.depth": "3" } }))
    else {
        return;
    };
    if trial.text("cpu.pressure").is_none() {
        return skip("pressure stall information");
    }
    let stats = trial.cgroup().stats();
    assert!(stats.cpu.pressure.is_some() && stats.io.pressure.is_some(), "{stats:?}");
    assert!(stats.memory.pressure.is_some(), "{stats:?}");
    assert_eq!(trial.text("cgroup.max.depth").unwrap(), "3");
}

#[test]
fn refuses_by_name_what_a_version_has_not() {
    for (sees, resources, field) in [
        (Sees::V1, json!({ "unified": { "memory.high": "1" } }), "no cgroup v2"),
        (Sees::V2, json!({ "unified": { "nothing.max": "1" } }), "`nothing`"),
        (Sees::V2, json!({ "unified": { "cgroup.procs": "0" } }), "is no limit"),
    ] {
        match Trial::try_new("names", sees, resources) {
            None => {}
            Some(Ok(_)) => panic!("{field}"),
            Some(Err(error)) => assert!(error.message().contains(field), "{error}"),
        }
    }
}
