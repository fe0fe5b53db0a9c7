//! HTTP/1: one client connection, a request at a time.
//!
//! The main loop of a [`Session`] reads like the data path. A head is read, decoded and decided on in one go (`read`): what comes of it is
//! either a reply of the proxy's own, or the head as an upstream gets it (`head`), made by copying the parts of the read buffer that stay.
//! Then a connection is lent, the request goes out and its reply comes back (`forward`, `exchange`, `reply`), bodies as they come
//! (`flow`), both ways at the same time. A connection that becomes a tunnel ends there (`tunnel`).
//!
//! Nothing is ever left over between two requests: a connection serves again, on either side, only when exactly one message has passed
//! on it to its last byte. Whatever else happens, it is closed.

mod answer;
mod exchange;
mod flow;
mod forward;
mod head;
mod in_h2;
mod read;
mod reply;
mod request;
mod tunnel;
mod view;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use narrows_parsers::http1::HeadParser;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::HttpListener;
use super::series::Series;
use crate::exchange::CloseReason;
use crate::listener::sessions::SessionHandle;
use crate::protocols::inbox::Inbox;
use crate::protocols::relay::{Ended, Scratch};
use crate::stream::Stream;

/// One client connection.
pub struct Session<'a> {
    listener: Rc<HttpListener>,
    client: Stream,
    handle: &'a SessionHandle,
    scratch: Scratch,
    /// What the client has sent and nobody has dealt with yet.
    inbox: Inbox,
    heads: HeadParser,
    /// The client's address, as `x-forwarded-for` has it.
    peer: Box<str>,
    /// The series of the last request.
    recent: Option<Rc<Series>>,
    received: u64,
    sent: u64,
}

/// Why a session can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    reason: CloseReason,
    by_client: bool,
    /// A request was under way.
    cut: bool,
}

impl End {
    const CLIENT_FINISHED: Self = Self {
        reason: CloseReason::Finished,
        by_client: true,
        cut: false,
    };
    const CLIENT_RESET: Self = Self {
        reason: CloseReason::ClientReset,
        by_client: true,
        cut: false,
    };

    fn by_us(reason: CloseReason) -> Self {
        Self {
            reason,
            by_client: false,
            cut: false,
        }
    }

    /// The same, with a request under way.
    fn cutting(self) -> Self {
        Self { cut: true, ..self }
    }
}

impl<'a> Session<'a> {
    /// A session with a client of whom `inbox` has come.
    pub fn new(
        listener: Rc<HttpListener>,
        client: Stream,
        inbox: Inbox,
        handle: &'a SessionHandle,
        scratch: Scratch,
    ) -> Self {
        let peer = client.tcp().peer_addr().ok();
        Self {
            peer: peer.map_or_else(Box::default, |peer| {
                peer.ip().to_canonical().to_string().into()
            }),
            received: 0,
            listener,
            client,
            handle,
            scratch,
            inbox,
            heads: HeadParser::new(),
            recent: None,
            sent: 0,
        }
    }

    /// Serves the client to its end. Returns how that was, and how many exchanges were cut off.
    pub async fn run(&mut self) -> (Ended, usize) {
        let end = loop {
            if let Err(end) = self.serve_next().await {
                break end;
            }
        };
        if !end.cut {
            self.client.announce_end();
        }
        let ended = Ended {
            reason: end.reason,
            by_client: end.by_client,
            received: self.received,
            sent: self.sent,
        };
        (ended, usize::from(end.cut))
    }

    /// One request, from its first byte to the last byte of its reply.
    async fn serve_next(&mut self) -> Result<(), End> {
        let mut place = None;
        self.next_request(&mut place).await?;
        let Some(request) = &mut place else {
            return Ok(());
        };
        match &request.destination {
            // Its state is large: it is not paid for by every session.
            Some(to) if to.in_h2.is_some() => Box::pin(self.forward_in_h2(request)).await?,
            Some(_) => self.forward(request).await?,
            None => {}
        }
        self.answer(request).await
    }
}

/// Reads some bytes into an inbox; how many. None is the end of the stream.
///
/// The worker's scratch buffer has room for more than what has come: tokio then knows that there is no more, and asks the system no
/// second time.
pub(super) fn poll_read(
    stream: &mut Stream,
    inbox: &mut Inbox,
    scratch: &Scratch,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut scratch = scratch.borrow_mut();
    let mut read = ReadBuf::new(&mut scratch);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    let bytes = read.filled();
    if !bytes.is_empty() {
        inbox.push(bytes);
    }
    Poll::Ready(Ok(bytes.len()))
}
