//! HTTP/2 frames by hand, for clients that have to be exact, or exactly wrong.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::peer::connect;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0
    }
}

/// The bytes of one frame, which may claim whatever the test wants.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block without any compression: each field a literal that is not indexed.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for part in [name.as_ref(), value.as_ref()] {
            integer(&mut bytes, 7, 0, part.len());
            bytes.extend(part);
        }
    }
    bytes
}

/// RFC 7541 section 5.1.
pub fn integer(bytes: &mut Vec<u8>, prefix: u32, flags: u8, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        bytes.push(flags | value as u8);
        return;
    }
    bytes.push(flags | most as u8);
    value -= most;
    while value >= 128 {
        bytes.push(128 | (value & 127) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The four that every request has.
pub fn request_fields<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ]
}

/// A client connection that has said its preface and its settings.
pub struct Frames {
    pub stream: TcpStream,
    /// The last code of a GOAWAY that came.
    pub goaway: Option<u32>,
}

impl Frames {
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    /// Settings as (identifier, value).
    pub fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = connect(address);
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        stream.write_all(&hello).unwrap();
        Self {
            stream,
            goaway: None,
        }
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(kind, flags, stream, payload))
    }

    /// A whole request without a body.
    pub fn get(&mut self, stream: u32, path: &str) -> io::Result<()> {
        let block = block(&request_fields("GET", path));
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    }

    /// The next frame; `None` when the other side has closed.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff,
            payload,
        };
        if frame.kind == GOAWAY {
            self.goaway = Some(frame.code());
        }
        Some(frame)
    }

    /// Reads until a frame is the one that is looked for; `None` when the other side closes before.
    pub fn read_until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == SETTINGS && frame.flags & ACK == 0 {
                let _ = self.send(SETTINGS, ACK, 0, &[]);
            }
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// How a stream ended, or the connection with it.
    pub fn end_of(&mut self, stream: u32) -> End {
        let mut status = None;
        let end = self.read_until(|frame| {
            frame.kind == GOAWAY && frame.code() != 0
                || frame.stream == stream
                    && (frame.ends_stream() || matches!(frame.kind, HEADERS | RST_STREAM))
        });
        let mut end = end;
        while let Some(frame) = &end {
            match frame.kind {
                GOAWAY => return End::Goaway(frame.code()),
                RST_STREAM => return End::Reset(frame.code()),
                HEADERS if status.is_none() => status = Some(status_of(&frame.payload)),
                _ => {}
            }
            if frame.ends_stream() {
                return End::Reply(status.unwrap());
            }
            end = self.read_until(|frame| {
                frame.kind == GOAWAY && frame.code() != 0
                    || frame.stream == stream && (frame.ends_stream() || frame.kind == RST_STREAM)
            });
        }
        End::Closed
    }

    /// Reads to the end: the last GOAWAY's code.
    pub fn drain(&mut self) -> Option<u32> {
        while self.read().is_some() {}
        self.goaway
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Reply(u16),
    Reset(u32),
    Goaway(u32),
    Closed,
}

impl End {
    /// Whether the request was not taken.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Reply(status) => (400..500).contains(&status),
            Self::Reset(_) | Self::Goaway(_) | Self::Closed => true,
        }
    }
}

/// `:status` is the first field of a reply: one of the static table, or a literal beside its name.
fn status_of(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    let block = &block[at..];
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        0x08 | 0x18 | 0x48 => digits(block[1], &block[2..]),
        other => panic!("a reply begins with {other:#x}"),
    }
}

/// Three digits, as they are or in Huffman's code (RFC 7541 appendix B: 0 to 2 have five bits, 3 to 9 six).
fn digits(length: u8, value: &[u8]) -> u16 {
    if length & 0x80 == 0 {
        return std::str::from_utf8(&value[..3]).unwrap().parse().unwrap();
    }
    let bits: u64 = value[..(length & 0x7f) as usize]
        .iter()
        .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = 8 * u32::from(length & 0x7f);
    let mut number = 0;
    for _ in 0..3 {
        let five = (bits >> (left - 5)) & 0x1f;
        if five <= 2 {
            number = number * 10 + five as u16;
            left -= 5;
        } else {
            let six = (bits >> (left - 6)) & 0x3f;
            number = number * 10 + (six as u16 - 0x19 + 3);
            left -= 6;
        }
    }
    number
}
