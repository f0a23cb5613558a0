//! What a hostile rootfs is made of, and what it is after.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minictr_core::sys::openat2::cwd;
use nix::fcntl::{RenameFlags, renameat2};
use serde_json::{Value, json};

use crate::support::{Engine, Said};

/// A directory of the host's that everybody may write, with a file that nobody else has.
pub(crate) struct Victim {
    pub(crate) path: PathBuf,
    before: Vec<String>,
}

/// What the victim's file holds: where it is seen in a container, something got out.
pub(crate) const SECRET: &str = "the-host's-own";

impl Victim {
    pub(crate) fn new(engine: &Engine) -> Self {
        let path = engine.path.join("victim");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("marker"), SECRET).unwrap();
        // what a walk that leads here would find useful
        std::fs::create_dir(path.join("self")).unwrap();
        std::fs::create_dir(path.join("below")).unwrap();
        // what CVE-2026-41579 deleted
        std::fs::write(path.join("ptmx"), "").unwrap();
        let mut victim = Self { path, before: Vec::new() };
        victim.before = victim.picture();
        victim
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.path.join("marker")
    }

    /// As it is now is how it has to stay.
    pub(crate) fn seen_again(mut self) -> Self {
        self.before = self.picture();
        self
    }

    /// Names, kinds, modes, owners, times and contents.
    fn picture(&self) -> Vec<String> {
        fn look(directory: &Path, lines: &mut Vec<String>) {
            let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().collect();
            entries.sort_by_key(std::fs::DirEntry::path);
            for entry in entries {
                let path = entry.path();
                let found = path.symlink_metadata().unwrap();
                let text = if found.is_file() { std::fs::read(&path).unwrap() } else { vec![] };
                lines.push(format!(
                    "{} {:o} {}:{} {}.{} {:?}",
                    path.display(),
                    found.mode(),
                    found.uid(),
                    found.gid(),
                    found.mtime(),
                    found.mtime_nsec(),
                    String::from_utf8_lossy(&text)
                ));
                if found.is_dir() {
                    look(&path, lines);
                }
            }
        }
        let mut lines = Vec::new();
        look(&self.path, &mut lines);
        lines
    }

    /// Nothing of it changed, and nothing is mounted here in the host's view.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        assert_eq!(self.picture(), self.before);
        let bundle = self.path.parent().unwrap().to_str().unwrap().to_owned();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&bundle), "{mounts}");
    }

    /// The same, and nothing of it was shown.
    #[track_caller]
    pub(crate) fn is_unseen(&self, said: &Said) {
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(SECRET), "{text}");
        }
        self.is_untouched();
    }

    /// Link texts that lead here from a directory of the rootfs, absolute and by way of `..`.
    pub(crate) fn links(&self) -> [PathBuf; 3] {
        let path = self.path.to_str().unwrap();
        [
            self.path.clone(),
            format!("{}{path}", "../".repeat(20)).into(),
            format!("/proc/self/root{path}").into(),
        ]
    }
}

/// An engine whose containers run a shell script.
pub(crate) fn running(script: &str) -> Option<Engine> {
    let engine = Engine::new()?;
    engine.change(|config| config["process"]["args"] = json!(["sh", "-c", script]));
    Some(engine)
}

/// Runs the bundle's container to its end; both a start and a refusal are answers. Takes ten seconds
/// at most, wherever it hangs.
#[track_caller]
pub(crate) fn attempt(engine: &Engine, id: &str) -> Said {
    in_time(engine, engine.command(&["run", id]))
}

/// Calls the runtime, whose output goes to files; it may take ten seconds.
#[track_caller]
pub(crate) fn in_time(engine: &Engine, direct: Command) -> Said {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "10"]).arg(direct.get_program()).args(direct.get_args());
    command.current_dir(engine.bundle()).stdin(Stdio::null());
    let said = engine.call_command(command);
    assert!(![124, 137].contains(&said.status), "it hangs: {said:?}");
    said
}

/// Replaces something of the rootfs by a link.
pub(crate) fn replace_by_link(engine: &Engine, name: &str, target: &Path) {
    let path = engine.rootfs().join(name);
    let _ = std::fs::remove_dir_all(&path);
    let _ = std::fs::remove_file(&path);
    symlink(target, path).unwrap();
}

/// Leaves out the mounts at and below a destination.
pub(crate) fn without_mounts(config: &mut Value, destination: &str) {
    let below = format!("{destination}/");
    config["mounts"].as_array_mut().unwrap().retain(|mount| {
        let at = mount["destination"].as_str().unwrap();
        at != destination && !at.starts_with(&below)
    });
}

/// Adds a bind mount.
pub(crate) fn bind(config: &mut Value, source: &Path, destination: &str) {
    config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rw"],
    }));
}

/// How long a race is run.
const RACE: Duration = Duration::from_secs(2);

/// Exchanges two names on the host, over and over, while `body` is called again and again. Returns
/// how often it was called; the names were exchanged far more often than that.
#[track_caller]
pub(crate) fn race(one: &Path, other: &Path, mut body: impl FnMut(usize)) -> usize {
    let stop = AtomicBool::new(false);
    let swaps = AtomicUsize::new(0);
    let mut calls = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let exchange = RenameFlags::RENAME_EXCHANGE;
                if renameat2(cwd(), one, cwd(), other, exchange).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let begun = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while begun.elapsed() < RACE {
                body(calls);
                calls += 1;
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    let swaps = swaps.into_inner();
    assert!(swaps > 1000 && swaps > calls, "{swaps} exchanges for {calls} calls");
    calls
}
