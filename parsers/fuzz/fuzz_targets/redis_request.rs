//! Any bytes that a Redis client could send: in pieces or whole, the outcome is the same, and memory is bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(why) = narrows_parsers::replay::redis::check_requests(data) {
        panic!("{why}");
    }
});
