//! The two directions of a connection, for a tap.

use super::field::{HeaderField, Headers, Span};
use super::framing::RequestKind;
use super::head::{RequestHead, ResponseHead};
use super::names::Known;
use super::stream::{Found, Stream};
use crate::Step;

/// Something that has been seen of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<H> {
    /// The head is whole.
    Head(H),
    /// The body is whole, and with it the message.
    End {
        /// Bytes of content: what the body carried, without the framing of chunks.
        content: u64,
    },
}

/// A head with the bytes that it stands in.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a, H> {
    /// What it says.
    pub head: H,
    headers: &'a Headers,
    bytes: &'a [u8],
}

impl<'a, H> Seen<'a, H> {
    /// What stands at a place in the head.
    pub fn text(&self, span: Span) -> &'a [u8] {
        span.of(self.bytes)
    }

    /// The fields, in the order they came.
    pub fn fields(&self) -> &'a [HeaderField] {
        self.headers.as_slice()
    }

    /// The value of the first field of that meaning.
    pub fn value(&self, known: Known) -> Option<&'a [u8]> {
        Some(self.text(self.headers.find(known)?.value))
    }

    /// The value of the first field of that name, in whatever case.
    pub fn value_of(&self, name: &[u8]) -> Option<&'a [u8]> {
        Some(self.text(self.headers.named(self.bytes, name)?.value))
    }
}

/// Decodes what a client sends on one connection.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    stream: Stream,
}

impl RequestDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed`, even when nothing is, until `NeedMore`,
    /// which has used all of `bytes`.
    pub fn advance<'a>(&'a mut self, bytes: &'a [u8]) -> Step<Event<Seen<'a, RequestHead>>> {
        let found = self.stream.advance(
            bytes,
            |parser, buf, headers| parser.request(buf, headers),
            |head| (head.length, Some(head.framing)),
        );
        match found {
            Ok(found) => self.stream.step(bytes, found),
            Err(reason) => Step::Malformed(reason),
        }
    }

    /// The connection has become a tunnel: nothing that follows is looked at.
    pub fn tunnel(&mut self) {
        self.stream.tunnel();
    }

    /// True when the next byte starts a message: nothing of a message is pending.
    pub fn is_between_messages(&self) -> bool {
        self.stream.is_between_messages()
    }

    /// Heap memory that is held, in bytes.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.stream.retained_bytes()
    }
}

/// Decodes what a server sends on one connection.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    stream: Stream,
}

impl ReplyDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream, which answer a request of that kind: the oldest one whose reply has not ended. Call again
    /// with what is left after `consumed`, even when nothing is, until `NeedMore`, which has used all of `bytes`. An interim reply has a
    /// head and no end.
    pub fn advance<'a>(
        &'a mut self,
        bytes: &'a [u8],
        request: RequestKind,
    ) -> Step<Event<Seen<'a, ResponseHead>>> {
        let found = self.stream.advance(
            bytes,
            |parser, buf, headers| parser.response(buf, headers, request),
            |head| (head.length, (!head.is_interim()).then_some(head.framing)),
        );
        match found {
            Ok(found) => self.stream.step(bytes, found),
            Err(reason) => Step::Malformed(reason),
        }
    }

    /// The last reply made the connection a tunnel: nothing that follows is looked at.
    pub fn is_tunnel(&self) -> bool {
        self.stream.is_tunnel()
    }

    /// The content of the reply that is whole if the connection ends here.
    pub fn content_at_end(&self) -> Option<u64> {
        self.stream.content_at_end()
    }

    /// True when the next byte starts a message: nothing of a message is pending.
    pub fn is_between_messages(&self) -> bool {
        self.stream.is_between_messages()
    }

    /// Heap memory that is held, in bytes.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.stream.retained_bytes()
    }
}

impl Stream {
    fn step<'a, H>(&'a self, bytes: &'a [u8], found: Found<H>) -> Step<Event<Seen<'a, H>>> {
        match found {
            Found::Nothing => Step::NeedMore,
            Found::Head {
                consumed,
                head,
                carried,
            } => Step::Message {
                consumed,
                message: Event::Head(Seen {
                    head,
                    headers: &self.headers,
                    bytes: if carried { &self.carry } else { bytes },
                }),
            },
            Found::End { consumed, content } => Step::Message {
                consumed,
                message: Event::End { content },
            },
        }
    }
}
