//! Subordinate ids: `/etc/subuid` and `/etc/subgid`, `subuid(5)`.

use std::cell::RefCell;
use std::collections::HashMap;
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

/// The subordinate user and group ids of a user; none where the files are missing.
#[must_use]
pub fn subordinate_ranges(uid: u32) -> (Vec<Range>, Vec<Range>) {
    let number = uid.to_string();
    let name = user_name(uid);
    let owners: Vec<&str> = name.as_deref().into_iter().chain([number.as_str()]).collect();
    (of(&read("/etc/subuid"), &owners), of(&read("/etc/subgid"), &owners))
}

/// The name of a user, as far as it can be known. Who is known to a directory service only has the
/// name of the login; a false one gains nothing, since newuidmap checks it.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    account_name(uid).or_else(|| std::env::var("USER").ok())
}

/// The name of a user of this machine's `/etc/passwd`, looked up once for each id.
///
/// Not by getpwuid(3), which loads libraries of the machine's into a static executable.
#[must_use]
pub fn account_name(uid: u32) -> Option<String> {
    thread_local! {
        static KNOWN: RefCell<HashMap<u32, Option<String>>> = RefCell::default();
    }
    let look = || name_of(&read("/etc/passwd"), &uid.to_string()).map(str::to_owned);
    KNOWN.with_borrow_mut(|known| known.entry(uid).or_insert_with(look).clone())
}

/// The name of a user id in a text such as /etc/passwd's, `passwd(5)`.
fn name_of<'a>(passwd: &'a str, uid: &str) -> Option<&'a str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid)).then_some(name)
    })
}

/// The first id of a range of 65,536 that no line of `/etc/subuid` and `/etc/subgid` has, from 100,000
/// on as `useradd(8)` gives them out.
#[must_use]
pub fn first_free() -> u32 {
    first_free_of(&read("/etc/subuid"), &read("/etc/subgid"))
}

fn first_free_of(subuid: &str, subgid: &str) -> u32 {
    let taken: Vec<Range> =
        entries(subuid).into_iter().chain(entries(subgid)).map(|(_, range)| range).collect();
    let mut start = 100_000u32;
    while let Some(other) = taken.iter().find(|other| other.overlaps(Range { start, count: BLOCK }))
    {
        start = other.start.saturating_add(other.count);
        if start >= SEARCH_FROM {
            break;
        }
    }
    start
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
    fn a_user_is_named_by_the_id_in_the_third_field() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n1000:x:7:7::/:\nalice:x:1000:1000::/home:/bin/sh\n";
        assert_eq!(name_of(passwd, "1000"), Some("alice"));
        assert_eq!(name_of(passwd, "1001"), None);
    }

    #[test]
    fn the_first_free_range_is_above_what_others_have() {
        assert_eq!(first_free_of("", ""), 100_000);
        assert_eq!(first_free_of("a:100000:65536\nb:231072:65536\n", "a:165536:10\n"), 296_608);
        assert_eq!(first_free_of("a:100000:65536\nb:165536:65536\n", ""), 231_072);
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        assert_eq!(
            entries("a:b:c\n\nx\n:1:2\nok:1:2\nzero:1:0\n"),
            [("ok", Range { start: 1, count: 2 })]
        );
    }
}
