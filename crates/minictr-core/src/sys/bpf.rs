//! Programs that decide about devices for a cgroup. `bpf(2)`.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// One instruction, `Documentation/bpf/standardization/instruction-set.rst`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub op: u8,
    /// The target in the low four bits, the source in the high ones.
    pub registers: u8,
    /// Of a field, or of a jump in instructions.
    pub offset: i16,
    /// A number to work with.
    pub number: i32,
}

impl Instruction {
    /// An instruction on a target and a source register, each 0 to 10.
    #[must_use]
    pub const fn new(op: u8, target: u8, source: u8, offset: i16, number: i32) -> Self {
        // The two are bit fields in C, laid out the other way round on big-endian machines, for
        // which this is not built.
        Self { op, registers: target | source << 4, offset, number }
    }
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Others may be attached beside it, above and below.
const ALLOW_MULTI: u32 = 1 << 1;
/// Linux 5.6.
const REPLACE: u32 = 1 << 2;

/// Programs of one cgroup that are looked at; the kernel lets 64 be attached.
const MAX_ATTACHED: usize = 64;

/// Loads a program.
///
/// # Errors
/// EPERM without `CAP_BPF` and `CAP_NET_ADMIN`, EINVAL or EACCES for one that the kernel refuses,
/// E2BIG for one that takes too long to check.
pub fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
    }
    const LICENSE: &CStr = c"MIT";
    let attributes = Attributes {
        program_type: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"minictr_devices\0",
    };
    // SAFETY: attributes is a live prefix of `union bpf_attr` as PROG_LOAD takes it, of the size
    // given with it. The program it points to is `count` instructions in the kernel's layout, and
    // the license a NUL-terminated string; both outlive the call, which copies them.
    unsafe { call_for_fd(PROG_LOAD, &attributes) }
}

#[repr(C)]
struct Attachment {
    cgroup: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

fn attachment(
    command: libc::c_int,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    flags: u32,
    replaced: u32,
) -> Result<(), Errno> {
    let attributes = Attachment {
        cgroup: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        flags,
        replaced,
    };
    // SAFETY: attributes is a live prefix of `union bpf_attr` as PROG_ATTACH and PROG_DETACH take
    // it, and holds no pointers.
    unsafe { call(command, &attributes) }.map(drop)
}

/// Puts a program in force for a cgroup beside those that are.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN`, or below a cgroup whose program allows no others.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    attachment(PROG_ATTACH, cgroup, program, ALLOW_MULTI, 0)
}

/// Puts a program in force in the place of another, at once.
///
/// # Errors
/// EINVAL before Linux 5.6, ENOENT where the other isn't in force.
pub fn replace_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let old = replaced.as_raw_fd() as u32;
    attachment(PROG_ATTACH, cgroup, program, ALLOW_MULTI | REPLACE, old)
}

/// Ends a program's force.
///
/// # Errors
/// ENOENT where it has none.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    attachment(PROG_DETACH, cgroup, program, 0, 0)
}

/// The programs that are attached to a cgroup itself.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN` or `CAP_SYS_ADMIN`, EINVAL before Linux 4.15.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    #[repr(C)]
    struct Query {
        cgroup: u32,
        attach_type: u32,
        flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        reserved: u32,
    }
    #[repr(C)]
    struct ById {
        id: u32,
        next: u32,
        flags: u32,
    }
    let mut ids = [0u32; MAX_ATTACHED];
    let mut attributes = Query {
        cgroup: cgroup.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_ATTACHED as u32,
        reserved: 0,
    };
    // SAFETY: attributes is a live, writable prefix of `union bpf_attr` as PROG_QUERY takes it; ids
    // has room for the `count` numbers that it says, and outlives the call.
    unsafe { call_mutable(PROG_QUERY, &mut attributes) }?;
    let count = (attributes.count as usize).min(MAX_ATTACHED);
    ids[..count]
        .iter()
        .map(|id| {
            let attributes = ById { id: *id, next: 0, flags: 0 };
            // SAFETY: attributes is a live prefix of `union bpf_attr` as PROG_GET_FD_BY_ID takes
            // it, and holds no pointers.
            unsafe { call_for_fd(PROG_GET_FD_BY_ID, &attributes) }
        })
        .collect()
}

/// # Safety
/// `attributes` is laid out as the command's part of `union bpf_attr`; what it points to is live, of
/// the sizes that it says, and only read.
unsafe fn call<T>(command: libc::c_int, attributes: &T) -> Result<libc::c_long, Errno> {
    let pointer = std::ptr::from_ref(attributes);
    // SAFETY: as the caller promises; the kernel reads no more than the size given.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) })
}

/// # Safety
/// As for [`call`]; the kernel writes into `attributes` and where it says.
unsafe fn call_mutable<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_long, Errno> {
    let pointer = std::ptr::from_mut(attributes);
    // SAFETY: as the caller promises; the kernel writes no more than the size given.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) })
}

/// # Safety
/// As for [`call`], of a command that returns a descriptor.
unsafe fn call_for_fd<T>(command: libc::c_int, attributes: &T) -> Result<OwnedFd, Errno> {
    // SAFETY: as the caller promises.
    let fd = unsafe { call(command, attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us, close-on-exec; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
