//! Messages with descriptors beside them, where this process may have no room for these.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::own_received;

/// What `recvmsg(2)` delivered.
#[derive(Debug)]
pub struct Arrived {
    /// Bytes in the buffer.
    pub length: usize,
    /// The descriptors for which there was room, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
    /// Whether there was none for the others: they are closed.
    pub fds_cut: bool,
    /// Whether the message was longer than the buffer.
    pub bytes_cut: bool,
}

/// Room for one control message with as many descriptors as the kernel allows, `unix(7)`, aligned as
/// its header has to be.
#[repr(C, align(8))]
struct Control([u8; 1032]);

/// Takes one message without blocking, every descriptor close-on-exec. `recvmsg(2)`.
///
/// Unlike `nix`'s, whose list of control messages is an error once one is cut: the descriptors that
/// have arrived would stay open for ever.
///
/// # Errors
/// EAGAIN where there is none.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Arrived, Errno> {
    let mut control = Control([0; 1032]);
    let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a header of zeros is a valid one without parts.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control.0).cast();
    // Its type is another one in musl.
    header.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the buffer and to the control space, which outlive the call, with
    // their lengths.
    let length =
        Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    let mut fds = Vec::new();
    // SAFETY: the header is as the kernel filled it in, and the control space still lives.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the space.
        let message = unsafe { next.read_unaligned() };
        if message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: arithmetic on the length of an empty message.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (message.cmsg_len as usize - empty) / size_of::<libc::c_int>();
            for index in 0..count {
                // SAFETY: the message holds `count` numbers after its header, all within the space.
                let fd = unsafe {
                    libc::CMSG_DATA(next).cast::<libc::c_int>().add(index).read_unaligned()
                };
                fds.push(own_received(fd));
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; `next` is within the space.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(Arrived {
        length: length as usize,
        fds,
        fds_cut: header.msg_flags & libc::MSG_CTRUNC != 0,
        bytes_cut: header.msg_flags & libc::MSG_TRUNC != 0,
    })
}
