//! Bodies: where they end, what is passed on, what is refused.

use crate::read::body;
use narrows_parsers::Malformed;
use narrows_parsers::http1::Framing;

const SIZES: [&[usize]; 6] = [&[], &[1], &[2], &[3], &[7], &[1, 5, 2]];

#[test]
fn counted_bodies() {
    for sizes in SIZES {
        let read = body(Framing::Length(5), b"hello, world", sizes);
        assert_eq!(
            (read.content.as_slice(), read.length),
            (b"hello".as_slice(), 5)
        );
        assert_eq!(read.end, Some(Ok(())));
        assert_eq!(body(Framing::Length(50), b"hello", sizes).end, None);
        assert_eq!(body(Framing::None, b"hello", sizes).length, 0);
        assert_eq!(body(Framing::None, b"", sizes).end, Some(Ok(())));
        let endless = body(Framing::UntilClose, b"hello", sizes);
        assert_eq!((endless.length, endless.end), (5, None));
    }
}

#[test]
fn chunks() {
    let whole: [(&str, &str, &str, usize); 9] = [
        ("0\r\n\r\n", "", "0\r\n\r\n", 0),
        (
            "5\r\nhello\r\n0\r\n\r\n",
            "hello",
            "5\r\nhello\r\n0\r\n\r\n",
            0,
        ),
        (
            "00a\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n",
            "0123456789x",
            "00a\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n",
            0,
        ),
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x", "1\r\nx\r\n0\r\n\r\n", 0),
        ("1 ; a = \"b;\\\"\r\"\r\nx\r\n0\r\n\r\n", "", "", 0),
        (
            "1 ; a\t= \"b;\\\" \" ;c;d=e ;f=\"\"\r\nx\r\n0\r\n\r\n",
            "x",
            "1\r\nx\r\n0\r\n\r\n",
            0,
        ),
        (
            "0\r\nA: b\r\nC:d\r\n\r\n",
            "",
            "0\r\nA: b\r\nC:d\r\n\r\n",
            0,
        ),
        (
            "0\r\nContent-Length: 5\r\nA: b\r\nHost: x\r\ncookie: x\r\n\r\n",
            "",
            "0\r\nA: b\r\n\r\n",
            3,
        ),
        (
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "",
            "0\r\n\r\n",
            1,
        ),
    ];
    for sizes in SIZES {
        for (bytes, content, forwarded, dropped) in whole {
            let next = format!("{bytes}GET / HTTP/1.1\r\n");
            let read = body(Framing::Chunked, next.as_bytes(), sizes);
            if forwarded.is_empty() {
                assert_eq!(read.end, Some(Err(Malformed::ChunkExtension)), "{bytes:?}");
                continue;
            }
            assert_eq!(read.end, Some(Ok(())), "{bytes:?}");
            assert_eq!(
                read.content.escape_ascii().to_string(),
                content.escape_default().to_string()
            );
            assert_eq!(
                read.forwarded.escape_ascii().to_string(),
                forwarded.escape_default().to_string()
            );
            assert_eq!(
                (read.length, read.dropped),
                (bytes.len(), dropped),
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn chunks_that_are_none() {
    let cases: [(&str, Malformed); 36] = [
        ("", Malformed::ChunkSize),
        ("\r\n", Malformed::ChunkSize),
        (" 1\r\nx\r\n", Malformed::ChunkSize),
        ("+1\r\nx\r\n", Malformed::ChunkSize),
        ("-1\r\nx\r\n", Malformed::ChunkSize),
        ("0x1\r\nx\r\n", Malformed::ChunkSize),
        ("1_0\r\n", Malformed::ChunkSize),
        ("1h\r\n", Malformed::ChunkSize),
        ("g\r\n", Malformed::ChunkSize),
        (";a\r\n", Malformed::ChunkSize),
        ("\0\r\n", Malformed::ChunkSize),
        ("1.0\r\n", Malformed::ChunkSize),
        ("10000000000000000\r\n", Malformed::ChunkSize),
        ("00000000000000001\r\nx\r\n", Malformed::ChunkSize),
        ("1\nx\r\n", Malformed::BareLf),
        ("1\rx\r\n", Malformed::BareCr),
        ("1\r\r\nx\r\n", Malformed::BareCr),
        ("1 \r\nx\r\n", Malformed::ChunkExtension),
        ("1 1\r\nx\r\n", Malformed::ChunkExtension),
        ("1;\r\nx\r\n", Malformed::ChunkExtension),
        ("1;a=\r\nx\r\n", Malformed::ChunkExtension),
        ("1;a \r\nx\r\n", Malformed::ChunkExtension),
        ("1;a\nx\r\n", Malformed::BareLf),
        ("1;a\rb\r\nx\r\n", Malformed::BareCr),
        ("1;a=\"b\rc\"\r\nx\r\n", Malformed::ChunkExtension),
        ("1;a=\"b\nc\"\r\nx\r\n", Malformed::BareLf),
        ("1;a=\"b\r\nx\r\n", Malformed::ChunkExtension),
        ("1;a=\"b\"c\r\nx\r\n", Malformed::ChunkExtension),
        ("1;\0\r\nx\r\n", Malformed::ChunkExtension),
        ("1\r\nxy\r\n", Malformed::ChunkEnd),
        ("1\r\nx\n", Malformed::ChunkEnd),
        ("1\r\nx\rz", Malformed::ChunkEnd),
        ("1\r\nx1\r\ny\r\n", Malformed::ChunkEnd),
        ("0\r\n A: b\r\n\r\n", Malformed::ObsFold),
        ("0\r\nA : b\r\n\r\n", Malformed::SpaceBeforeColon),
        ("0\r\nA: b\n\r\n", Malformed::BareLf),
    ];
    for sizes in SIZES {
        for (bytes, reason) in cases {
            // Behind it is what a smuggler would have read as the next request.
            let bytes = format!("{bytes}GET /admin HTTP/1.1\r\n\r\n");
            let read = body(Framing::Chunked, bytes.as_bytes(), sizes);
            assert_eq!(read.end, Some(Err(reason)), "{bytes:?} in {sizes:?}");
            assert!(!read.forwarded.ends_with(b"0\r\n\r\n"), "{bytes:?}");
        }
    }
}
