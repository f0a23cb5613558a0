//! Makes this process's own executable unreachable before a container could reach for it.
//!
//! A container can make us execute `/proc/self/exe`, or look at a process of ours that joins it; if
//! the file behind that link were the one on disk, root in a container could overwrite it
//! (CVE-2019-5736). So the process executes itself once more: from a detached read-only mount of the
//! file where it has the privilege, which costs nothing to make, otherwise from sealed memory.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use minictr_core::error::{Context, Error, ErrorCode, Result};
use minictr_core::spawner::image::{self, Image};
use minictr_core::sys::mount::{
    MOUNT_ATTR_RDONLY, MountAttr, OPEN_TREE_CLONE, mount_setattr, open_tree,
};
use minictr_core::sys::openat2::cwd;
use minictr_core::sys::process::{CStringArray, execve_fd};
use nix::errno::Errno;

/// Does what [`executable`] does where nothing is there yet that doing it twice would cost: before the
/// arguments are parsed. What keeps it from that is told by [`executable`].
pub(crate) fn early() {
    if let Ok(false) = is_protected()
        && let Ok(mount) = read_only_mount()
    {
        execve_fd(mount.as_fd(), &arguments(), &environment());
    }
}

/// Returns once this process runs from a file that nobody can write; by executing it again where it
/// doesn't yet.
pub(crate) fn executable() -> Result<()> {
    if is_protected()? {
        return Ok(());
    }
    if let Ok(mount) = read_only_mount() {
        execve_fd(mount.as_fd(), &arguments(), &environment());
    }
    let image = Image::load(Path::new("/proc/self/exe"))?;
    if let Some(memory) = image.memory() {
        let errno = execve_fd(memory.as_fd(), &arguments(), &environment());
        return Err(Error::new(ErrorCode::Security, "execute", "a sealed copy of this program")
            .errno(errno));
    }
    Err(image::unprotected())
}

/// Whether nobody can write the file that this process runs from. Once so, always so.
fn is_protected() -> Result<bool> {
    static PROTECTED: OnceLock<()> = OnceLock::new();
    if PROTECTED.get().is_some() {
        return Ok(true);
    }
    let own = File::open("/proc/self/exe").context(
        ErrorCode::Security,
        "open",
        "this process's own executable",
    )?;
    let protected = image::is_unwritable(&own);
    if protected {
        PROTECTED.get_or_init(|| ());
    }
    Ok(protected)
}

fn arguments() -> CStringArray {
    strings(std::env::args_os())
}

fn environment() -> CStringArray {
    strings(std::env::vars_os().map(|(name, value)| {
        let mut entry = name;
        entry.push("=");
        entry.push(value);
        entry
    }))
}

fn read_only_mount() -> Result<OwnedFd, Errno> {
    let mount = open_tree(cwd(), c"/proc/self/exe", OPEN_TREE_CLONE)?;
    let attr = MountAttr { attr_set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(mount.as_fd(), 0, &attr)?;
    Ok(mount)
}

fn strings(list: impl Iterator<Item = std::ffi::OsString>) -> CStringArray {
    use std::os::unix::ffi::OsStringExt;
    CStringArray::new(
        list.filter_map(|text| std::ffi::CString::new(text.into_vec()).ok()).collect(),
    )
}
