//! What on a machine stands in the way of containers, and what takes it away: one sentence each.
//!
//! The hints of a start that fails and the fixes that `minictr doctor` names come from here, so that
//! they are the same. Read after a failure only: a look into a few files of /proc.

use nix::errno::Errno;
use nix::mount::MntFlags;
use nix::unistd::geteuid;

use crate::rootfs::subids;
use crate::sys::files;

/// What decides whether user namespaces can be made, `user_namespaces(7)`.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    root: bool,
    /// The kernel has no such file where it is built without them.
    no_user_namespaces: bool,
    /// `kernel.unprivileged_userns_clone`, which Debian's kernels have.
    unprivileged_clone: Option<u64>,
    /// `user.max_user_namespaces` of this user namespace.
    maximum: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu's kernels have.
    apparmor_restricts: bool,
    /// A filter of system calls holds for this process.
    filtered: bool,
    chrooted: bool,
    /// In a container of Docker's or Podman's, each of which leaves a file there.
    engine_left_its_mark: bool,
}

fn sysctl(name: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}

/// The mount points that this process sees, `proc_pid_mountinfo(5)`.
fn mount_points() -> Option<Vec<String>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    Some(text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect())
}

/// Whether Ubuntu's restriction of user namespaces holds for this process, so that a profile must
/// match the path of the program that makes one.
#[must_use]
pub fn apparmor_restricts_user_namespaces() -> bool {
    !geteuid().is_root() && sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1)
}

impl Surroundings {
    fn look() -> Self {
        let exists = |path: &str| std::path::Path::new(path).exists();
        Self {
            root: geteuid().is_root(),
            no_user_namespaces: exists("/proc/self/ns") && !exists("/proc/self/ns/user"),
            unprivileged_clone: sysctl("kernel/unprivileged_userns_clone"),
            maximum: sysctl("user/max_user_namespaces"),
            apparmor_restricts: apparmor_restricts_user_namespaces(),
            filtered: status_field("Seccomp:").as_deref() == Some("2"),
            // Mounts above this process's root aren't listed.
            chrooted: mount_points()
                .is_some_and(|points| !points.is_empty() && !points.iter().any(|at| at == "/")),
            engine_left_its_mark: exists("/.dockerenv") || exists("/run/.containerenv"),
        }
    }

    fn user_namespace(&self, errno: Errno) -> String {
        if self.no_user_namespaces {
            return "this kernel is built without user namespaces (`CONFIG_USER_NS`)".to_owned();
        }
        if self.maximum == Some(0) {
            return "user namespaces are switched off: `sudo sysctl -w user.max_user_namespaces=15000` switches them on, and a line in /etc/sysctl.d keeps it so".to_owned();
        }
        if errno == Errno::ENOSPC {
            return NO_NAMESPACES.to_owned();
        }
        if self.unprivileged_clone == Some(0) && !self.root {
            return "users may not make user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1` lets them, and a line in /etc/sysctl.d keeps it so".to_owned();
        }
        if self.chrooted {
            return "nobody can make a user namespace in a chroot: run minictr outside of it"
                .to_owned();
        }
        if self.apparmor_restricts && (errno == Errno::EACCES || !self.filtered) {
            return APPARMOR.to_owned();
        }
        if self.filtered {
            return self.filter("user namespaces");
        }
        "something forbids user namespaces, perhaps a security module: see `dmesg`".to_owned()
    }

    /// The sentence about a filter of system calls.
    fn filter(&self, what: &str) -> String {
        const ENGINES: &str =
            "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`";
        if self.engine_left_its_mark {
            return format!(
                "the system call filter of this container forbids {what}: start it with {ENGINES}"
            );
        }
        format!(
            "a system call filter forbids {what}, as in a container: start the outer one with `--security-opt nesting` (minictr), or {ENGINES} (Docker, Podman)"
        )
    }
}

const APPARMOR: &str = "AppArmor keeps user namespaces from programs without a profile, as on Ubuntu: `minictr doctor --apparmor-profile | sudo tee /etc/apparmor.d/minictr`, then `sudo apparmor_parser -r /etc/apparmor.d/minictr`";

/// Why a user namespace, or what it takes to use one, can't be had.
#[must_use]
pub fn user_namespace(errno: Errno) -> String {
    Surroundings::look().user_namespace(errno)
}

/// Why nothing at all can be mounted, where a filter of system calls is the reason.
#[must_use]
pub fn mounting() -> Option<String> {
    // A flag that doesn't exist is refused before any privilege is asked for (EINVAL); a filter
    // answers before that.
    let unknown = MntFlags::from_bits_retain(1 << 30);
    let answer = nix::mount::umount2(c"", unknown);
    let filtered = matches!(answer, Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS));
    filtered.then(|| Surroundings::look().filter("mounting"))
}

/// Why a new procfs is refused: something covers a part of the one that is there, and the kernel
/// shows nobody more by a new mount than by the old (`mount_too_revealing()` in its fs/namespace.c).
#[must_use]
pub fn new_proc() -> String {
    if let Some(filter) = mounting() {
        return filter;
    }
    let covered: Vec<String> = mount_points()
        .unwrap_or_default()
        .into_iter()
        .filter(|at| at.starts_with("/proc/"))
        .map(|at| format!("`{at}`"))
        .collect();
    proc_sentence(&covered)
}

fn proc_sentence(covered: &[String]) -> String {
    match covered {
        [] => "a new /proc needs a pid namespace of the container's own, and a whole /proc outside"
            .to_owned(),
        some => format!(
            "the kernel allows a new /proc only where the old one isn't partly covered, as this one is ({}{}): give the outer container a whole one, by `--security-opt nesting` (minictr) or `--security-opt systempaths=unconfined` (Docker, Podman)",
            some[..some.len().min(3)].join(", "),
            if some.len() > 3 { ", …" } else { "" },
        ),
    }
}

/// Why a new sysfs is refused.
pub const NEW_SYS: &str = "a new /sys needs a network namespace of the container's own, and an outer /sys that isn't partly covered";

/// Why this process's own executable can't be kept from containers.
pub const MEMORY_EXECUTION: &str = "this machine forbids executing memory (`vm.memfd_noexec`), and nothing else keeps this user's own file from containers: `sudo sysctl -w vm.memfd_noexec=1` allows it to programs that ask for it; or install minictr as root, for everybody";

/// What gives a user subordinate ids.
#[must_use]
pub fn subordinate_ids(uid: u32) -> String {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ids: u64 = map
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok())
        .sum();
    if (1..65_536).contains(&ids) {
        return "the user namespace around this process has no ids to give: start the outer container as root or with `--userns auto`".to_owned();
    }
    let name = subids::user_name(uid).unwrap_or_else(|| uid.to_string());
    let first = subids::first_free();
    let last = u64::from(first) + 65_535;
    format!(
        "this user has none in /etc/subuid and /etc/subgid: `sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {name}`"
    )
}

/// What gives this process a cgroup that it may write.
#[must_use]
pub fn cgroup(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::EROFS) => {
            "the cgroups here are read-only, as in a container: limit the outer container instead"
        }
        _ => {
            "this user may not make cgroups: run as root, or in a delegated cgroup, such as `systemd-run --user --scope -p Delegate=yes …` gives on a machine with cgroup v2"
        }
    }
}

/// What to do where the kernel has no namespace more of some kind.
pub(crate) const NO_NAMESPACES: &str =
    "the limit on namespaces is reached: look at `sysctl user.max_user_namespaces` and its like";

/// What brings `newuidmap` and `newgidmap`.
pub const MAP_HELPER_MISSING: &str =
    "it comes with the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)";

/// Why `newuidmap` or `newgidmap` may not write a map.
#[must_use]
pub fn map_helper(program: &str) -> String {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    if status_field("NoNewPrivs:").as_deref() == Some("1") {
        return format!(
            "this process runs with no_new_privs, as under `NoNewPrivileges=` of systemd or in a container, so `{program}` gains no privilege"
        );
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|at| at.join(program)).find(|at| at.is_file());
    if let Some(found) = found {
        let set_user_id =
            std::fs::metadata(&found).is_ok_and(|meta| meta.permissions().mode() & 0o4000 != 0);
        let has_capabilities = std::fs::File::open(&found)
            .is_ok_and(|file| files::get_attribute(file.as_fd(), c"security.capability").is_ok());
        if !set_user_id && !has_capabilities {
            let found = found.display();
            return format!(
                "`{found}` has lost its privilege: `sudo chmod u+s {found}`, or reinstall its package"
            );
        }
    }
    "the ranges must be this user's in /etc/subuid and /etc/subgid".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut Surroundings)) -> Surroundings {
        let mut surroundings = Surroundings { maximum: Some(1000), ..Surroundings::default() };
        change(&mut surroundings);
        surroundings
    }

    #[test]
    fn ubuntus_restriction_is_named_with_the_way_out() {
        // Ubuntu 24.04: the clone succeeds, and writing the maps is what fails.
        let ubuntu = of(|s| s.apparmor_restricts = true);
        for errno in [Errno::EPERM, Errno::EACCES] {
            assert!(ubuntu.user_namespace(errno).contains("doctor --apparmor-profile"));
        }
        // In a container on it, the filter comes first.
        let inside = of(|s| (s.apparmor_restricts, s.filtered) = (true, true));
        assert!(inside.user_namespace(Errno::EPERM).contains("nesting"));
    }

    #[test]
    fn debians_switch_is_no_reason_for_root() {
        let user = of(|s| s.unprivileged_clone = Some(0));
        assert!(user.user_namespace(Errno::EPERM).contains("unprivileged_userns_clone=1"));
        let root = of(|s| (s.unprivileged_clone, s.root) = (Some(0), true));
        assert!(!root.user_namespace(Errno::EPERM).contains("unprivileged_userns_clone"));
    }

    #[test]
    fn docker_is_told_by_its_own_options_alone() {
        let docker = of(|s| (s.filtered, s.engine_left_its_mark) = (true, true));
        let said = docker.user_namespace(Errno::EPERM);
        assert!(said.contains("seccomp=unconfined") && !said.contains("nesting"));
    }

    #[test]
    fn a_switched_off_limit_is_told_from_one_that_is_reached() {
        let off = of(|s| s.maximum = Some(0));
        assert!(off.user_namespace(Errno::ENOSPC).contains("switched off"));
        assert!(of(|_| ()).user_namespace(Errno::ENOSPC).contains("reached"));
    }

    #[test]
    fn what_covers_proc_is_named() {
        let covered: Vec<String> =
            ["a", "b", "c", "d"].map(|name| format!("`/proc/{name}`")).into();
        assert!(proc_sentence(&covered).contains("(`/proc/a`, `/proc/b`, `/proc/c`, …)"));
        assert!(proc_sentence(&covered[..1]).contains("(`/proc/a`)"));
    }
}
