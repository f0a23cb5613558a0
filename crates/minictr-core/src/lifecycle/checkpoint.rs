//! Writing a running container to files.

use super::{Runtime, cgroup, create::config_of, status};
use crate::checkpoint::{DumpOptions, Running, dump};
use crate::error::{Error, ErrorCode, Result};
use crate::state::record::Status;

impl Runtime {
    /// Writes a container to images that [`Runtime::restore`] makes one of again. It is deleted
    /// then, unless it is to go on.
    ///
    /// # Errors
    /// `NotFound`, `WrongState` where it doesn't run, and those of [`dump`]: it goes on then.
    pub fn checkpoint(&self, id: &str, options: &DumpOptions) -> Result<()> {
        let locked = self.store.open(id)?.locked()?;
        let record = locked.entry.record()?;
        let status = status(&locked.entry, &record)?;
        let process = record.process.as_ref();
        let (true, Some(process)) = (matches!(status, Status::Running | Status::Paused), process)
        else {
            let why = format!("Container cannot be checkpointed in {} state", status.word());
            return Err(Error::new(
                ErrorCode::WrongState,
                "checkpoint",
                format!("container `{id}`: {why}"),
            ));
        };
        let config = config_of(&locked.entry)?;
        let cgroup = cgroup(&record)?;
        let streams = match record.streams.as_slice() {
            [] => streams_of(process.pid),
            streams => streams.to_vec(),
        };
        let container = Running {
            id,
            pid: process.pid,
            config: &config,
            rootfs: &record.rootfs,
            freezer: cgroup.as_ref().and_then(|cgroup| cgroup.freezer_directory()),
            descriptors: &streams,
        };
        let dumped = dump(&container, options);
        if dumped.is_ok() && !options.leave_running && !options.pre_dump {
            return self.destroy(locked, &record);
        }
        if let (Status::Running, Some(cgroup)) = (status, cgroup)
            && cgroup.is_frozen().unwrap_or(false)
        {
            // What has ended in the midst of its work has let nothing go on.
            let thawed = cgroup.thaw();
            return dumped.and(thawed);
        }
        dumped
    }
}

/// What the standard streams of a process are.
fn streams_of(pid: i32) -> Vec<String> {
    let link = |fd: i32| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
    let names = (0..3).map(|fd| link(fd).map(|link| link.to_string_lossy().into_owned()));
    names.map(Option::unwrap_or_default).collect()
}
