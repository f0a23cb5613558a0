//! The spawner: a small process that starts containers for a large one.
//!
//! Cloning from a process with a large heap costs what its page tables cost, and a process with
//! threads can't run code between clone and exec. So a Node process starts one static helper, which
//! owns a [`Supervisor`](crate::spawn::Supervisor) and is asked over a socket: a message for each
//! launch with the descriptors beside it, messages back for what happens.
//!
//! | module | side |
//! |---|---|
//! | [`image`] | the helper's executable, sealed in memory |
//! | [`protocol`] | the messages, both sides |
//! | [`client`] | the asking process |
//! | [`server`] | the helper |

pub mod client;
pub mod image;
pub mod protocol;
pub mod server;
