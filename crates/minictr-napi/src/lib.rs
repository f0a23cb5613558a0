//! The Node-API addon: conversions, and the one thread that listens to the spawner.
//!
//! It holds no policy: a request goes to the spawner as the JSON that TypeScript made, events come
//! back as JSON. Nothing here waits on the JavaScript thread or occupies libuv's pool.
#![expect(unreachable_pub, reason = "what `#[napi]` exports is reached from JavaScript")]
#![cfg_attr(test, allow(dead_code, reason = "`#[napi]` registers nothing in a test build"))]

mod failure;
mod foreground;
mod hub;
mod rootfs;
mod session;
mod terminal;
