//! The container's view of files: mounts, the root, masks, devices, paths inside it.
//!
//! All of it works on one descriptor of the root; nothing joins strings.

pub(crate) mod attributes;
pub mod copy_up;
pub mod deploy;
pub mod host;
pub mod lines;
pub mod masks;
pub mod mount_table;
pub mod mounts;
pub mod options;
pub mod overlay;
pub mod paths;
pub mod root;
pub mod subids;
pub mod users;
