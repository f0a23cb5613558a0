//! OCI runtime executable.
fn main() {}
