//! Any chunked body: in pieces or whole, the outcome is the same, and what is passed on of it is the same body to whoever reads it next.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(why) = narrows_parsers::replay::http1::check_body(data) {
        panic!("{why}");
    }
});
