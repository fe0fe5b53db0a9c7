//! From an accepted connection to the session of what its client speaks.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};

use super::{HttpListener, h1, h2};
use crate::exchange::CloseReason;
use crate::listener::sessions::{Alarm, SessionHandle, Verdict};
use crate::protocols::inbox::Inbox;
use crate::protocols::relay::{Ended, Scratch};
use crate::stats::{Gauge, Http};
use crate::stream::Stream;

/// What a client that speaks HTTP/2 sends first (RFC 9113 section 3.4). No HTTP/1 request begins like it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

/// Serves a client to its end. Returns how that was, and how many exchanges were cut off.
pub async fn serve(
    mut client: Stream,
    listener: Rc<HttpListener>,
    handle: &SessionHandle,
    scratch: Scratch,
) -> (Ended, usize) {
    let mut inbox = Inbox::new(Rc::clone(&listener.buffers));
    let _open = Open::new(&listener, Http::DOWNSTREAM_CX_ACTIVE);
    listener.stats.inc(Http::DOWNSTREAM_CX_TOTAL);
    if client.is_tls() {
        listener.stats.inc(Http::DOWNSTREAM_CX_SSL_TOTAL);
    }
    let spoken = match client.alpn() {
        Some(b"h2") => Ok(Spoken::Http2),
        Some(_) => Ok(Spoken::Http1),
        None => first_bytes(&mut client, &listener, &mut inbox, handle, &scratch).await,
    };
    let versions = listener.config.versions;
    match spoken {
        Ok(Spoken::Http1) if versions.http1 => {
            listener.stats.inc(Http::DOWNSTREAM_CX_HTTP1_TOTAL);
            let _open = Open::new(&listener, Http::DOWNSTREAM_CX_HTTP1_ACTIVE);
            let listener = Rc::clone(&listener);
            let mut session = h1::Session::new(listener, client, inbox, handle, scratch);
            session.run().await
        }
        Ok(Spoken::Http2) if versions.http2 => {
            listener.stats.inc(Http::DOWNSTREAM_CX_HTTP2_TOTAL);
            let _open = Open::new(&listener, Http::DOWNSTREAM_CX_HTTP2_ACTIVE);
            // Its state is large: it is not paid for by every HTTP/1 connection.
            Box::pin(h2::serve(
                client,
                inbox,
                Rc::clone(&listener),
                handle,
                scratch,
            ))
            .await
        }
        Ok(_) => (early(CloseReason::Malformed, false), 0),
        Err((reason, by_client)) => (early(reason, by_client), 0),
    }
}

/// Waits until it can be told what the client speaks.
async fn first_bytes(
    client: &mut Stream,
    listener: &HttpListener,
    inbox: &mut Inbox,
    handle: &SessionHandle,
    scratch: &Scratch,
) -> Result<Spoken, (CloseReason, bool)> {
    handle.expect(listener.timeouts.idle, None);
    let mut has_begun = false;
    poll_fn(|cx| {
        loop {
            let seen = inbox.bytes();
            if !seen.is_empty() && !std::mem::replace(&mut has_begun, true) {
                handle.expect(None, listener.timeouts.header);
            }
            if seen.starts_with(PREFACE) {
                return Poll::Ready(Ok(Spoken::Http2));
            }
            if !PREFACE.starts_with(seen) {
                return Poll::Ready(Ok(Spoken::Http1));
            }
            match handle.verdict(cx) {
                Verdict::Go => {}
                Verdict::Drain => return Poll::Ready(Err((CloseReason::Drained, false))),
                Verdict::Idle | Verdict::Abort => {
                    return Poll::Ready(Err((CloseReason::Aborted, false)));
                }
            }
            match handle.alarm() {
                None => {}
                Some(Alarm::Late) => {
                    listener.stats.inc(Http::DOWNSTREAM_RQ_HEADER_TIMEOUT);
                    return Poll::Ready(Err((CloseReason::ClientStalled, false)));
                }
                Some(Alarm::Idle) => {
                    return Poll::Ready(Err((CloseReason::IdleTimeout, false)));
                }
            }
            match ready!(h1::poll_read(client, inbox, scratch, cx)) {
                Ok(0) => return Poll::Ready(Err((CloseReason::Finished, true))),
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err((CloseReason::ClientReset, true))),
            }
        }
    })
    .await
}

/// A connection that is counted by a gauge until this is dropped.
pub(super) struct Open {
    listener: Rc<HttpListener>,
    gauge: Gauge<Http>,
}

impl Open {
    pub(super) fn new(listener: &Rc<HttpListener>, gauge: Gauge<Http>) -> Self {
        listener.stats.gauge_add(gauge, 1);
        Self {
            listener: Rc::clone(listener),
            gauge,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listener.stats.gauge_add(self.gauge, -1);
    }
}

/// A connection that ended before a request came.
fn early(reason: CloseReason, by_client: bool) -> Ended {
    Ended {
        reason,
        by_client,
        received: 0,
        sent: 0,
    }
}
