//! A bundle, a runtime root, and the runtime as an engine calls it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};

/// The runtime that is tested: beside the test's own executable, which another user runs a copy of.
pub fn runtime() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_minictr-oci"));
    let own = std::env::current_exe().unwrap();
    let beside = own.ancestors().nth(2).unwrap().join(built.file_name().unwrap());
    if beside.exists() { beside } else { built.to_owned() }
}

/// A directory with a bundle and a runtime root, removed with its containers at the end of the test.
pub struct Engine {
    pub path: PathBuf,
    program: PathBuf,
}

/// How a call of the runtime ended.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The call succeeded, and said nothing on standard error.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The call failed with a sentence that has these words in it.
    #[track_caller]
    pub fn failed_with(self, words: &str) {
        assert_ne!(self.status, 0, "it should have failed: {}", self.stdout);
        assert!(self.stderr.contains(words), "`{words}` isn't in: {}", self.stderr);
    }
}

impl Engine {
    /// With Debian's static busybox as rootfs; `None` where this user can't have the container of
    /// the bundle.
    pub fn new() -> Option<Self> {
        if missing(Feature::Busybox) || missing(Feature::UserNamespaces) {
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("minictr-test-oci-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let rootfs = path.join("bundle/rootfs");
        for directory in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            // a container's root needn't be root outside
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o755).create(rootfs.join(directory)).unwrap();
        }
        std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "id", "sleep", "true", "echo", "grep", "kill", "ps"] {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        let engine = Self { path, program: runtime() };
        let rootless = !Feature::Root.present();
        let mut arguments = vec!["spec", "--bundle"];
        let bundle = engine.bundle().to_str().unwrap().to_owned();
        arguments.push(&bundle);
        if rootless {
            arguments.push("--rootless");
        }
        engine.call(&arguments).well();
        engine.change(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(["sleep", "300"]);
            config["linux"]["resources"] = json!({});
        });
        Some(engine)
    }

    /// The same runtime under another name.
    pub fn named(mut self, name: &str) -> Self {
        self.program = self.path.join(name);
        symlink(runtime(), &self.program).unwrap();
        self
    }

    /// Another executable of the same runtime.
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    pub fn bundle(&self) -> PathBuf {
        self.path.join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path.join("bundle/rootfs")
    }

    pub fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    pub fn config(&self) -> Value {
        let json = std::fs::read(self.bundle().join("config.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    /// Changes the bundle's config.
    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        std::fs::write(self.bundle().join("config.json"), config.to_string()).unwrap();
    }

    /// The runtime with these arguments behind `--root`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root()).args(arguments);
        command.stdin(Stdio::null()).current_dir(self.bundle());
        command
    }

    /// Calls the runtime; its output goes to files, since a container keeps a pipe open.
    pub fn call(&self, arguments: &[&str]) -> Said {
        self.call_command(self.command(arguments))
    }

    pub fn call_command(&self, mut command: Command) -> Said {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.path.join(format!("{name}-{number}"));
        let create = |name: &str| std::fs::File::create(file(name)).unwrap();
        command.stdout(create("out")).stderr(create("err"));
        let status = command.status().unwrap();
        let read =
            |name: &str| String::from_utf8_lossy(&std::fs::read(file(name)).unwrap()).into_owned();
        Said { status: status.code().unwrap_or(-1), stdout: read("out"), stderr: read("err") }
    }

    /// Creates the bundle's container.
    #[track_caller]
    pub fn create(&self, id: &str) {
        self.call(&["create", id]).well();
    }

    /// Creates and starts the bundle's container.
    #[track_caller]
    pub fn start(&self, id: &str) {
        self.create(id);
        self.call(&["start", id]).well();
    }

    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.call(&["state", id]).well()).unwrap()
    }

    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    /// Waits for a status; a process that was killed takes a moment to be gone.
    #[track_caller]
    pub fn wait_for(&self, id: &str, status: &str) {
        wait_until(|| self.status(id) == status);
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let said = self.call(&["delete", "--force", &name]);
            if said.status != 0 && !std::thread::panicking() {
                panic!("`{name}` is left: {}", said.stderr);
            }
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Waits until something is so, for ten seconds at most.
#[track_caller]
pub fn wait_until(mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs.
pub fn runs(pid: i64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ") && !status.contains("State:\tX")
}

impl Engine {
    /// Cgroups of a container, of this user and version or any other.
    pub fn cgroups(&self, id: &str) -> Vec<PathBuf> {
        fn look(directory: &Path, start: &str, depth: usize, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < 6 {
                    if entry.file_name().to_string_lossy().starts_with(start) {
                        found.push(entry.path());
                    }
                    look(&entry.path(), start, depth + 1, found);
                }
            }
        }
        let mut found = Vec::new();
        look(Path::new("/sys/fs/cgroup"), &format!("minictr-{id}-"), 0, &mut found);
        found
    }

    /// An id that no other test has.
    pub fn unique_id(&self) -> String {
        self.path.file_name().unwrap().to_string_lossy().replace("minictr-test-oci", "unique")
    }
}
