//! Advisories of other runtimes and engines, replayed against this one: what each was, and which test
//! shows that we hold, is the table in SECURITY.md.
//!
//! Each tries the attack, in the rootfs, config or container that its advisory describes, and then
//! looks at what it was after on the host: nothing changed, nothing shown. What the runtime answers
//! is asserted where there is one right answer; where a race decides, either is.

mod attack;
mod descriptors;
mod devices;
mod executable;
mod identity;
mod paths;
mod procfs;
#[path = "../support/mod.rs"]
mod support;
