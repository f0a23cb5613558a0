//! System call filters: OCI profiles to BPF programs.
//!
//! | module | what it does |
//! |---|---|
//! | `numbers` | names to numbers, for five architectures |
//! | `lower` | the words of a profile to numbers, with libseccomp's meaning of overlapping rules |
//! | `emit` | rules to instructions |
//! | `default_profile` | the built-in allow-list |
//!
//! The program is a jump on the architecture, then a balanced search over ranges of numbers that
//! share an answer, then the arguments where an answer depends on them. An answer that depends on
//! the number alone never loads an argument, so the kernel caches it per number (Linux 5.11).
//! libseccomp is the oracle in tests, and never linked into what ships.

mod default_profile;
mod emit;
mod lower;
mod numbers;

use crate::error::{Error, ErrorCode, Result};
use crate::spec::Seccomp;

pub use default_profile::{default_profile, default_program};

/// Longest program that the kernel takes, `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// A filter, ready for `seccomp(2)`.
#[derive(Clone, Debug, Default)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
    flags: u32,
    notifies: bool,
    unknown: Vec<String>,
}

impl Program {
    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_…`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether it asks a listener, `SCMP_ACT_NOTIFY`.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Names of the profile that no architecture has: newer than this table, or misspelt.
    #[must_use]
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown
    }
}

/// The words that profiles may use: actions, operators, architectures that give code, and flags.
#[must_use]
pub fn known_words() -> [Vec<&'static str>; 4] {
    fn words<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
        table.iter().map(|(word, _)| *word).collect()
    }
    [
        words(lower::ACTIONS),
        words(lower::OPERATORS),
        words(lower::ARCHITECTURES),
        words(lower::FLAGS),
    ]
}

/// The flags that the running kernel takes.
#[must_use]
pub fn supported_flags() -> Vec<&'static str> {
    let flags = lower::FLAGS.iter().filter(|(_, flag)| crate::sys::security::seccomp_knows(*flag));
    flags.map(|(word, _)| *word).collect()
}

/// Compiles a profile.
///
/// # Errors
/// `Seccomp` for unknown actions, operators, architectures and flags, for an errno on an action that
/// has none, and for a program longer than the kernel takes.
pub fn compile(profile: &Seccomp) -> Result<Program> {
    compile_with(profile, &[])
}

/// Compiles a profile whose calls are first held against rules of their own, whatever the profile
/// says of them.
fn compile_with(profile: &Seccomp, first: &[crate::spec::SeccompRule]) -> Result<Program> {
    let lowered = lower::lower(profile, first)?;
    let instructions = emit::program(&lowered);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Error::new(
            ErrorCode::Seccomp,
            "compile seccomp profile:",
            format!(
                "{} instructions are more than the kernel's {MAX_INSTRUCTIONS}",
                instructions.len()
            ),
        )
        .hint("use fewer conditions on arguments"));
    }
    let notifies = emit::returns(&instructions, lower::NOTIFY);
    Ok(Program { instructions, flags: lowered.flags, notifies, unknown: lowered.unknown })
}
