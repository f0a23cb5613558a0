//! What engines write that no kernel here has, and that other runtimes pass over: each is said.

use super::Runtime;
use crate::capabilities::CapabilitySet;
use crate::spec::Process;

impl Runtime {
    /// Takes capabilities that no kernel has out of a process, as runc and crun do: an engine may be
    /// newer than this runtime, and a right that isn't there can't be used.
    pub(super) fn pass_over_unknown_capabilities(&self, process: &mut Process) {
        let Some(sets) = &mut process.capabilities else { return };
        let mut unknown: Vec<String> = [
            &mut sets.bounding,
            &mut sets.effective,
            &mut sets.inheritable,
            &mut sets.permitted,
            &mut sets.ambient,
        ]
        .into_iter()
        .flat_map(CapabilitySet::take_unknown)
        .collect();
        unknown.sort_unstable();
        unknown.dedup();
        for name in unknown {
            (self.warn)(&format!("pass over capability `{name}`: there is none of that name"));
        }
    }
}
