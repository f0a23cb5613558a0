//! Starting containers: a request becomes a plan, a cloned child walks the plan, a supervisor
//! watches it to its end.

mod event;
mod request;

pub use event::*;
pub use request::*;
