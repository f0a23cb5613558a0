//! What a person can do about a step that failed, by step and errno.

use nix::errno::Errno;

use super::labels::Attribute;
use super::plan::Step;
use crate::diagnose::obstacles;
use crate::error::{Error, ErrorCode, NO_PROCESSES};
use crate::rootfs::host::PART_LAYER;
use crate::rootfs::mounts::{Fault, MountAction, PART_SOURCE, PART_TARGET};
use crate::rootfs::root::{PART_OVERLAY, PART_SKELETON};

/// The hint for a failed step, where there is something to say that the errno doesn't.
pub(super) fn for_step(step: &Step, fault: Fault) -> Option<String> {
    let text = match (step, fault.part, fault.errno) {
        (Step::AttachCgroups | Step::AttachMemory, 0, Errno::ENOMEM | Errno::EBUSY) => {
            "the memory limit is too small to start in"
        }
        // Whatever the step was: `Error::exhaustion` says what there is to say.
        (_, _, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => return None,
        (
            Step::MakeNamespaces | Step::UnshareCgroup | Step::TimeOffsets(_),
            0,
            Errno::ENOSPC | Errno::EUSERS,
        ) => obstacles::NO_NAMESPACES,
        (Step::Mount(_), 0, Errno::ENOSPC) => {
            "the limit on the mounts of one namespace is reached: `sysctl fs.mount-max`"
        }
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
        (Step::AttachHostRoot(_), _, Errno::ENOSPC) => {
            "the private layer is too small to start in; give it more with `--layer-size`"
        }
        (Step::AttachHostRoot(_), PART_LAYER.., Errno::ENOENT) => {
            "it was there a moment ago; something is mounted or unmounted while the container starts"
        }
        (Step::AttachHostRoot(_), 0, Errno::EBUSY) => {
            "a path that is to be hidden leads to `/`; nothing would be left"
        }
        (Step::Mount(plan), PART_TARGET, Errno::EACCES) if plan.create => {
            "the directory around the mount point belongs to a user that the container doesn't have, so nothing can be made in it; mount on a path that exists, or on one directly in `/`, `/tmp` or `$HOME`"
        }
        (Step::Mount(plan), PART_TARGET, Errno::EROFS) if plan.create => {
            "the mount point is missing where this machine's files can only be read; mount on a path that exists, or on one in `/tmp` or `$HOME`"
        }
        (Step::Mount(plan), PART_TARGET, Errno::ELOOP) if plan.kernel_files => {
            "/proc and /sys of a rootfs must be ordinary directories, not symbolic links"
        }
        (Step::Mount(plan), PART_SOURCE, Errno::EPERM) if plan.kernel_files => {
            "on /proc only the kernel's files of processes can be mounted: labels, limits and masks are lost in others"
        }
        (Step::Mount(plan), 0, Errno::EPERM) => return new_filesystem_hint(&plan.action),
        (Step::Device(_), PART_SOURCE, Errno::ENOENT) => {
            "in a user namespace a device is the host's, bound; the host has no such device"
        }
        (Step::Device(_), 0, Errno::ENODEV) => "what the host has at that path is another device",
        (Step::WriteOwnMaps { .. }, 0, Errno::EPERM | Errno::EACCES) => {
            return Some(obstacles::user_namespace(fault.errno));
        }
        (Step::DetachPropagation { .. } | Step::Mount(_), 0, Errno::EPERM | Errno::ENOSYS)
            if let Some(hint) = obstacles::mounting() =>
        {
            return Some(hint);
        }
        // Ubuntu 24.04 lets the namespace be made, and takes the capabilities in it away.
        (
            Step::DetachPropagation { .. }
            | Step::MakeNamespaces
            | Step::UnshareCgroup
            | Step::Hostname(_)
            | Step::LoopbackUp,
            0,
            Errno::EPERM | Errno::EACCES,
        ) if obstacles::apparmor_restricts_user_namespaces() => {
            return Some(obstacles::user_namespace(fault.errno));
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
        (Step::CpuAffinity(_), 0, Errno::EINVAL) => {
            "none of these CPUs is there, or none is among those that the cpuset allows"
        }
        (Step::MemoryPolicy(_), 0, Errno::EINVAL) => {
            "this mode doesn't go with these nodes or flags, or the nodes aren't there or not among those that the cpuset allows"
        }
        (Step::SecurityAttribute(Attribute::Profile(_)), 0, Errno::ENOENT) => {
            "no profile of that name is loaded: `aa-status` lists those that are"
        }
        (Step::SessionKeyring { .. }, 0, Errno::EDQUOT) => {
            "the user's key quota is spent; see /proc/key-users and `sysctl kernel.keys.maxkeys`"
        }
        (Step::Init, 0, Errno::EAGAIN) => {
            "the limit on processes leaves no room for the program beside the init"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn new_filesystem_hint(action: &MountAction) -> Option<String> {
    let MountAction::New { fs_type, .. } = action else { return None };
    match fs_type.to_bytes() {
        b"proc" => Some(obstacles::new_proc()),
        b"sysfs" => Some(obstacles::NEW_SYS.to_owned()),
        _ => None,
    }
}

/// The sentence for a clone with new namespaces that failed.
pub(super) fn clone_error(errno: Errno, operation: &str, object: &str) -> Error {
    let error = Error::new(ErrorCode::Namespace, operation, object).errno(errno);
    match errno {
        // ENOSYS: what filters of containers answer to clone3, whose flags they can't read.
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::ENOSPC | Errno::EUSERS => {
            Error { code: ErrorCode::UserNamespace, ..error }.hint(obstacles::user_namespace(errno))
        }
        Errno::EAGAIN => Error { code: ErrorCode::ResourceExhausted, ..error }.hint(NO_PROCESSES),
        _ => error.exhaustion(),
    }
}
