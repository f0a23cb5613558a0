//! One file for each verb.

pub(crate) mod foreground;
pub(crate) mod run;
pub(crate) mod spawner;
