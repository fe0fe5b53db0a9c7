//! Any bytes that a server could send, to requests of each kind: in pieces or whole, the outcome is the same, and memory is bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(why) = narrows_parsers::replay::http1::check_replies(data) {
        panic!("{why}");
    }
});
