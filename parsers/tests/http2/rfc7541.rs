//! The examples of RFC 7541, appendix C, but for those of integers, which stand with the decoder of integers.

use crate::build::{bytes, probe};
use narrows_parsers::http2::hpack::Decoder;
use narrows_parsers::replay::http2::list;

type Pair = (&'static str, &'static str);

/// An encoded list, its fields, the dynamic table after it, newest first, and the size of that table.
type Example = (&'static str, Vec<Pair>, Vec<Pair>, usize);

/// The examples come one after the other on one connection, however they are cut.
fn check(prelude: &str, examples: &[Example]) {
    for sizes in [&[][..], &[1], &[2], &[3, 1], &[7]] {
        let mut decoder = Decoder::new();
        list(&mut decoder, &bytes(prelude), sizes).list.unwrap();
        for (encoded, fields, table, size) in examples {
            let decoded = list(&mut decoder, &bytes(encoded), sizes);
            assert_eq!(decoded.fields, owned(fields), "{encoded}");
            assert!(!decoded.list.unwrap().cut);
            let entries = probe(&mut decoder);
            assert_eq!(entries, owned(table), "{encoded}");
            let sum: usize = entries
                .iter()
                .map(|(name, value)| name.len() + value.len() + 32)
                .sum();
            assert_eq!(sum, *size, "{encoded}");
        }
    }
}

fn owned(pairs: &[Pair]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

#[test]
fn c_2_1_literal_with_indexing() {
    let field = ("custom-key", "custom-header");
    check(
        "",
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            vec![field],
            vec![field],
            55,
        )],
    );
}

#[test]
fn c_2_2_literal_without_indexing() {
    check(
        "",
        &[(
            "040c 2f73 616d 706c 652f 7061 7468",
            vec![(":path", "/sample/path")],
            vec![],
            0,
        )],
    );
}

#[test]
fn c_2_3_literal_never_indexed() {
    check(
        "",
        &[(
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            vec![("password", "secret")],
            vec![],
            0,
        )],
    );
}

#[test]
fn c_2_4_indexed() {
    check("", &[("82", vec![(":method", "GET")], vec![], 0)]);
}

/// C.3 and C.4 say the same, C.4 in Huffman code.
fn requests(encoded: [&'static str; 3]) {
    let common = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ];
    let [authority, cache, custom] = [
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
        ("custom-key", "custom-value"),
    ];
    let third = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        authority,
        custom,
    ];
    check(
        "",
        &[
            (encoded[0], common.to_vec(), vec![authority], 57),
            (
                encoded[1],
                [&common[..], &[cache]].concat(),
                vec![cache, authority],
                110,
            ),
            (encoded[2], third, vec![custom, cache, authority], 164),
        ],
    );
}

#[test]
fn c_3_requests() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_in_huffman_code() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// C.5 and C.6 say the same, C.6 in Huffman code; the table has 256 bytes, so that entries are evicted.
fn responses(encoded: [&'static str; 3]) {
    const COOKIE: Pair = (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    );
    let status = |status| (":status", status);
    let private = ("cache-control", "private");
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = ("location", "https://www.example.com");
    let encoding = ("content-encoding", "gzip");
    check(
        "3fe101",
        &[
            (
                encoded[0],
                vec![status("302"), private, date, location],
                vec![location, date, private, status("302")],
                222,
            ),
            (
                encoded[1],
                vec![status("307"), private, date, location],
                vec![status("307"), location, date, private],
                222,
            ),
            (
                encoded[2],
                vec![status("200"), private, later, location, encoding, COOKIE],
                vec![COOKIE, encoding, later],
                215,
            ),
        ],
    );
}

#[test]
fn c_5_responses() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e \
         1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d \
         4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 \
         7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_in_huffman_code() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b \
         97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf \
         cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
