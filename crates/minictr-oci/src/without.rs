//! Doing without an interface of the kernel's, to try on a new kernel what happens on an old one.
//!
//! For tests. It only takes away, and what takes its place is as safe or an error, so whoever can set
//! this process's environment gains nothing by it.

use minictr_core::error::{Error, Result};
use minictr_core::sys::features::{Interface, take_away as forget};

/// Names of interfaces, by commas, as [`Interface::name`] has them.
const VARIABLE: &str = "MINICTR_TEST_WITHOUT";

/// Takes away what the environment names.
///
/// # Errors
/// `InvalidArgument` for a name that isn't one.
pub(crate) fn take_away() -> Result<()> {
    let Some(list) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let list = list.to_string_lossy().into_owned();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let interface = Interface::ALL.into_iter().find(|interface| interface.name() == name);
        let interface = interface.ok_or_else(|| {
            let known = Interface::ALL.map(Interface::name).join(", ");
            Error::invalid("take away", format!("`{name}`, which `{VARIABLE}` names"))
                .hint(format!("it takes {known}"))
        })?;
        forget(interface);
    }
    Ok(())
}
