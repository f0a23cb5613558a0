//! Ranges of ids, one a container, reserved against other processes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, fcntl};

use super::MapLines;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::subids::{self, IdPool};
use crate::spec::IdMapping;

/// How many ids a container gets as root.
const RANGE_SIZE: u32 = 65_536;

/// The ranges that containers of this process use, one each while free ones remain.
///
/// A range is reserved against other processes of ours by a lock on one byte of a file that only
/// root can open: the kernel frees it with the process, so nothing is left to tidy. (An abstract
/// socket's name would do that too, but any user of the machine could take all the names.)
#[derive(Debug, Default)]
pub(in crate::spawn) struct Ranges {
    pool: Option<(IdPool, File)>,
    held: Vec<HeldRange>,
}

#[derive(Debug)]
struct HeldRange {
    block: u32,
    users: u32,
}

impl Ranges {
    /// A range for one container. Shared with another container only once none is free.
    pub(in crate::spawn) fn take(&mut self) -> Result<(u32, MapLines)> {
        let (pool, locks) = match &mut self.pool {
            Some(found) => found,
            None => self.pool.insert((subids::root_pool()?, open_locks()?)),
        };
        let block = match self.held.iter_mut().find(|held| held.users == 0) {
            Some(held) => {
                held.users = 1;
                held.block
            }
            None => match reserve(pool, locks, &self.held) {
                Some(block) => {
                    self.held.push(HeldRange { block, users: 1 });
                    block
                }
                None => {
                    let shared = self.held.iter_mut().min_by_key(|held| held.users);
                    let shared = shared.ok_or_else(|| {
                        Error::new(ErrorCode::IdMapping, "reserve an id range for", "the container")
                            .hint("every range is used by other minictr processes; add more subordinate ids for `root` to /etc/subuid and /etc/subgid")
                    })?;
                    shared.users += 1;
                    shared.block
                }
            },
        };
        let (uid, gid) = pool.block(block);
        let line = |host_id| vec![IdMapping { container_id: 0, host_id, size: RANGE_SIZE }];
        Ok((block, MapLines { uids: line(uid), gids: line(gid) }))
    }

    /// Gives a range back.
    pub(in crate::spawn) fn give_back(&mut self, block: u32) {
        if let Some(held) = self.held.iter_mut().find(|held| held.block == block) {
            held.users = held.users.saturating_sub(1);
        }
    }
}

/// The file whose bytes stand for user ids. It holds nothing and stays.
fn open_locks() -> Result<File> {
    let directory = crate::state::default_directory();
    crate::state::ensure_private_directory(&directory)?;
    let path = directory.join("ids");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .context(ErrorCode::IdMapping, "open", format!("`{}`", path.display()))
}

/// Locks the first free range, `fcntl(2)` (open file description locks).
fn reserve(pool: &IdPool, locks: &File, held: &[HeldRange]) -> Option<u32> {
    (0..pool.blocks()).filter(|block| held.iter().all(|held| held.block != *block)).find(|block| {
        let (uid, _) = pool.block(*block);
        let range = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: i64::from(uid),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(locks, FcntlArg::F_OFD_SETLK(&range)).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_reserve_different_ranges() {
        let path = std::env::temp_dir().join(format!("minictr-test-ids-{}", std::process::id()));
        let open = || File::create(&path).unwrap();
        let pool = subids::root_pool().unwrap();
        let (first, second) = (open(), open());
        assert_eq!(reserve(&pool, &first, &[]), Some(0));
        assert_eq!(reserve(&pool, &second, &[]), Some(1).filter(|block| *block < pool.blocks()));
        drop(first);
        assert_eq!(reserve(&pool, &second, &[HeldRange { block: 1, users: 1 }]), Some(0));
        std::fs::remove_file(path).unwrap();
    }
}
