//! A page that parent and children share: where a child is, at no system call.

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Counters in memory that clones of this process keep sharing until they execute.
#[derive(Debug)]
pub struct SharedCounters {
    start: NonNull<AtomicU32>,
    count: usize,
}

impl SharedCounters {
    /// Maps `count` counters, all 0.
    ///
    /// # Errors
    /// ENOMEM; EINVAL for none.
    pub fn new(count: usize) -> Result<Self, Errno> {
        let bytes = NonZeroUsize::new(count * size_of::<AtomicU32>()).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let start = unsafe { mmap_anonymous(None, bytes, protection, MapFlags::MAP_SHARED)? };
        Ok(Self { start: start.cast(), count })
    }

    /// One counter; `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&AtomicU32> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the mapping holds `count` aligned AtomicU32, zero bytes are a valid one, the
        // index was checked, and the borrow can't outlive the mapping. Other processes touch it
        // with atomic operations only.
        Some(unsafe { self.start.add(index).as_ref() })
    }
}

impl Drop for SharedCounters {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no borrow of it can be alive here.
        let _ = unsafe { munmap(self.start.cast(), self.count * size_of::<AtomicU32>()) };
    }
}
