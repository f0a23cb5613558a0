//! Starting containers: a request becomes a plan, a cloned child walks the plan, a supervisor
//! watches it to its end.
//!
//! | module | what it does | in which process |
//! |---|---|---|
//! | `request`, `validate` | what is asked for, and whether it can mean a container | parent |
//! | `compile`, `files`, `host`, `program`, `scheduler`, `placement`, `filters` | request to `plan` | parent |
//! | `prepare`, `ids`, `limits` | what only the parent may do | parent |
//! | `supervisor`, `launch` | starting, watching, ending | parent |
//! | `child`, `exec`, `terminal`, `init` | walking the plan | child |
//! | `hooks` | programs that the spec runs along the way | parent, child |
//! | `labels` | AppArmor and SELinux | parent, child |
//! | `listener`, `sockets` | handing descriptors to an engine | parent, child |
//! | `gate` | waiting between creation and start | child, and whoever starts it |
//! | `report`, `hints` | what the child says, and what is made of it | both |

mod child;
mod compile;
#[cfg(test)]
mod documented;
mod event;
mod exec;
pub(crate) mod files;
mod filters;
pub mod gate;
mod hints;
pub mod hooks;
mod host;
mod ids;
mod init;
pub mod labels;
mod launch;
mod ledger;
mod limits;
mod listener;
mod placement;
mod plan;
mod prepare;
mod program;
#[cfg(test)]
mod properties;
mod report;
mod request;
mod runtime;
mod scheduler;
pub(crate) mod sockets;
mod supervisor;
mod terminal;
mod validate;
mod watch;

pub use event::*;
pub use launch::ends_by_default;
pub use ledger::Ledger;
pub use listener::Listener;
pub use placement::memory_policy_words;
pub use request::*;
pub use runtime::*;
pub use supervisor::{Emitted, Supervisor};
pub use validate::id as validate_id;
