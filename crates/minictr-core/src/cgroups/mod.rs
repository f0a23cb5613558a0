//! Control groups: finding the hierarchies, making a container's cgroup, limits, accounts, end.
//!
//! | module | what it does |
//! |---|---|
//! | `detect`, `hierarchies` | which hierarchies there are, and where this process is in them |
//! | `plan` | which controllers a container needs, and what its cgroup is called |
//! | `membership` | in which cgroups a process is |
//! | `make`, `member` | a cgroup's directory in one hierarchy |
//! | `cgroup` | a container's cgroup in all of them: limits, accounts |
//! | `v1`, `v2`, `pids`, `hugetlb`, `rdma` | one file a controller: what to write, what to read |
//! | `changes` | writing limits, and taking them back where one is refused |
//! | `devices` | the rules for devices, which each version enforces in its way |
//! | `delegate` | cgroups below a container's own that its processes are in |
//! | `freeze` | pausing |
//! | `enter` | where a process goes that joins a container |
//! | `end` | killing what is in a cgroup, and removing it |
//! | `systemd` | the systemd cgroup driver: the cgroup of a transient scope |
//!
//! Hierarchies are looked for once per process. On a hybrid machine each controller is used where it
//! is. Everything works on descriptors of directories. A container has a cgroup in the hierarchies
//! that it needs; one that it comes to need later, to be paused or for a limit that it hadn't, it
//! gets then.

mod cgroup;
mod changes;
mod delegate;
mod detect;
mod devices;
mod end;
mod enter;
mod files;
mod freeze;
mod hierarchies;
mod hugetlb;
mod make;
mod member;
mod membership;
mod pids;
mod plan;
mod rdma;
mod refuse;
mod stats;
mod systemd;
mod v1;
mod v2;

pub use cgroup::{Attach, Cgroup, Usage};
pub use delegate::DELEGATE_ANNOTATION;
pub use end::remove_leftover;
pub use freeze::FREEZE_PATIENCE;
pub use hierarchies::{Hierarchies, Planned};
pub use membership::{Membership, memberships};
pub use plan::{CgroupSpec, no_freezer, no_hierarchies, refuse_limits};
use refuse::{check_block_io, not_on_v2, refuse_below_use};
pub use stats::*;
pub use systemd::{
    Addresses, Found, LoadedUnit, PROPERTY_ANNOTATIONS, SUBGROUP_ANNOTATION, Scope, ScopeName,
    Unit, WayIn, check_annotations, refuse_unit,
};
