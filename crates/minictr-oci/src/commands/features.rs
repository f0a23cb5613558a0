//! `features`: what this runtime can do.

use minictr_core::error::Result;
use minictr_core::features::features;

use crate::output;

/// Prints the document of the runtime spec's `features.md`, and nothing on standard error: CRI-O
/// reads both.
pub(crate) fn run() -> Result<u8> {
    output::json(&features())?;
    Ok(0)
}
