//! What is written down about launches before it is made.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;

use super::event::LaunchId;
use crate::error::Result;

/// Where a supervisor writes what it is about to make, so that a kill at any moment leaves something
/// from which it can be cleared.
pub trait Ledger: Debug {
    /// A container is about to be made, with these cgroups; said again where systemd makes them, once
    /// they are known.
    ///
    /// # Errors
    /// What keeps it from being written: the start fails before anything is made.
    fn begin(&mut self, launch: LaunchId, cgroups: &[String]) -> Result<()>;

    /// Whether [`Ledger::more`] is there for cgroups that come later: [`Ledger::begin`] is told of all
    /// that there ever may be otherwise.
    fn takes_more(&self) -> bool {
        false
    }

    /// The container may get these cgroups as well.
    ///
    /// # Errors
    /// As for [`Ledger::begin`].
    fn more(&mut self, _: LaunchId, _: &[String]) -> Result<()> {
        Ok(())
    }

    /// Its first process exists, and waits.
    ///
    /// # Errors
    /// What keeps it from being written: the process is killed.
    fn process(&mut self, launch: LaunchId, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()>;

    /// Nothing of it is left.
    fn end(&mut self, launch: LaunchId);
}

/// For processes that join a container: they end with it, so there is nothing to clear after them.
impl Ledger for () {
    fn begin(&mut self, _: LaunchId, _: &[String]) -> Result<()> {
        Ok(())
    }

    fn process(&mut self, _: LaunchId, _: i32, _: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, _: LaunchId) {}
}
