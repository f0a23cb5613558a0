//! Control groups: finding the hierarchies, making a container's cgroup, limits, accounts, end.
mod stats;
use crate::error::Result;
use crate::rootfs::mounts::CgroupMount;
use crate::spawn::LaunchRequest;
use crate::spec::Resources;
pub use stats::*;
use std::os::fd::BorrowedFd;
#[derive(Debug)]
pub struct Hierarchies;
#[derive(Debug)]
pub struct CgroupSpec;
impl CgroupSpec {
    pub fn of(_: &LaunchRequest, _: Option<&Resources>, _: bool) -> Self {
        Self
    }
    pub fn refuse_limits(&self) -> Result<()> {
        Ok(())
    }
}
#[derive(Debug)]
pub struct Cgroup;
#[derive(Default)]
pub struct Usage {
    pub cpu_user_us: Option<u64>,
    pub cpu_system_us: Option<u64>,
    pub peak_memory_bytes: Option<u64>,
    pub oom_kills: u64,
}
impl Hierarchies {
    pub fn detect() -> Result<Self> {
        Ok(Self)
    }
    pub fn mounts(&self) -> Vec<CgroupMount> {
        vec![]
    }
    pub fn planned_paths(&self, _: &CgroupSpec) -> Vec<String> {
        vec![]
    }
    pub fn create(&self, _: &CgroupSpec) -> Result<Option<Cgroup>> {
        Ok(None)
    }
}
impl Cgroup {
    pub fn attach_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![]
    }
    pub fn v2_dir_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats::default())
    }
    pub fn cpu_usage_us(&self) -> Option<u64> {
        None
    }
    pub fn oom_kills(&self) -> u64 {
        0
    }
    pub fn final_usage(&self) -> Usage {
        Usage::default()
    }
    pub fn kill_all(&self) -> Result<()> {
        Ok(())
    }
    pub fn remove(self) -> Result<()> {
        Ok(())
    }
}
pub fn remove_leftover(_: &Hierarchies, _: &[String]) -> Result<()> {
    Ok(())
}
