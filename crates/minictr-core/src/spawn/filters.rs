//! Seccomp programs compiled in this process, kept: the same profile is compiled once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Result;
use crate::seccomp::{self, Program};
use crate::spec::Seccomp;

/// Most profiles of callers that are kept.
const MAX_KEPT: usize = 32;

/// Programs compiled from callers' profiles.
#[derive(Debug, Default)]
pub(super) struct Filters {
    profiles: HashMap<Seccomp, Rc<Program>>,
}

impl Filters {
    /// A caller's profile. The whole profile is the key: one field left out of it would hand out
    /// the filter of another profile.
    pub(super) fn compiled(&mut self, profile: &Seccomp) -> Result<Rc<Program>> {
        if let Some(program) = self.profiles.get(profile) {
            return Ok(Rc::clone(program));
        }
        let program = Rc::new(seccomp::compile(profile)?);
        if self.profiles.len() >= MAX_KEPT {
            self.profiles.clear();
        }
        self.profiles.insert(profile.clone(), Rc::clone(&program));
        Ok(program)
    }
}
