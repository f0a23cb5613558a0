//! What the host has, found by trying, and the skips that follow.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{Uid, getpid};

/// Something that a test may need and a host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Effective user id 0.
    Root,
    /// Any other effective user id.
    Unprivileged,
    /// New user namespaces for this user.
    UserNamespaces,
    /// A writable cgroup v1 hierarchy with the memory controller.
    CgroupV1Memory,
    /// A writable cgroup v1 hierarchy with the pids controller.
    CgroupV1Pids,
    /// Cgroup v2 alone, with the memory controller, in which this process may make cgroups.
    CgroupV2,
    /// overlayfs on a temporary directory.
    Overlay,
    /// `/dev/fuse`, and the right to mount it.
    Fuse,
    /// A process that may raise a hard resource limit.
    ResourceCapability,
    /// Debian's static busybox, at `/bin/busybox`.
    Busybox,
    /// A kernel that runs AppArmor, and the program that loads profiles.
    AppArmor,
    /// CRIU, on a kernel that it works on.
    Criu,
    /// libseccomp's header, and a C compiler to use it.
    Libseccomp,
}

impl Feature {
    /// The name that skips print and `MINICTR_TEST_REQUIRE` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unprivileged => "unprivileged",
            Self::UserNamespaces => "user-namespaces",
            Self::CgroupV1Memory => "cgroup-v1-memory",
            Self::CgroupV1Pids => "cgroup-v1-pids",
            Self::CgroupV2 => "cgroup-v2",
            Self::Overlay => "overlay",
            Self::Fuse => "fuse",
            Self::ResourceCapability => "cap-sys-resource",
            Self::Busybox => "busybox",
            Self::AppArmor => "apparmor",
            Self::Criu => "criu",
            Self::Libseccomp => "libseccomp",
        }
    }

    /// Whether this host has it, for this user.
    #[must_use]
    pub fn present(self) -> bool {
        match self {
            Self::Root => Uid::effective().is_root(),
            Self::Unprivileged => !Uid::effective().is_root(),
            Self::UserNamespaces => succeeds("unshare", &["--user", "true"]),
            Self::CgroupV1Memory => can_make_cgroup("memory"),
            Self::CgroupV1Pids => can_make_cgroup("pids"),
            Self::CgroupV2 => own_cgroup("memory").is_none() && can_make_cgroup(""),
            Self::Overlay => fs::read_to_string("/proc/filesystems")
                .is_ok_and(|known| known.lines().any(|line| line.ends_with("\toverlay"))),
            Self::Fuse => Uid::effective().is_root() && fs::File::open("/dev/fuse").is_ok(),
            Self::ResourceCapability => effective_capabilities() & (1 << 24) != 0,
            Self::Busybox => Path::new("/bin/busybox").exists(),
            Self::AppArmor => {
                Path::new("/sys/kernel/security/apparmor/.replace").exists()
                    && succeeds("apparmor_parser", &["--version"])
            }
            Self::Criu => succeeds("criu", &["check"]),
            Self::Libseccomp => {
                Path::new("/usr/include/seccomp.h").exists() && succeeds("cc", &["--version"])
            }
        }
    }
}

/// Whether a test that needs the feature has to be left out; says so as [`skip`] does.
///
/// # Panics
/// Where `MINICTR_TEST_REQUIRE` asks for the feature.
#[must_use]
pub fn missing(feature: Feature) -> bool {
    let missing = !feature.present();
    if missing {
        skip(feature.name());
    }
    missing
}

/// Says that this test is left out because the host lacks something, by name, in the file that
/// `MINICTR_TEST_SKIPPED` names.
///
/// # Panics
/// Where `MINICTR_TEST_REQUIRE` (names separated by commas, or `all`) asks for it.
pub fn skip(lacking: &str) {
    let required = std::env::var("MINICTR_TEST_REQUIRE").unwrap_or_default();
    let wanted = required.split(',').any(|name| name == "all" || name == lacking);
    assert!(!wanted, "this host lacks `{lacking}`, which MINICTR_TEST_REQUIRE asks for");
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let line = format!("{test}: needs {lacking}\n");
    // the file that the test runner counts skips in; one write a line, tests are threads
    if let Some(path) = std::env::var_os("MINICTR_TEST_SKIPPED") {
        let log = fs::OpenOptions::new().append(true).open(path);
        log.and_then(|mut log| log.write_all(line.as_bytes())).expect("the skip can be noted");
    }
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn effective_capabilities() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}

/// Where this process is in the hierarchy of a v1 controller, or (`""`) in the v2 one.
pub(crate) fn own_cgroup(controller: &str) -> Option<std::path::PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        names.split(',').any(|name| name == controller).then_some(path)
    })?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = filesystem.split(' ');
        let kind = fields.next()?;
        let options = fields.nth(1)?;
        let wanted = if controller.is_empty() {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|option| option == controller)
        };
        let point = mount.split(' ').nth(4)?;
        wanted.then(|| Path::new(point).join(path.trim_start_matches('/')))
    })
}

fn can_make_cgroup(controller: &str) -> bool {
    // Tests are threads, and ask at the same time.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    own_cgroup(controller).is_some_and(|own| {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let trial = own.join(format!("minictr-testkit-{}-{count}", getpid()));
        fs::create_dir(&trial).is_ok() && fs::remove_dir(&trial).is_ok()
    })
}
