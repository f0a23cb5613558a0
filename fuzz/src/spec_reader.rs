//! The reader of `config.json`: any bytes are refused or read, and what was read is written and read
//! again as the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use minictr_core::spec;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    match spec::parse(bytes) {
        Ok(read) => {
            let written = serde_json::to_vec(&read).expect("a spec can be written");
            let again = spec::parse(&written).expect("what was written can be read");
            let rewritten = serde_json::to_vec(&again).expect("a spec can be written");
            assert_eq!(
                String::from_utf8_lossy(&written),
                String::from_utf8_lossy(&rewritten),
                "the second reading differs"
            );
        }
        Err(error) => {
            assert!(!error.operation.is_empty() && !error.object.is_empty());
            // The sentence is made of what was read: making it must work for any bytes.
            assert!(!error.to_string().is_empty());
        }
    }
    Corpus::Keep
});
