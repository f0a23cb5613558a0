//! Subordinate ids: `/etc/subuid` and `/etc/subgid`, `subuid(5)`.

use std::path::Path;

use crate::error::{Error, ErrorCode, Result};

/// Ids from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    fn overlaps(self, other: Self) -> bool {
        let end = |range: Self| u64::from(range.start) + u64::from(range.count);
        u64::from(self.start) < end(other) && u64::from(other.start) < end(self)
    }
}

/// Size of one container's share of a pool.
const BLOCK: u32 = 65_536;
/// Where a pool is looked for that no file names: above what distributions, directories and
/// systemd's containers give out (524,288 to 1,879,048,191).
const SEARCH_FROM: u32 = 0x7000_0000;
const SEARCH_TO: u32 = 0xf000_0000;
/// Containers with ids of their own at one time, where no file says how many.
const POOL_BLOCKS: u32 = 1024;

/// Blocks of ids for containers of root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPool {
    users: Range,
    groups: Range,
}

impl IdPool {
    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.users.count.min(self.groups.count) / BLOCK
    }

    /// First user id and first group id of a block of 65,536.
    #[must_use]
    pub fn block(&self, number: u32) -> (u32, u32) {
        (self.users.start + number * BLOCK, self.groups.start + number * BLOCK)
    }
}

/// Lines `NAME-OR-ID:START:COUNT`, with their owner.
fn entries(text: &str) -> Vec<(&str, Range)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let start = fields.next()?.parse().ok()?;
            let count = fields.next()?.parse().ok()?;
            Some((owner, Range { start, count }))
        })
        .filter(|(owner, range)| !owner.is_empty() && range.count > 0)
        .collect()
}

fn of(text: &str, owners: &[&str]) -> Vec<Range> {
    entries(text)
        .into_iter()
        .filter(|(owner, _)| owners.contains(owner))
        .map(|(_, range)| range)
        .collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).unwrap_or_default()
}

/// The subordinate user and group ids of a user.
///
/// # Errors
/// None today: a missing file has no ranges.
pub fn subordinate_ranges(uid: u32) -> Result<(Vec<Range>, Vec<Range>)> {
    let number = uid.to_string();
    let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let owners: Vec<&str> = name.as_deref().into_iter().chain([number.as_str()]).collect();
    Ok((of(&read("/etc/subuid"), &owners), of(&read("/etc/subgid"), &owners)))
}

/// The ids for containers of root's: what `/etc/subuid` and `/etc/subgid` give to `root` or
/// `minictr`, else a range that no line of these files and no user or group of the machine overlaps.
///
/// # Errors
/// `IdMapping` where no range of that size is free.
pub fn root_pool() -> Result<IdPool> {
    pool(&read("/etc/subuid"), &read("/etc/subgid"), &read("/etc/passwd"), &read("/etc/group"))
}

fn pool(subuid: &str, subgid: &str, passwd: &str, group: &str) -> Result<IdPool> {
    let owners = ["root", "0", "minictr"];
    let largest = |text| of(text, &owners).into_iter().max_by_key(|range| range.count);
    if let (Some(users), Some(groups)) = (largest(subuid), largest(subgid))
        && users.count >= BLOCK
        && groups.count >= BLOCK
    {
        return Ok(IdPool { users, groups });
    }
    let ids = |text: &str| -> Vec<Range> {
        text.lines()
            .filter_map(|line| line.split(':').nth(2)?.parse().ok())
            .map(|start| Range { start, count: 1 })
            .collect()
    };
    let taken: Vec<Range> = entries(subuid)
        .into_iter()
        .chain(entries(subgid))
        .map(|(_, range)| range)
        .chain(ids(passwd))
        .chain(ids(group))
        .collect();
    let count = POOL_BLOCKS * BLOCK;
    let mut start = SEARCH_FROM;
    while start < SEARCH_TO {
        let range = Range { start, count };
        if !taken.iter().any(|other| range.overlaps(*other)) {
            return Ok(IdPool { users: range, groups: range });
        }
        start += count;
    }
    Err(Error::new(ErrorCode::IdMapping, "find ids for", "containers: every range is taken")
        .hint("give root a range of its own in /etc/subuid and /etc/subgid, such as `root:1000000000:67108864`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_own_lines_are_used() {
        let pool = pool("root:100000:131072\n", "minictr:200000:65536\n", "", "").unwrap();
        assert_eq!(pool.blocks(), 1);
        assert_eq!(pool.block(0), (100_000, 200_000));
    }

    #[test]
    fn without_lines_a_range_that_nobody_has_is_found() {
        let taken = format!("alice:{SEARCH_FROM}:10\n");
        let pool = pool(&taken, "", "", "bob:x:1946157056:\n").unwrap();
        let (uid, gid) = pool.block(0);
        assert_eq!(uid, gid);
        let ours = Range { start: uid, count: pool.blocks() * BLOCK };
        assert!(!ours.overlaps(Range { start: SEARCH_FROM, count: 10 }));
        assert!(!ours.overlaps(Range { start: 1_946_157_056, count: 1 }));
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        assert_eq!(
            entries("a:b:c\n\nx\n:1:2\nok:1:2\nzero:1:0\n"),
            [("ok", Range { start: 1, count: 2 })]
        );
    }
}
