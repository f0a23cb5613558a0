//! Errors of the core, as JavaScript gets them.

use minictr_core::error::Error;

/// An exception whose message is the error as JSON; `ts/native.ts` makes a `MinictrError` of it.
pub(crate) fn exception(error: &Error) -> napi::Error {
    let json =
        serde_json::to_string(&error.clone().exhaustion()).unwrap_or_else(|_| error.to_string());
    napi::Error::from_reason(json)
}
