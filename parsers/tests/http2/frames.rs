//! What each kind of frame says.

use crate::build::*;
use crate::samples;
use narrows_parsers::http2::{ErrorCode, Event, FrameDecoder, Malformed, Settings};
use narrows_parsers::replay::http2::{Outcome, client, frames, server};

fn events(outcome: &Outcome) -> Vec<&str> {
    assert_eq!(outcome.malformed, None, "{outcome:#?}");
    outcome.events.iter().map(String::as_str).collect()
}

/// Why a client's frames are refused.
pub(crate) fn refused(frames: &[Vec<u8>]) -> Option<Malformed> {
    client(&hello(frames), &[]).malformed
}

const NO_SETTINGS: &str = "Settings(Settings { header_table_size: None, enable_push: None, max_concurrent_streams: None, \
                           initial_window_size: None, max_frame_size: None, max_header_list_size: None, enable_connect_protocol: None })";

#[test]
fn a_request_of_grpc() {
    let outcome = client(&hello(&samples::grpc_request()), &[]);
    assert_eq!(
        events(&outcome),
        [
            NO_SETTINGS,
            "Headers { stream: 1 }",
            "1 :method: POST (Method)",
            "1 :scheme: http (Scheme)",
            "1 :path: /shop.Carts/Load (Path)",
            "1 :authority: shop.example:50051 (Authority)",
            "1 content-type: application/grpc+proto (ContentType)",
            "1 te: trailers (Te)",
            "1 grpc-timeout: 1S (GrpcTimeout)",
            "1 authorization: Bearer secret",
            "HeadersEnd { stream: 1, end_stream: false, list: List { fields: 8, bytes: 411, cut: false } }",
            r#"Data 1 "\x00\x00\x00\x00\x05hello\x00\x00\x00\x00\x00" end"#,
        ]
    );
}

#[test]
fn a_reply_of_grpc() {
    let outcome = server(&welcome(&samples::grpc_reply()), &[]);
    assert_eq!(
        events(&outcome)[1..],
        [
            "Headers { stream: 1 }",
            "1 :status: 200 (Status)",
            "1 content-type: application/grpc (ContentType)",
            "HeadersEnd { stream: 1, end_stream: false, list: List { fields: 2, bytes: 102, cut: false } }",
            r#"Data 1 "\x00\x00\x00\x00\x02ok""#,
            "Headers { stream: 1 }",
            "1 grpc-status: 5 (GrpcStatus)",
            "1 grpc-message: no such cart (GrpcMessage)",
            "HeadersEnd { stream: 1, end_stream: true, list: List { fields: 2, bytes: 100, cut: false } }",
        ]
    );
}

#[test]
fn frames_of_the_connection() {
    let stream = hello(&[
        frame(PING, 0, 0, b"12345678"),
        frame(PING, ACK, 0, b"12345678"),
        settings_ack(),
        frame(WINDOW_UPDATE, 0, 0, &[0x80, 1, 0, 0]),
        frame(GOAWAY, 0, 0, b"\x80\0\0\x07\0\0\0\x0bcalm down"),
        frame(RST_STREAM, 0, 7, &[0, 0, 0, 8]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7]),
        frame(0xfa, 0xff, 0, b"unknown"),
    ]);
    assert_eq!(
        events(&client(&stream, &[]))[1..],
        [
            "Ping { ack: false }",
            "Ping { ack: true }",
            "SettingsAck",
            "WindowUpdate { stream: 0, increment: 65536 }",
            "GoAway { last_stream: 7, code: ErrorCode(11) }",
            "Reset { stream: 7, code: ErrorCode(8) }",
        ]
    );
}

#[test]
fn settings_of_each_kind() {
    let mut seen = None;
    let stream = [
        settings(&[
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 3),
            (5, 16384),
            (6, 4),
            (8, 0),
            (9, 9),
        ]),
        settings(&[(3, 1), (3, 7)]),
    ]
    .concat();
    let mut all = Vec::new();
    FrameDecoder::server()
        .advance(&stream, &mut |event| {
            if let Event::Settings(settings) = event {
                all.push(settings);
                seen.get_or_insert(settings);
            }
        })
        .unwrap();
    assert_eq!(
        seen,
        Some(Settings {
            header_table_size: Some(1),
            enable_push: Some(true),
            max_concurrent_streams: Some(2),
            initial_window_size: Some(3),
            max_frame_size: Some(16384),
            max_header_list_size: Some(4),
            enable_connect_protocol: Some(false),
        })
    );
    // Nothing is left of an earlier frame, and of a setting that is repeated the last value holds.
    assert_eq!(
        all[1],
        Settings {
            max_concurrent_streams: Some(7),
            ..Settings::default()
        }
    );
}

#[test]
fn settings_out_of_range() {
    for setting in [(2, 2), (4, 1 << 31), (5, 16383), (5, 1 << 24), (8, 2)] {
        assert_eq!(
            refused(&[settings(&[setting])]),
            Some(Malformed::SettingsValue),
            "{setting:?}"
        );
    }
    for setting in [
        (4, u32::MAX >> 1),
        (5, (1 << 24) - 1),
        (1, u32::MAX),
        (3, u32::MAX),
        (6, u32::MAX),
    ] {
        assert_eq!(refused(&[settings(&[setting])]), None, "{setting:?}");
    }
}

#[test]
fn a_pushed_request() {
    let stream = &samples::replies()[1];
    assert_eq!(
        events(&server(stream, &[]))[1..],
        [
            "PushPromise { stream: 1, promised: 2 }",
            "2 :method: GET (Method)",
            "2 :scheme: http (Scheme)",
            "2 :path: / (Path)",
            "2 x: y",
            "HeadersEnd { stream: 2, end_stream: false, list: List { fields: 4, bytes: 157, cut: false } }",
            "Headers { stream: 2 }",
            "2 :status: 200 (Status)",
            "2 x: y",
            "HeadersEnd { stream: 2, end_stream: true, list: List { fields: 2, bytes: 76, cut: false } }",
        ]
    );
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]);
    assert_eq!(refused(&[promise]), Some(Malformed::UnexpectedFrame));
}

#[test]
fn fields_and_bodies_without_their_padding() {
    let outcome = client(&samples::requests()[1], &[]);
    assert_eq!(
        events(&outcome)[1..],
        [
            "Headers { stream: 5 }",
            "5 :method: GET (Method)",
            "5 :scheme: https (Scheme)",
            "5 :path: /index.html (Path)",
            "5 cookie: a=b (Cookie)",
            "5 cookie: c=d (Cookie)",
            "HeadersEnd { stream: 5, end_stream: true, list: List { fields: 5, bytes: 216, cut: false } }",
        ]
    );
    let outcome = client(&samples::requests()[3], &[]);
    let bodies: Vec<_> = events(&outcome)
        .into_iter()
        .filter(|event| event.starts_with("Data"))
        .collect();
    assert_eq!(
        bodies,
        [r#"Data 9 "paddednot paddedend" end"#, r#"Data 11 "" end"#]
    );
}

#[test]
fn an_empty_frame_of_data_is_seen() {
    let mut empty = 0;
    let stream = hello(&[
        frame(DATA, 0, 1, &[]),
        frame(DATA, PADDED, 1, &padded(9, b"")),
    ]);
    let mut decoder = FrameDecoder::client();
    decoder
        .advance(&stream, &mut |event| {
            empty += usize::from(matches!(
                event,
                Event::Data {
                    bytes: [],
                    end_stream: false,
                    ..
                }
            ));
        })
        .unwrap();
    assert_eq!(empty, 2);
}

#[test]
fn padding_has_to_fit() {
    let prioritized = [&[0_u8, 0, 0, 0, 0][..], &[0x82]].concat();
    let (data, headers) = (frame(DATA, PADDED, 1, &[1, 0]), padded(1, &prioritized));
    assert_eq!(refused(&[data]), None);
    assert_eq!(
        refused(&[frame(
            HEADERS,
            PADDED | WITH_PRIORITY | END_HEADERS,
            1,
            &headers
        )]),
        None
    );
    for kind in [DATA, HEADERS] {
        // As much padding as the payload has bytes, with the one that says so.
        assert_eq!(
            refused(&[frame(kind, PADDED, 1, &[1])]),
            Some(Malformed::Padding)
        );
        assert_eq!(
            refused(&[frame(kind, PADDED, 1, &[2, 0])]),
            Some(Malformed::Padding)
        );
        assert_eq!(
            refused(&[frame(kind, PADDED, 1, &[255; 255])]),
            Some(Malformed::Padding)
        );
        assert_eq!(
            refused(&[frame(kind, PADDED, 1, &[])]),
            Some(Malformed::FrameLength)
        );
    }
    // The padding leaves no room for the priority, or for the promised stream.
    let too_short = frame(HEADERS, PADDED | WITH_PRIORITY, 1, &[1, 0, 0, 0, 0, 0]);
    assert_eq!(refused(&[too_short]), Some(Malformed::FrameLength));
    assert_eq!(
        refused(&[frame(HEADERS, WITH_PRIORITY, 1, &[0; 4])]),
        Some(Malformed::FrameLength)
    );
    let promise = welcome(&[frame(PUSH_PROMISE, PADDED, 1, &[1, 0, 0, 0, 0])]);
    assert_eq!(
        server(&promise, &[]).malformed,
        Some(Malformed::FrameLength)
    );
}

#[test]
fn lengths_of_frames() {
    for (kind, length) in [
        (RST_STREAM, 3),
        (RST_STREAM, 5),
        (WINDOW_UPDATE, 0),
        (WINDOW_UPDATE, 8),
    ] {
        assert_eq!(
            refused(&[frame(kind, 0, 1, &vec![0; length])]),
            Some(Malformed::FrameLength)
        );
    }
    for (kind, length) in [
        (PING, 7),
        (PING, 9),
        (SETTINGS, 5),
        (SETTINGS, 7),
        (GOAWAY, 7),
    ] {
        assert_eq!(
            refused(&[frame(kind, 0, 0, &vec![0; length])]),
            Some(Malformed::FrameLength)
        );
    }
    assert_eq!(
        refused(&[frame(SETTINGS, ACK, 0, &[0; 6])]),
        Some(Malformed::FrameLength)
    );
    // An error of the stream alone, which says nothing about what follows.
    assert_eq!(
        refused(&[frame(PRIORITY, 0, 1, &[0; 4]), frame(PING, 0, 0, &[0; 8])]),
        None
    );
}

#[test]
fn streams_of_frames() {
    for kind in [DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION] {
        let frame = frame(kind, END_HEADERS, 0, &[0; 4]);
        let refused = refused(&[frame]).unwrap();
        assert!(
            matches!(refused, Malformed::FrameStream | Malformed::UnexpectedFrame),
            "{kind} {refused:?}"
        );
    }
    for (kind, length) in [(SETTINGS, 6), (PING, 8), (GOAWAY, 8)] {
        assert_eq!(
            refused(&[frame(kind, 0, 1, &vec![0; length])]),
            Some(Malformed::FrameStream)
        );
    }
    // The reserved bit means nothing.
    assert_eq!(refused(&[frame(PING, 0, 1 << 31, &[0; 8])]), None);
}

#[test]
fn no_frame_in_the_middle_of_a_list() {
    let start = frame(HEADERS, 0, 1, &[0x82]);
    let end = frame(CONTINUATION, END_HEADERS, 1, &[0x86]);
    assert_eq!(refused(&[start.clone(), end.clone()]), None);
    for other in [
        frame(DATA, 0, 1, &[]),
        frame(PING, 0, 0, &[0; 8]),
        frame(0xfa, 0, 0, &[]),
        settings_ack(),
    ] {
        assert_eq!(
            refused(&[start.clone(), other, end.clone()]),
            Some(Malformed::UnexpectedFrame)
        );
    }
    let elsewhere = frame(CONTINUATION, END_HEADERS, 3, &[0x86]);
    assert_eq!(
        refused(&[start, elsewhere]),
        Some(Malformed::UnexpectedFrame)
    );
    // Nor a continuation of nothing.
    assert_eq!(refused(&[end]), Some(Malformed::UnexpectedFrame));
}

#[test]
fn the_preface_and_settings_come_first() {
    let mut stream = hello(&[]);
    assert_eq!(client(&stream, &[]).malformed, None);
    stream[3] = b'?';
    for sizes in [&[][..], &[1]] {
        assert_eq!(client(&stream, sizes).malformed, Some(Malformed::Preface));
        assert_eq!(
            client(b"GET / HTTP/1.1\r\n", sizes).malformed,
            Some(Malformed::Preface)
        );
    }
    for first in [
        frame(PING, 0, 0, &[0; 8]),
        settings_ack(),
        headers(1, 0, &[0x82]),
    ] {
        assert_eq!(server(&first, &[]).malformed, Some(Malformed::Preface));
    }
}

#[test]
fn a_frame_is_no_longer_than_the_other_side_allows() {
    let long = |length| frame(DATA, 0, 1, &vec![0; length]);
    assert_eq!(refused(&[long(16384)]), None);
    assert_eq!(refused(&[long(16385)]), Some(Malformed::FrameLength));
    let announced = |sizes: &[u32]| {
        let mut decoder = FrameDecoder::client();
        for size in sizes {
            decoder.announced(&Settings {
                max_frame_size: Some(*size),
                ..Settings::default()
            });
        }
        decoder
    };
    let refused = |decoder, frames: &[Vec<u8>]| frames_refused(decoder, frames);
    // As soon as it may have been seen, the new size is allowed.
    assert_eq!(refused(announced(&[20000]), &[long(20000)]), None);
    assert_eq!(
        refused(announced(&[20000]), &[long(20001)]),
        Some(Malformed::FrameLength)
    );
    // The old one is until the new one has been acknowledged, of several the last one.
    assert_eq!(
        refused(
            announced(&[30000, 20000]),
            &[long(30000), settings_ack(), long(30000)]
        ),
        None
    );
    let acknowledged = [settings_ack(), settings_ack(), long(20001)];
    assert_eq!(
        refused(announced(&[30000, 20000]), &acknowledged),
        Some(Malformed::FrameLength)
    );
}

fn frames_refused(decoder: FrameDecoder, list: &[Vec<u8>]) -> Option<Malformed> {
    frames(decoder, &hello(list), &[]).malformed
}

#[test]
fn after_an_error_nothing_more_is_seen() {
    let mut decoder = FrameDecoder::client();
    let bad = hello(&[frame(PING, 0, 0, &[0; 3])]);
    assert_eq!(
        decoder.advance(&bad, &mut |_| {}),
        Err(Malformed::FrameLength)
    );
    let good = frame(PING, 0, 0, &[0; 8]);
    let again = decoder.advance(&good, &mut |event| panic!("{event:?}"));
    assert_eq!(again, Err(Malformed::FrameLength));
}

#[test]
fn error_codes_have_names() {
    assert_eq!(ErrorCode::NO_ERROR.label(), "no_error");
    assert_eq!(ErrorCode::REFUSED_STREAM.label(), "refused_stream");
    assert_eq!(ErrorCode::CANCEL.label(), "cancel");
    assert_eq!(ErrorCode::ENHANCE_YOUR_CALM.label(), "enhance_your_calm");
    assert_eq!(ErrorCode(13).label(), "http_1_1_required");
    assert_eq!(ErrorCode(14).label(), "other");
}
