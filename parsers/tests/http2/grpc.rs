//! Messages in bodies, names in paths.

use narrows_parsers::http2::{Malformed, grpc};

fn message(flag: u8, length: usize) -> Vec<u8> {
    [
        &[flag],
        &(length as u32).to_be_bytes()[..],
        &vec![0xaa; length],
    ]
    .concat()
}

#[test]
fn messages_are_counted_however_they_are_cut() {
    let body = [
        message(0, 0),
        message(1, 3),
        message(0, 300),
        message(0, 0),
        message(0, 1),
    ]
    .concat();
    for size in 1..=body.len() {
        let mut counter = grpc::MessageCounter::new();
        for piece in body.chunks(size) {
            counter.advance(piece).unwrap();
        }
        assert_eq!(counter.messages(), 5, "pieces of {size}");
        assert!(counter.is_between_messages());
    }
}

#[test]
fn a_message_counts_when_its_length_is_known() {
    let body = message(0, 2);
    let mut counter = grpc::MessageCounter::new();
    for (at, byte) in body.iter().enumerate() {
        counter.advance(&[*byte]).unwrap();
        assert_eq!(counter.messages(), u64::from(at >= 4));
        assert_eq!(counter.is_between_messages(), at == 6);
    }
}

#[test]
fn what_is_no_message() {
    let mut counter = grpc::MessageCounter::new();
    counter.advance(&message(0, 1)).unwrap();
    assert_eq!(counter.advance(b"<html>"), Err(Malformed::GrpcPrefix));
    assert_eq!(counter.messages(), 1);
}

#[test]
fn the_greatest_length_is_only_a_claim() {
    let mut counter = grpc::MessageCounter::new();
    counter
        .advance(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])
        .unwrap();
    assert_eq!(counter.messages(), 1);
    assert!(!counter.is_between_messages());
}

#[test]
fn content_types() {
    for yes in [
        "application/grpc",
        "application/grpc+proto",
        "Application/gRPC+json",
        "application/grpc;charset=utf-8",
    ] {
        assert!(grpc::is_grpc(yes.as_bytes()), "{yes}");
    }
    for no in [
        "",
        "application/grp",
        "application/grpc-web",
        "application/grpcx",
        "application/json",
    ] {
        assert!(!grpc::is_grpc(no.as_bytes()), "{no}");
    }
}

#[test]
fn services_and_methods() {
    let method = |path: &'static str| grpc::method(path.as_bytes());
    assert_eq!(
        method("/shop.Carts/Load"),
        Some((&b"shop.Carts"[..], &b"Load"[..]))
    );
    assert_eq!(method("/a/b/c"), Some((&b"a/b"[..], &b"c"[..])));
    for none in ["", "/", "//", "/a", "/a/", "//a", "a/b"] {
        assert_eq!(method(none), None, "{none}");
    }
}
