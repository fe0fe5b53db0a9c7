//! HTTP/2: each exchange has a stream of its own.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use narrows_parsers::http2::{Event, Field, FrameDecoder, Known, grpc as wire};

use super::Watched;
use super::passing::{Finishing, MAX_OUTSTANDING, Passing, TOO_MANY_OUTSTANDING, Watch};
use crate::config::HttpVersion;
use crate::protocols::http::HttpListener;
use crate::protocols::http::h2::grpc::{self, Call, Messages};
use crate::protocols::http::series::cut_caller;
use crate::stats::HttpTwo;

/// Of a longer path no call of gRPC is known: names of methods are short, and it would have to be kept until the head is whole.
const MAX_PATH_BYTES: usize = 1_024;

/// What is known of a connection in HTTP/2.
pub(super) struct Two {
    requests: FrameDecoder,
    replies: FrameDecoder,
    streams: Streams,
}

/// The exchanges of a connection.
#[derive(Default)]
struct Streams {
    open: HashMap<u32, Stream, foldhash::fast::RandomState>,
    /// The last stream that the client began.
    newest: u32,
    /// The request whose head comes.
    head: Head,
    /// Requests that have been read to their end: where that is in the client's stream, and their streams.
    unwritten: Vec<(u64, u32)>,
    finishing: Finishing<Stream>,
    too_many: bool,
}

/// One exchange.
struct Stream {
    passing: Passing,
    call: Option<Box<CallSeen>>,
    /// It is a tunnel when the server agrees.
    is_connect: bool,
    _active: Active,
}

/// A call of gRPC.
struct CallSeen {
    call: Call,
    requests: Messages,
    replies: Messages,
    status: Option<u16>,
}

/// What is gathered of a request's head as its fields come.
#[derive(Default)]
struct Head {
    /// The stream, while there is one that has not come whole.
    stream: Option<u32>,
    bytes: u64,
    is_connect: bool,
    is_grpc: bool,
    path: Vec<u8>,
    caller: Vec<u8>,
}

impl Default for Two {
    fn default() -> Self {
        Self {
            requests: FrameDecoder::client(),
            replies: FrameDecoder::server(),
            streams: Streams::default(),
        }
    }
}

impl<T> Default for Finishing<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl Two {
    pub(super) fn request_read(&mut self, watch: &mut Watch, bytes: &[u8]) -> Watched {
        let Self {
            requests,
            replies,
            streams,
        } = self;
        let now = Instant::now();
        let seen = requests.advance(bytes, &mut |event| match event {
            Event::Settings(settings) => replies.announced(&settings),
            event => streams.request(watch, &event, now),
        });
        seen.map_err(|reason| reason.label())?;
        match streams.too_many {
            true => Err(TOO_MANY_OUTSTANDING),
            false => Ok(()),
        }
    }

    pub(super) fn reply_read(&mut self, watch: &mut Watch, bytes: &[u8]) -> Watched {
        let Self {
            requests,
            replies,
            streams,
        } = self;
        let now = Instant::now();
        let seen = replies.advance(bytes, &mut |event| match event {
            Event::Settings(settings) => requests.announced(&settings),
            event => streams.reply(watch, &event, now),
        });
        seen.map_err(|reason| reason.label())
    }

    /// A request has been read to its end that has not been written.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.streams.unwritten.is_empty()
    }

    pub(super) fn request_written(&mut self, watch: &Watch, total: u64) {
        let Streams {
            unwritten, open, ..
        } = &mut self.streams;
        let written = unwritten.iter().take_while(|(end, _)| *end <= total);
        let written = written.count();
        for (_, stream) in unwritten.drain(..written) {
            if let Some(stream) = open.get_mut(&stream) {
                stream.passing.underway.request_written = Some(watch.write_began);
            }
        }
    }

    pub(super) fn reply_written(&mut self, total: u64) {
        self.streams.finishing.written(total, Stream::finish);
    }

    pub(super) fn outstanding(&self) -> usize {
        self.streams.open.len() + self.streams.finishing.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outstanding() == 0
            && self.requests.is_between_frames()
            && self.replies.is_between_frames()
    }

    /// The connection ended.
    pub(super) fn end(&mut self, by_upstream: bool) {
        let open = std::mem::take(&mut self.streams.open);
        open.into_values()
            .for_each(|stream| stream.cut(by_upstream));
        // What the server has said was not written: it is the client that left.
        let finishing = self.streams.finishing.take();
        finishing.for_each(|stream| stream.cut(false));
    }

    /// The connection is no longer followed: nothing is known of how what is under way ends.
    pub(super) fn forget(&mut self) {
        let open = std::mem::take(&mut self.streams.open).into_values();
        for mut stream in open.chain(self.streams.finishing.take()) {
            stream.passing.underway.forget();
        }
    }
}

impl Streams {
    /// Something that the client has sent.
    fn request(&mut self, watch: &mut Watch, event: &Event<'_>, now: Instant) {
        match *event {
            // A stream that is open has trailers; one that was is over, whatever the client still sends.
            Event::Headers { stream } if stream % 2 == 1 && stream > self.newest => {
                self.newest = stream;
                self.head.begin(stream);
            }
            Event::Field { stream, field } if self.head.stream == Some(stream) => {
                let name = watch.listener.config.caller_header.as_deref();
                self.head.add(&field, name.map(str::as_bytes));
            }
            Event::Field { stream, field } => {
                if let Some(stream) = self.open.get_mut(&stream) {
                    stream.passing.underway.request_bytes += size(&field);
                }
            }
            Event::HeadersEnd {
                stream, end_stream, ..
            } => {
                if self.head.stream.take() == Some(stream) {
                    self.begin(watch, stream, now);
                }
                if end_stream {
                    self.request_ended(watch, stream);
                }
            }
            Event::Data {
                stream,
                bytes,
                end_stream,
            } => {
                if let Some(stream) = self.open.get_mut(&stream) {
                    stream.passing.underway.request_bytes += bytes.len() as u64;
                    if let Some(seen) = &mut stream.call {
                        seen.requests.pass(bytes);
                    }
                }
                if end_stream {
                    self.request_ended(watch, stream);
                }
            }
            Event::Reset { stream, .. } => {
                if let Some(stream) = self.open.remove(&stream) {
                    watch.listener.two.inc(HttpTwo::RX_RESET);
                    stream.cut(false);
                }
            }
            Event::GoAway { .. } => watch.listener.two.inc(HttpTwo::RX_GOAWAY),
            _ => {}
        }
    }

    /// The head of a request is whole.
    fn begin(&mut self, watch: &mut Watch, stream: u32, start: Instant) {
        if self.open.len() >= MAX_OUTSTANDING {
            self.too_many = true;
            return;
        }
        let mut passing = watch.begin(HttpVersion::Http2, start, &self.head.caller);
        passing.underway.request_bytes = self.head.bytes;
        let listener = &watch.listener;
        let call = self
            .head
            .is_grpc
            .then(|| listener.grpc.call(&self.head.path));
        let call = call.flatten().map(|call| {
            Box::new(CallSeen {
                call,
                requests: Messages::default(),
                replies: Messages::default(),
                status: None,
            })
        });
        let begun = Stream {
            passing,
            call,
            is_connect: self.head.is_connect,
            _active: Active::new(listener),
        };
        self.open.insert(stream, begun);
    }

    /// It ends with the bytes at hand: where among them is not known, and makes no difference, for they are written in one go.
    fn request_ended(&mut self, watch: &Watch, stream: u32) {
        let end = watch.requests_read;
        if let Some(open) = self.open.get_mut(&stream) {
            open.passing.request_end = Some(end);
            self.unwritten.push((end, stream));
        }
    }

    /// Something that the server has sent.
    fn reply(&mut self, watch: &Watch, event: &Event<'_>, now: Instant) {
        match *event {
            Event::Headers { stream } => {
                if let Some(stream) = self.open.get_mut(&stream) {
                    stream.passing.underway.first_byte.get_or_insert(now);
                }
            }
            Event::Field { stream, field } => {
                if let Some(stream) = self.open.get_mut(&stream) {
                    stream.reply_field(&field);
                }
            }
            Event::HeadersEnd {
                stream, end_stream, ..
            } => {
                if let Some(open) = self.open.get_mut(&stream) {
                    let underway = &mut open.passing.underway;
                    // An interim reply: another one follows (RFC 9113 section 8.1).
                    if underway.status.take_if(|status| *status < 200).is_some() {
                        underway.first_byte = None;
                    }
                }
                self.reply_went_on(watch, stream, end_stream, now);
            }
            Event::Data {
                stream,
                bytes,
                end_stream,
            } => {
                if let Some(stream) = self.open.get_mut(&stream) {
                    stream.passing.underway.reply_bytes += bytes.len() as u64;
                    if let Some(seen) = &mut stream.call {
                        seen.replies.pass(bytes);
                    }
                }
                self.reply_went_on(watch, stream, end_stream, now);
            }
            Event::Reset { stream, .. } => {
                if let Some(stream) = self.open.remove(&stream) {
                    stream.cut(true);
                }
            }
            // RFC 9113 section 6.8: what is beyond the last stream was not looked at, and gets no reply.
            Event::GoAway { last_stream, .. } => {
                let refused = self.open.extract_if(|stream, _| *stream > last_stream);
                refused.for_each(|(_, stream)| stream.cut(true));
            }
            _ => {}
        }
    }

    fn reply_went_on(&mut self, watch: &Watch, stream: u32, is_over: bool, now: Instant) {
        if is_over && let Some(mut stream) = self.open.remove(&stream) {
            stream.passing.reply_ended(&watch.listener, now);
            self.finishing.push(watch.replies_read, stream);
        }
    }
}

impl Stream {
    fn reply_field(&mut self, field: &Field<'_>) {
        let underway = &mut self.passing.underway;
        underway.reply_bytes += size(field);
        match field.known {
            Known::Status if underway.status.is_none() => underway.status = number(field.value),
            Known::GrpcStatus => {
                if let Some(seen) = &mut self.call {
                    seen.status = Some(number(field.value).unwrap_or(grpc::UNKNOWN));
                }
            }
            _ => {}
        }
    }

    /// report: its reply was written to the end.
    fn finish(mut self, now: Instant) {
        let underway = &mut self.passing.underway;
        if let Some(seen) = &self.call {
            let took = now.saturating_duration_since(underway.start);
            seen.report(seen.ended(underway.status), Some(took));
        }
        let agreed = underway.status.is_some_and(|status| status < 300);
        match self.is_connect && agreed {
            true => underway.finish_tunnel(),
            false => underway.finish(now),
        }
    }

    /// report: it was left by its client, or its server.
    fn cut(self, by_upstream: bool) {
        if let Some(seen) = &self.call {
            let status = match by_upstream {
                true => grpc::UNAVAILABLE,
                false => grpc::CANCELLED,
            };
            seen.report(status, None);
        }
        self.passing.cut(by_upstream);
    }
}

impl CallSeen {
    /// A reply that is no gRPC says how the call ended by its HTTP status.
    fn ended(&self, status: Option<u16>) -> u16 {
        self.status.unwrap_or(match status {
            Some(200) | None => grpc::UNKNOWN,
            Some(status) => grpc::mapped(status),
        })
    }

    fn report(&self, status: u16, took: Option<Duration>) {
        let messages = (self.requests.count(), self.replies.count());
        self.call.report(status, messages, took);
    }
}

impl Head {
    fn begin(&mut self, stream: u32) {
        self.stream = Some(stream);
        self.bytes = 0;
        self.is_connect = false;
        self.is_grpc = false;
        self.path.clear();
        self.caller.clear();
    }

    fn add(&mut self, field: &Field<'_>, caller_header: Option<&[u8]>) {
        self.bytes += size(field);
        match field.known {
            Known::Method => self.is_connect = field.value == b"CONNECT",
            Known::ContentType => self.is_grpc |= wire::is_grpc(field.value),
            Known::Path if field.value.len() <= MAX_PATH_BYTES => {
                self.path.extend_from_slice(field.value);
            }
            _ => {}
        }
        if self.caller.is_empty() && caller_header == Some(field.name) {
            self.caller.extend_from_slice(cut_caller(field.value));
        }
    }
}

/// An open stream, in its gauge until it is dropped.
struct Active(Rc<HttpListener>);

impl Active {
    fn new(listener: &Rc<HttpListener>) -> Self {
        listener.two.gauge_add(HttpTwo::STREAMS_ACTIVE, 1);
        Self(Rc::clone(listener))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.two.gauge_add(HttpTwo::STREAMS_ACTIVE, -1);
    }
}

/// What a field counts for, as in mode proxy: name and value, with what HTTP/1 writes around them.
fn size(field: &Field<'_>) -> u64 {
    (field.name.len() + field.value.len() + 4) as u64
}

fn number(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
