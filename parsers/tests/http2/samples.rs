//! Streams as clients and servers send them.

use crate::build::*;

/// A request with a body of two frames and trailers, gRPC's kind.
pub(crate) fn grpc_request() -> Vec<Vec<u8>> {
    let list = [
        indexed(3),
        indexed(6),
        literal(Indexing::Without, Err(4), &huffman(b"/shop.Carts/Load")),
        literal(Indexing::With, Err(1), &huffman(b"shop.example:50051")),
        field("content-type", "application/grpc+proto"),
        literal(Indexing::With, Ok(&huffman(b"te")), &huffman(b"trailers")),
        literal(Indexing::With, Ok(&huffman(b"grpc-timeout")), &plain(b"1S")),
        literal(Indexing::Never, Err(23), &huffman(b"Bearer secret")),
    ]
    .concat();
    vec![
        headers(1, 0, &list),
        frame(DATA, 0, 1, b"\0\0\0\0\x05he"),
        frame(DATA, END_STREAM, 1, b"llo\0\0\0\0\0"),
    ]
}

pub(crate) fn grpc_reply() -> Vec<Vec<u8>> {
    let list = [
        indexed(8),
        literal(Indexing::With, Err(31), &huffman(b"application/grpc")),
    ]
    .concat();
    let trailers = [
        literal(Indexing::With, Ok(&huffman(b"grpc-status")), &huffman(b"5")),
        literal(
            Indexing::Without,
            Ok(&plain(b"grpc-message")),
            &huffman(b"no such cart"),
        ),
    ]
    .concat();
    vec![
        headers(1, 0, &list),
        frame(DATA, 0, 1, b"\0\0\0\0\x02ok"),
        headers(1, END_STREAM, &trailers),
    ]
}

/// A list in a HEADERS frame with padding and priority and two CONTINUATION frames, one of them empty.
fn continued() -> Vec<Vec<u8>> {
    let list = [
        indexed(2),
        indexed(7),
        indexed(5),
        field("cookie", "a=b"),
        field("cookie", "c=d"),
    ]
    .concat();
    let (first, second) = list.split_at(9);
    let prioritized = [&[0x80, 0, 0, 3, 15], first].concat();
    vec![
        frame(
            HEADERS,
            END_STREAM | PADDED | WITH_PRIORITY,
            5,
            &padded(7, &prioritized),
        ),
        frame(CONTINUATION, 0, 5, &[]),
        frame(CONTINUATION, END_HEADERS, 5, second),
    ]
}

fn control() -> Vec<Vec<u8>> {
    vec![
        frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7]),
        frame(PING, 0, 0, b"12345678"),
        frame(PING, ACK, 0, b"abcdefgh"),
        frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        frame(WINDOW_UPDATE, 0, 1, &[0x80, 0, 0, 9]),
        frame(RST_STREAM, 0, 7, &[0, 0, 0, 8]),
        settings(&[
            (1, 4096),
            (3, 100),
            (4, 1 << 20),
            (5, 1 << 15),
            (6, 1 << 16),
            (8, 1),
            (2, 0),
            (0xabc, 7),
        ]),
        settings_ack(),
        frame(0xfa, 0xff, 0, b"unknown"),
        frame(0x0b, 0, 3, &[]),
        frame(GOAWAY, 0, 0, b"\x80\0\0\x07\0\0\0\x0bcalm down"),
    ]
}

/// Bodies with padding, without anything but padding, and without anything.
fn bodies() -> Vec<Vec<u8>> {
    vec![
        headers(9, 0, &[0x83, 0x86, 0x84]),
        frame(DATA, PADDED, 9, &padded(255, b"padded")),
        frame(DATA, PADDED, 9, &padded(3, b"")),
        frame(DATA, PADDED, 9, &padded(0, b"not padded")),
        frame(DATA, 0, 9, &[]),
        frame(DATA, PADDED | END_STREAM, 9, &padded(2, b"end")),
        headers(11, 0, &[0x83, 0x86, 0x84]),
        frame(DATA, END_STREAM, 11, &[]),
    ]
}

/// A table that shrinks, vanishes and grows again.
fn tables() -> Vec<Vec<u8>> {
    vec![
        headers(
            13,
            END_STREAM,
            &[
                indexed(2),
                field("a", "b"),
                field("c", "d"),
                indexed(62),
                indexed(63),
            ]
            .concat(),
        ),
        headers(
            15,
            END_STREAM,
            &[table_size(34), indexed(62), field("e", &"f".repeat(50))].concat(),
        ),
        headers(
            17,
            END_STREAM,
            &[
                table_size(0),
                table_size(4096),
                field("g", "h"),
                indexed(62),
            ]
            .concat(),
        ),
    ]
}

/// What clients send, each from its preface on.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    [grpc_request(), continued(), control(), bodies(), tables()]
        .iter()
        .map(|frames| hello(frames))
        .collect()
}

/// What servers send, each from the first frame on.
pub(crate) fn replies() -> Vec<Vec<u8>> {
    let promise = [
        &[0x80, 0, 0, 2],
        &[indexed(2), indexed(6), indexed(4), field("x", "y")].concat()[..],
    ]
    .concat();
    let pushed = vec![
        frame(PUSH_PROMISE, PADDED, 1, &padded(4, &promise[..8])),
        frame(CONTINUATION, END_HEADERS, 1, &promise[8..]),
        headers(2, END_STREAM, &[indexed(8), indexed(62)].concat()),
    ];
    [grpc_reply(), pushed, control(), bodies(), tables()]
        .iter()
        .map(|frames| welcome(frames))
        .collect()
}
