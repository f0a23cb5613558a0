//! Private layers: overlays whose upper halves lie on one tmpfs of a bounded size.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat, mkdirat};
use nix::unistd::fchdir;

use super::paths;
use crate::sys::{files, mount};

/// How much the private layers of a container hold where nothing else is said: enough for a build,
/// and no way to fill the machine's memory. Bytes.
const DEFAULT_BYTES: u64 = 1 << 30;
/// Bytes for each file: what a full layer of small files costs the kernel besides stays bounded too.
const BYTES_PER_INODE: u64 = 4096;

/// Most that the private layers of a container hold together.
#[derive(Clone, Debug)]
pub struct LayerLimits {
    bytes: CString,
    inodes: CString,
}

impl LayerLimits {
    /// Limits for a size in bytes; 1 GiB where none is given. There is a file for each 4 KiB.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Self {
        let bytes = bytes.unwrap_or(DEFAULT_BYTES);
        let inodes = (bytes / BYTES_PER_INODE).max(64);
        let number = |value: u64| CString::new(value.to_string()).unwrap_or_default();
        Self { bytes: number(bytes), inodes: number(inodes) }
    }
}

/// Whether a directory of what lies below can be removed in a private layer. The kernel marks what
/// comes in its place with an attribute of the kind `user.`, `overlayfs.rst` on `userxattr`; memory
/// keeps such since Linux 6.6. Nothing is changed by asking; where that fails, the answer is yes.
#[must_use]
pub fn layer_loses_directories() -> bool {
    let Ok(memory) = memfd_create(c"minictr-layer", MFdFlags::MFD_CLOEXEC) else { return true };
    files::set_attribute(memory.as_fd(), c"user.minictr", b"y") != Err(Errno::EOPNOTSUPP)
}

/// A detached tmpfs.
pub(super) fn new_tmpfs(
    mode: &CStr,
    limits: Option<&LayerLimits>,
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    let context = mount::fsopen(c"tmpfs")?;
    mount::fsconfig_string(context.as_fd(), c"mode", mode)?;
    if let Some(limits) = limits {
        mount::fsconfig_string(context.as_fd(), c"size", &limits.bytes)?;
        mount::fsconfig_string(context.as_fd(), c"nr_inodes", &limits.inodes)?;
    }
    mount::fsconfig_create(context.as_fd())?;
    mount::fsmount(context.as_fd(), attributes)
}

/// What of an overlay can be written before it is made.
#[derive(Debug)]
pub(super) struct Halves {
    /// What is written lands here; what is here is there from the beginning.
    pub(super) upper: OwnedFd,
    /// Lies under the upper half and over the lower one. Nobody can write to it afterwards.
    pub(super) between: OwnedFd,
}

/// The tmpfs of a container's private layers, while they are made.
#[derive(Debug)]
pub(super) struct PrivateLayers {
    tmpfs: OwnedFd,
    made: usize,
}

impl PrivateLayers {
    /// Makes it and attaches it to `below`: overlayfs takes paths, and only what is attached has one.
    pub(super) fn attach(below: BorrowedFd<'_>, limits: &LayerLimits) -> Result<Self, Errno> {
        let tmpfs = new_tmpfs(c"0755", Some(limits), 0)?;
        mount::move_mount(tmpfs.as_fd(), below)?;
        Ok(Self { tmpfs, made: 0 })
    }

    /// The top of the tmpfs, which no container sees.
    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.tmpfs.as_fd()
    }

    /// A detached overlay over `lower`, a mount without any below it, which is moved here for it.
    pub(super) fn over(&mut self, lower: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let names = self.make_halves(lower)?;
        self.merge(lower, &names, &names.under)
    }

    /// The same, where `fill` may first put things into the upper half, and into one between the two;
    /// it says whether there is to be that one.
    pub(super) fn over_filled(
        &mut self,
        lower: BorrowedFd<'_>,
        fill: impl FnOnce(&Halves) -> Result<bool, Errno>,
    ) -> Result<OwnedFd, Errno> {
        let names = self.make_halves(lower)?;
        let between = numbered("between", self.made)?;
        mkdirat(&self.tmpfs, between.as_c_str(), HALF_MODE)?;
        let directory = libc::O_PATH | libc::O_DIRECTORY;
        let between_used = fill(&Halves {
            upper: paths::open_entry(self.top(), &names.upper, directory)?,
            between: paths::open_entry(self.top(), &between, directory)?,
        })?;
        if !between_used {
            return self.merge(lower, &names, &names.under);
        }
        let lowers = [between.to_bytes(), names.under.to_bytes()].join(&b':');
        self.merge(lower, &names, &CString::new(lowers).map_err(|_| Errno::EINVAL)?)
    }

    fn make_halves(&mut self, lower: BorrowedFd<'_>) -> Result<Names, Errno> {
        self.made += 1;
        let name = |half: &str| numbered(half, self.made);
        let names = Names { upper: name("upper")?, work: name("work")?, under: name("lower")? };
        for half in [&names.upper, &names.work, &names.under] {
            mkdirat(&self.tmpfs, half.as_c_str(), HALF_MODE)?;
        }
        // Mode and owner of a merged directory are the upper half's.
        let mode = Mode::from_bits_truncate(fstat(lower)?.st_mode & 0o7777);
        fchmodat(&self.tmpfs, names.upper.as_c_str(), mode, FchmodatFlags::FollowSymlink)?;
        Ok(names)
    }

    /// `lowers` are the names of what lies under the upper half, the uppermost first.
    fn merge(&self, lower: BorrowedFd<'_>, names: &Names, lowers: &CStr) -> Result<OwnedFd, Errno> {
        let directory = libc::O_PATH | libc::O_DIRECTORY;
        let target = paths::open_entry(self.top(), &names.under, directory)?;
        mount::move_mount(lower, target.as_fd())?;
        // Relative names from the layer's root: overlay(5) options are paths, and these need no
        // look-up through anything that a rootfs could hold.
        fchdir(&self.tmpfs)?;
        let context = mount::fsopen(c"overlay")?;
        mount::fsconfig_string(context.as_fd(), c"lowerdir", lowers)?;
        mount::fsconfig_string(context.as_fd(), c"upperdir", &names.upper)?;
        mount::fsconfig_string(context.as_fd(), c"workdir", &names.work)?;
        match mount::fsconfig_flag(context.as_fd(), c"userxattr") {
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
        mount::fsconfig_create(context.as_fd())?;
        mount::fsmount(context.as_fd(), 0)
    }
}

/// Directories of one overlay, by their names on the tmpfs.
struct Names {
    upper: CString,
    work: CString,
    under: CString,
}

const HALF_MODE: Mode = Mode::from_bits_truncate(0o755);

fn numbered(name: &str, number: usize) -> Result<CString, Errno> {
    CString::new(format!("{name}{number}")).map_err(|_| Errno::EINVAL)
}
