//! What a person can do about a step that failed, by step and errno.

use nix::errno::Errno;

use super::plan::Step;
use crate::error::{Error, ErrorCode};
use crate::rootfs::mounts::{Fault, MountAction, PART_SOURCE, PART_TARGET};
use crate::rootfs::root::{PART_OVERLAY, PART_SKELETON};

/// The hint for a failed step, where there is something to say that the errno doesn't.
pub(super) fn for_step(step: &Step, fault: Fault) -> Option<String> {
    let text = match (step, fault.part, fault.errno) {
        (Step::Join { .. }, 0, Errno::EINVAL) => {
            "the path isn't a namespace of that kind, such as /proc/PID/ns/net, or this process is in it already"
        }
        (Step::Join { .. }, 0, Errno::EPERM) => {
            "joining a namespace needs root, or the privilege over the user namespace that owns it"
        }
        (Step::AttachRoot(_), PART_SOURCE, Errno::ENOENT) => {
            "the rootfs is a directory with the container's files, such as one that `minictr deploy` makes"
        }
        (Step::AttachRoot(_), PART_SOURCE, Errno::EACCES) => {
            "this user may not look into the directory; check the permissions of every directory above it"
        }
        (Step::AttachRoot(_), PART_TARGET, Errno::ENOTDIR) => "a rootfs is a directory, not a file",
        (Step::AttachRoot(_), PART_OVERLAY, _) => {
            "this kernel or filesystem allows no overlay here; run without `--overlay`, or copy the rootfs to a local filesystem"
        }
        (Step::AttachRoot(_), PART_SKELETON, Errno::E2BIG) => {
            "a directory with more than 4096 entries lacks a mount point; make the directory that is to be mounted on"
        }
        (Step::Mount(plan), PART_TARGET, Errno::ENOENT) if !plan.create => {
            "the mount point doesn't exist, and nothing is made in directories of yours; make it on the host first"
        }
        (Step::Mount(plan), PART_TARGET, Errno::ELOOP) if plan.ordinary_directory => {
            "/proc and /sys of a rootfs must be ordinary directories, not symbolic links"
        }
        (Step::Mount(plan), 0, Errno::EPERM) => return new_filesystem_hint(&plan.action),
        (Step::Device(_), PART_SOURCE, Errno::ENOENT) => {
            "in a user namespace a device is the host's, bound; the host has no such device"
        }
        (Step::Device(_), 0, Errno::ENODEV) => "what the host has at that path is another device",
        (Step::WriteOwnMaps { .. }, 0, Errno::EPERM | Errno::EACCES) => {
            "something on this machine restricts user namespaces; on Ubuntu it is `sysctl kernel.apparmor_restrict_unprivileged_userns`"
        }
        (Step::EnterRoot { .. }, 0, Errno::EINVAL) => {
            "pivot_root doesn't work where `/` is an initramfs; run from a mounted root filesystem"
        }
        (Step::Chdir(_), 0, Errno::ENOENT) => "the working directory must exist in the container",
        (Step::Chdir(_), 0, Errno::EACCES) => {
            "the container's user may not enter the working directory"
        }
        (Step::Sysctl { .. }, 0, Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
            "only parameters of the container's own namespaces can be set: net.*, kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*"
        }
        (Step::SetIds { .. }, 0, Errno::EINVAL) => "the user isn't among the container's ids",
        (Step::SetCapabilities { .. }, 0, Errno::EPERM) => {
            "the caller hasn't all of the capabilities that the container is to have"
        }
        (Step::SessionKeyring { .. }, 0, Errno::EDQUOT) => {
            "the user's key quota is spent; see /proc/key-users and `sysctl kernel.keys.maxkeys`"
        }
        (Step::Init, 0, Errno::EAGAIN) => {
            "the limit on processes leaves no room for the program beside the init"
        }
        (Step::AttachCgroups, 0, Errno::ENOMEM | Errno::EBUSY) => {
            "the memory limit is too small to start in"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn new_filesystem_hint(action: &MountAction) -> Option<String> {
    let MountAction::New { fs_type, .. } = action else { return None };
    let text = match fs_type.to_bytes() {
        b"proc" => {
            "the kernel allows a new /proc only where the old one isn't partly covered, as it is inside other containers; give the outer container an uncovered /proc (Docker: `--security-opt systempaths=unconfined`), and a pid namespace to this one"
        }
        b"sysfs" => {
            "a new /sys needs a network namespace of the container's own, and an outer /sys that isn't partly covered"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// The sentence for a clone that failed.
pub(super) fn clone_error(errno: Errno) -> Error {
    let error = Error::new(ErrorCode::Namespace, "make", "the container's namespaces").errno(errno);
    match errno {
        Errno::EPERM => Error { code: ErrorCode::UserNamespace, ..error }.hint(
            "user namespaces are forbidden here: look at `sysctl kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns`; inside Docker its seccomp profile forbids them",
        ),
        Errno::ENOSPC => Error { code: ErrorCode::UserNamespace, ..error }.hint(
            "the limit on namespaces is reached: look at `sysctl user.max_user_namespaces` and its like",
        ),
        Errno::EAGAIN => Error { code: ErrorCode::ResourceExhausted, ..error }
            .hint("the limit on processes is reached: `ulimit -u`, or the pids cgroup that this process is in"),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
            Error { code: ErrorCode::ResourceExhausted, ..error }
        }
        _ => error,
    }
}
