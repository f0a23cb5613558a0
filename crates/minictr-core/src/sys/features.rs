//! Which of the kernel's newer interfaces are there: one table, asked of the kernel once per process.
//!
//! Never by version number: distributions backport, and filters hide system calls. Each question is
//! a call with arguments that the kernel refuses before it does anything. What is essential is asked
//! for by [`missing_essential`] before a container starts; for the rest each caller has another way
//! that is as safe. Wrappers in this folder say ENOSYS for what the table says isn't there, so a test
//! that takes an interface away ([`take_away`]) takes all of its uses.

use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

/// An interface that some kernels lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Interface {
    /// `fsopen(2)`, `fsmount(2)`, `open_tree(2)`, `move_mount(2)`. Essential: a mount is a descriptor,
    /// so that nothing is mounted through a path which the rootfs could change.
    MountDescriptors,
    /// `openat2(2)`. Essential: nothing else walks a hostile tree without a race.
    Openat2,
    /// `clone3(2)`; else `clone(2)`, which knows fewer flags.
    Clone3,
    /// `CLONE_INTO_CGROUP`; else the child puts itself into its cgroup.
    CloneIntoCgroup,
    /// `mount_setattr(2)`; else a remount of each mount once it is attached. Without it no mount
    /// shifts ids.
    MountSetattr,
    /// `close_range(2)` with `CLOSE_RANGE_CLOEXEC`; else each descriptor by its number.
    CloseRange,
    /// `RESOLVE_CACHED` of `openat2(2)`; else another process opens what may hang.
    ResolveCached,
    /// `cgroup.kill` of cgroup v2; else a signal for each process until none is left.
    CgroupKill,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::MountDescriptors,
        Self::Openat2,
        Self::Clone3,
        Self::CloneIntoCgroup,
        Self::MountSetattr,
        Self::CloseRange,
        Self::ResolveCached,
        Self::CgroupKill,
    ];

    /// The name that messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MountDescriptors => "open_tree",
            Self::Openat2 => "openat2",
            Self::Clone3 => "clone3",
            Self::CloneIntoCgroup => "CLONE_INTO_CGROUP",
            Self::MountSetattr => "mount_setattr",
            Self::CloseRange => "close_range",
            Self::ResolveCached => "RESOLVE_CACHED",
            Self::CgroupKill => "cgroup.kill",
        }
    }

    /// The first version of Linux that has it.
    #[must_use]
    pub const fn since(self) -> &'static str {
        match self {
            Self::MountDescriptors => "5.2",
            Self::Openat2 => "5.6",
            Self::Clone3 => "5.3",
            Self::CloneIntoCgroup => "5.7",
            Self::MountSetattr | Self::ResolveCached => "5.12",
            Self::CloseRange => "5.11",
            Self::CgroupKill => "5.14",
        }
    }

    /// That it isn't there, as a clause for a message.
    #[must_use]
    pub fn absence(self) -> String {
        format!("this kernel has no `{}`, which Linux has since {}", self.name(), self.since())
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Asks the kernel.
    fn probe(self) -> bool {
        match self {
            Self::MountDescriptors => answers(libc::SYS_open_tree, [u64::MAX, 0, 0, 0, 0]),
            // A structure of no size is EINVAL.
            Self::Openat2 => answers(libc::SYS_openat2, [u64::MAX, 0, 0, 0, 0]),
            Self::Clone3 => answers(libc::SYS_clone3, [0, 0, 0, 0, 0]),
            Self::CloneIntoCgroup => super::clone::knows_into_cgroup(),
            Self::MountSetattr => answers(libc::SYS_mount_setattr, [u64::MAX, 0, 0, 0, 0]),
            // Of the last number alone, which is no descriptor's: nothing is closed or marked.
            Self::CloseRange => {
                const CLOSE_RANGE_CLOEXEC: u64 = 4;
                let last = u64::from(u32::MAX);
                outcome(libc::SYS_close_range, [last, last, CLOSE_RANGE_CLOEXEC, 0, 0]).is_ok()
            }
            // These say no themselves, each time: EINVAL, and a file that isn't there.
            Self::ResolveCached | Self::CgroupKill => true,
        }
    }
}

static ASKED: AtomicU32 = AtomicU32::new(0);
static PRESENT: AtomicU32 = AtomicU32::new(0);

/// Whether this kernel has an interface, as far as this process can use it. Allocates nothing.
#[must_use]
pub fn has(interface: Interface) -> bool {
    if ASKED.load(Ordering::Acquire) & interface.bit() == 0 {
        if interface.probe() {
            PRESENT.fetch_or(interface.bit(), Ordering::Relaxed);
        }
        ASKED.fetch_or(interface.bit(), Ordering::Release);
    }
    PRESENT.load(Ordering::Relaxed) & interface.bit() != 0
}

/// ENOSYS for an interface that isn't there.
pub(super) fn need(interface: Interface) -> Result<(), Errno> {
    if has(interface) { Ok(()) } else { Err(Errno::ENOSYS) }
}

/// Makes this process do without an interface, to try what it does on a kernel that lacks it. It can
/// only take away: what replaces an interface is as safe, or an error.
pub fn take_away(interface: Interface) {
    PRESENT.fetch_and(!interface.bit(), Ordering::Relaxed);
    ASKED.fetch_or(interface.bit(), Ordering::Release);
}

/// The first interface that no container can start without and that isn't there.
#[must_use]
pub fn missing_essential() -> Option<Interface> {
    [Interface::MountDescriptors, Interface::Openat2].into_iter().find(|needed| !has(*needed))
}

/// Whether a call that can't succeed is refused for its arguments rather than as unknown.
fn answers(call: libc::c_long, arguments: [u64; 5]) -> bool {
    outcome(call, arguments) != Err(Errno::ENOSYS)
}

fn outcome(call: libc::c_long, [a, b, c, d, e]: [u64; 5]) -> Result<(), Errno> {
    // SAFETY: the calls that `probe` makes pass null pointers or none, and the numbers of
    // descriptors that can't be open, so the kernel reads and changes nothing.
    Errno::result(unsafe { libc::syscall(call, a, b, c, d, e) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_interface_has_a_bit_of_its_own() {
        let all = Interface::ALL.iter().fold(0, |bits, interface| bits | interface.bit());
        assert_eq!(all.count_ones() as usize, Interface::ALL.len());
    }

    #[test]
    fn probes_change_nothing_and_agree_with_use() {
        use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
        // One that would be marked or closed.
        let inherited = open("/", OFlag::O_PATH, nix::sys::stat::Mode::empty()).unwrap();
        for interface in Interface::ALL {
            // Asked again, past what is remembered.
            assert_eq!(interface.probe(), has(interface), "{interface:?}");
        }
        assert_eq!(fcntl(&inherited, FcntlArg::F_GETFD), Ok(FdFlag::empty().bits()));
        let root = super::super::openat2::openat2(inherited.as_fd(), c".", libc::O_PATH, 0, 0);
        assert_eq!(root.is_ok(), has(Interface::Openat2));
    }
}
