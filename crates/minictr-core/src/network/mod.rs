//! Network devices, over rtnetlink.
//!
//! | module | what it does |
//! |---|---|
//! | `netlink` | messages, `netlink(7)` |
//! | `devices` | moving a device of the host's into a container |

mod devices;
mod netlink;

pub use devices::{DevicePlan, plan, valid_name};
