//! Tap mode: watches one connection's two byte streams, and pairs requests with replies.
//!
//! decode → observe: what the client speaks shows in its first bytes; then `one` or `two` has a decoder for each direction. A request
//! whose head is whole is `passing` until its reply has been written to the client; then it is reported like one that was proxied.
//! Whatever the decoders think of the bytes, the relay passes them on: at the first one that can't be, the tap counts why and goes blind
//! for the rest of the connection.

mod one;
mod passing;
mod two;

use std::rc::Rc;
use std::time::Instant;

use narrows_parsers::http2::PREFACE;

use super::HttpListener;
use super::session::Open;
use crate::exchange::CloseReason;
use crate::protocols::relay::{Ended, Observer, TLS, is_tls};
use crate::stats::{ClusterEndpoint, Http, Scope};
use one::One;
use passing::{UNEXPECTED_REPLY, Watch};
use two::Two;

/// Observes one client connection.
pub struct Tap {
    watch: Watch,
    spoken: Spoken,
    _open: Open,
    _open_version: Option<Open>,
}

/// What the client speaks.
enum Spoken {
    /// It is not known yet.
    Unknown(Beginning),
    Http1(Box<One>),
    Http2(Box<Two>),
    /// Nothing that can be followed, or no longer.
    Blind,
}

/// The start of a connection.
#[derive(Default)]
struct Beginning {
    /// So many bytes came from the client, all as HTTP/2 begins.
    seen: usize,
    /// A server of HTTP/2 need not wait for its client before it says what it accepts (RFC 9113 section 3.4).
    early: Option<Box<Two>>,
}

/// Bytes were followed, or can't be any more, for this reason.
type Watched = Result<(), &'static str>;

impl Tap {
    /// A tap on a new connection, which goes to this endpoint.
    pub fn new(
        listener: &Rc<HttpListener>,
        endpoint: Option<Scope<ClusterEndpoint>>,
        is_tls: bool,
    ) -> Self {
        listener.stats.inc(Http::DOWNSTREAM_CX_TOTAL);
        if is_tls {
            listener.stats.inc(Http::DOWNSTREAM_CX_SSL_TOTAL);
        }
        Self {
            watch: Watch::new(listener, endpoint),
            spoken: Spoken::Unknown(Beginning::default()),
            _open: Open::new(listener, Http::DOWNSTREAM_CX_ACTIVE),
            _open_version: None,
        }
    }

    /// Requests without a reply that was written whole.
    pub fn outstanding(&self) -> usize {
        match &self.spoken {
            Spoken::Http1(one) => one.outstanding(),
            Spoken::Http2(two) => two.outstanding(),
            Spoken::Unknown(_) | Spoken::Blind => 0,
        }
    }

    /// The connection ended: what was under way is reported as whole where its end is the connection's, and else as cut off.
    pub fn end(&mut self, ended: &Ended) {
        let by_upstream = match ended.reason {
            CloseReason::UpstreamReset => true,
            CloseReason::Finished => !ended.by_client,
            _ => false,
        };
        let in_order = ended.reason == CloseReason::Finished;
        match &mut self.spoken {
            Spoken::Http1(one) => one.end(&self.watch, in_order, by_upstream),
            Spoken::Http2(two) => two.end(by_upstream),
            Spoken::Unknown(_) | Spoken::Blind => {}
        }
        self.spoken = Spoken::Blind;
    }

    fn watched(&mut self, watched: Watched) {
        let Err(reason) = watched else {
            return;
        };
        match &mut self.spoken {
            Spoken::Http1(one) => one.forget(),
            Spoken::Http2(two) => two.forget(),
            Spoken::Unknown(_) | Spoken::Blind => {}
        }
        self.spoken = Spoken::Blind;
        self.watch.listener.decoding_error(reason);
    }

    /// The first bytes: as long as they are the start of HTTP/2's preface they say nothing yet.
    fn find_out(&mut self, bytes: &[u8]) -> Watched {
        let Spoken::Unknown(beginning) = &mut self.spoken else {
            return Ok(());
        };
        let seen = beginning.seen;
        let awaited = PREFACE.get(seen..).unwrap_or_default();
        let held = PREFACE.get(..seen).unwrap_or_default();
        let compared = awaited.len().min(bytes.len());
        let is_preface = bytes.get(..compared) == awaited.get(..compared);
        if seen == 0 && is_tls(bytes) {
            return Err(TLS);
        }
        if is_preface && compared < awaited.len() {
            beginning.seen += compared;
            return Ok(());
        }
        let early = beginning.early.take();
        if early.is_some() && !is_preface {
            return Err(UNEXPECTED_REPLY);
        }
        let (total, active) = match is_preface {
            true => (
                Http::DOWNSTREAM_CX_HTTP2_TOTAL,
                Http::DOWNSTREAM_CX_HTTP2_ACTIVE,
            ),
            false => (
                Http::DOWNSTREAM_CX_HTTP1_TOTAL,
                Http::DOWNSTREAM_CX_HTTP1_ACTIVE,
            ),
        };
        let listener = &self.watch.listener;
        listener.stats.inc(total);
        self._open_version = Some(Open::new(listener, active));
        self.spoken = match is_preface {
            true => Spoken::Http2(early.unwrap_or_default()),
            false => Spoken::Http1(Box::new(One::new())),
        };
        if !held.is_empty() {
            self.request(held, 0)?;
        }
        self.request(bytes, held.len() as u64)
    }

    /// Bytes that begin at this place of the client's stream.
    fn request(&mut self, bytes: &[u8], at: u64) -> Watched {
        match &mut self.spoken {
            Spoken::Http1(one) => one.request_read(&mut self.watch, bytes, at),
            Spoken::Http2(two) => two.request_read(&mut self.watch, bytes),
            Spoken::Unknown(_) | Spoken::Blind => Ok(()),
        }
    }
}

impl Observer for Tap {
    fn request_read(&mut self, bytes: &[u8]) {
        let at = self.watch.requests_read;
        self.watch.requests_read += bytes.len() as u64;
        let watched = match self.spoken {
            Spoken::Blind => return,
            Spoken::Unknown(_) => self.find_out(bytes),
            Spoken::Http1(_) | Spoken::Http2(_) => self.request(bytes, at),
        };
        self.watched(watched);
    }

    fn request_writing(&mut self) {
        let unwritten = match &self.spoken {
            Spoken::Http1(one) => one.has_unwritten(),
            Spoken::Http2(two) => two.has_unwritten(),
            Spoken::Unknown(_) | Spoken::Blind => false,
        };
        if unwritten {
            self.watch.write_began = Instant::now();
        }
    }

    fn request_written(&mut self, total: u64) {
        match &mut self.spoken {
            Spoken::Http1(one) => one.request_written(&self.watch, total),
            Spoken::Http2(two) => two.request_written(&self.watch, total),
            Spoken::Unknown(_) | Spoken::Blind => {}
        }
    }

    fn reply_read(&mut self, bytes: &[u8]) {
        self.watch.replies_read += bytes.len() as u64;
        let watched = match &mut self.spoken {
            Spoken::Http1(one) => one.reply_read(&mut self.watch, bytes),
            Spoken::Http2(two) => two.reply_read(&mut self.watch, bytes),
            Spoken::Unknown(beginning) => {
                let early = beginning.early.get_or_insert_default();
                let watched = early.reply_read(&mut self.watch, bytes);
                watched.map_err(|_| UNEXPECTED_REPLY)
            }
            Spoken::Blind => return,
        };
        self.watched(watched);
    }

    fn reply_written(&mut self, total: u64) {
        match &mut self.spoken {
            Spoken::Http1(one) => one.reply_written(total),
            Spoken::Http2(two) => two.reply_written(total),
            Spoken::Unknown(_) | Spoken::Blind => {}
        }
    }

    fn is_idle(&self) -> bool {
        match &self.spoken {
            Spoken::Http1(one) => one.is_idle(),
            Spoken::Http2(two) => two.is_idle(),
            Spoken::Unknown(beginning) => beginning.seen == 0,
            Spoken::Blind => false,
        }
    }
}
