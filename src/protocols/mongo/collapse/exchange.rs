//! forward: one operation over a connection that is lent for it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;
use narrows_parsers::mongo::{Compressor, inflate_message};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::incoming::Incoming;
use super::operation::{Operation, Routed};
use super::place::{Lent, Unlent};
use super::{End, Session};
use crate::config::MongoCompressor;
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::mongo::compress::{WORTH_COMPRESSING_BYTES, compress};
use crate::protocols::mongo::errors::Refusal;
use crate::protocols::mongo::{rewrite, wire};
use crate::stream::Stream;
use crate::upstream::EndpointId;
use crate::upstream::pool::{CloseReason as PoolClose, Lease};

/// A client that takes nothing, or sends nothing of a request that it has begun, for this long while a connection is lent for it loses
/// both: what HAProxy's documentation advises for `timeout client`.
const CLIENT_STALL: Duration = Duration::from_secs(60);

/// Longest wait for a server to end what a client has left behind. MongoDB looks every second whether a reader is still there; what it does
/// not look at it carries out to its end.
const LINGER: Duration = Duration::from_secs(30);

/// How often an operation is sent again that no byte of has been sent.
const MAX_ATTEMPTS: usize = 3;

/// A `getMore` on a change stream or a tailable cursor occupies its connection for no longer than this, in milliseconds: what a server
/// takes by itself when a client says nothing ("awaitData" waits 1 s).
const LONG_WAIT_MS: i64 = 1_000;

/// The same while others wait for their turn.
const SHORT_WAIT_MS: i64 = 100;

/// How an operation went at its server.
enum Went {
    /// The client has its reply, or wanted none.
    Well,
    /// The connection was closed before a byte was sent: nothing has happened.
    NotSent,
    /// The connection ended before the reply was complete. Nothing of it has been passed on.
    Lost,
    /// The same, but the client has a part of it already.
    LostInReply,
    /// What came does not fit. Client and connection part.
    Misfit(&'static str),
    /// The client's side ended.
    ClientEnded(End),
}

impl From<End> for Went {
    fn from(end: End) -> Self {
        Self::ClientEnded(end)
    }
}

impl Session<'_> {
    /// Has a server answer.
    pub(super) async fn forward(
        &mut self,
        operation: &mut Operation,
        routed: Routed,
    ) -> Result<(), End> {
        self.leave_transaction(operation);
        for _ in 0..MAX_ATTEMPTS {
            let lent = match self.lend(operation, routed).await? {
                Ok(lent) => lent,
                Err(Unlent::Refused(refusal)) => return self.refuse(operation, refusal).await,
                Err(Unlent::NothingHappened) => return self.answer_nothing(operation).await,
            };
            let endpoint = Arc::clone(lent.lease.endpoint());
            match self.exchange(operation, lent).await {
                Went::Well => return Ok(()),
                Went::NotSent => {}
                Went::Lost => return self.refuse(operation, lost(&endpoint.name)).await,
                Went::LostInReply => return Err(End::by_us(CloseReason::UpstreamReset)),
                Went::Misfit(why) => {
                    tracing::error!(cluster = %self.listener.cluster.name, endpoint = %endpoint.name, why, "a reply does not fit its request; both connections are closed");
                    return Err(End::by_us(CloseReason::UpstreamReset));
                }
                Went::ClientEnded(end) => return Err(end),
            }
        }
        let endpoint = "every connection that was tried";
        self.refuse(operation, lost(endpoint)).await
    }

    /// Sends the request, passes the reply on, and puts the connection where it belongs.
    async fn exchange(&mut self, operation: &mut Operation, lent: Lent) -> Went {
        let Lent {
            mut lease,
            _busy,
            _long_wait,
        } = lent;
        let endpoint = lease.endpoint().id;
        let sent = self.send(operation, &mut lease).await;
        let went = match sent {
            Ok(()) if operation.unacknowledged => self.fence(lease).await,
            Ok(()) => return self.receive(operation, lease, endpoint).await,
            Err(went) => {
                end_lease(lease, &went);
                went
            }
        };
        if matches!(went, Went::NotSent | Went::Lost) {
            self.listener.servers.request_check(endpoint);
        }
        // Nobody waits for the outcome of what was not acknowledged.
        match went {
            Went::Lost if operation.unacknowledged => Went::Well,
            went => went,
        }
    }

    async fn send(&mut self, operation: &mut Operation, lease: &mut Lease) -> Result<(), Went> {
        let rewritten = self.rewritten(operation, compressor(lease))?;
        self.pairs.request_writing();
        let bytes = match &rewritten {
            Some(rewritten) => rewritten.as_slice(),
            None => self.message(operation),
        };
        write_upstream(lease, bytes).await?;
        if !operation.complete {
            self.stream_rest(operation, lease).await?;
        }
        self.pairs.request_written(self.requests_read);
        Ok(())
    }

    /// The rest of a large request, as it comes.
    async fn stream_rest(
        &mut self,
        operation: &mut Operation,
        lease: &mut Lease,
    ) -> Result<(), Went> {
        while !operation.complete {
            self.pass_seen();
            // Some may have come while a connection was waited for.
            if self.inbox.unseen().is_empty() {
                match timeout(CLIENT_STALL, self.fill()).await {
                    Ok(filled) => filled?,
                    Err(_) => return Err(End::by_us(CloseReason::ClientStalled).into()),
                }
            }
            if let Some(complete) = self.decode()? {
                *operation = complete;
                self.pairs.request_writing();
            }
            let written = write_upstream(lease, self.message(operation)).await;
            written.map_err(|_| Went::Lost)?;
        }
        Ok(())
    }

    /// The request as this server gets it, where it differs from what the client sent.
    fn rewritten(
        &mut self,
        operation: &Operation,
        upstream: Option<Compressor>,
    ) -> Result<Option<Vec<u8>>, Went> {
        let changes = operation.exhaust || operation.long_wait;
        if !operation.complete || operation.compressor == upstream && !changes {
            return Ok(None);
        }
        if upstream.is_none() && operation.compressor.is_none() && !operation.long_wait {
            rewrite::without_exhaust(self.inbox.message_mut(operation.length));
            return Ok(None);
        }
        let mut message = match operation.compressor {
            Some(_) => inflate_message(self.message(operation))
                .map_err(|_| Went::ClientEnded(End::by_us(CloseReason::Malformed)))?,
            None => self.message(operation).to_vec(),
        };
        rewrite::without_exhaust(&mut message);
        if operation.long_wait {
            let most = match self.listener.pool.long_waiters() {
                0 => LONG_WAIT_MS,
                _ => SHORT_WAIT_MS,
            };
            message = rewrite::waiting_at_most(&message, most).unwrap_or(message);
        }
        if let Some(compressor) = upstream
            && !operation.sensitive
            && message.len() >= WORTH_COMPRESSING_BYTES
        {
            message = compress(&message, compressor).unwrap_or(message);
        }
        Ok(Some(message))
    }

    /// Reads the reply and passes it on as it comes.
    async fn receive(&mut self, operation: &Operation, lease: Lease, endpoint: EndpointId) -> Went {
        let mut incoming = Incoming::new(operation, compressor(&lease));
        let mut lease = Some(lease);
        let mut passed = false;
        let went = loop {
            let Some(lent) = &mut lease else {
                return Went::Well;
            };
            let count = match poll_fn(|cx| self.poll_reply(lent.stream(), cx)).await {
                Ok(count) => count,
                Err(Went::Lost) if passed => break Went::LostInReply,
                Err(went) => break went,
            };
            lent.moved(count as u64, 0);
            let read_at = Instant::now();
            let rest = {
                let scratch = Rc::clone(&self.scratch);
                let scratch = scratch.borrow();
                let bytes = scratch.get(..count).unwrap_or_default();
                let piece = match self.take(&mut incoming, operation, endpoint, bytes, read_at) {
                    Ok(piece) => piece,
                    Err(why) => break Went::Misfit(why),
                };
                if piece.done
                    && let Some(lease) = lease.take()
                {
                    lease.checkin(read_at);
                }
                passed |= !piece.bytes.is_empty();
                match self.try_write_to_client(&piece.bytes) {
                    Ok(written) => piece.bytes.get(written..).unwrap_or_default().to_vec(),
                    Err(end) => break end.into(),
                }
            };
            if (!rest.is_empty() || self.client.needs_flush())
                && let Err(end) = self.write_to_client(&rest).await
            {
                break end.into();
            }
            if lease.is_none() {
                self.pairs.reply_written(self.replies_read);
            }
        };
        if let Some(lease) = lease {
            end_lease(lease, &went);
        }
        if matches!(went, Went::Lost | Went::LostInReply | Went::Misfit(_)) {
            self.listener.servers.request_check(endpoint);
        }
        went
    }

    /// Reads into the worker's scratch buffer; nothing else runs between that and the use of it. A client that leaves is noticed.
    fn poll_reply(
        &mut self,
        upstream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Went>> {
        let read = {
            let mut scratch = self.scratch.borrow_mut();
            let mut read = ReadBuf::new(&mut scratch);
            let polled = Pin::new(upstream).poll_read(cx, &mut read);
            polled.map(|done| done.map(|()| read.filled().len()))
        };
        match read {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Went::Lost)),
            Poll::Ready(Ok(count)) => return Poll::Ready(Ok(count)),
            Poll::Pending => {}
        }
        if self.handle.verdict(cx) == Verdict::Abort {
            return Poll::Ready(Err(End::by_us(CloseReason::Aborted).into()));
        }
        self.poll_left(cx).map(|end| Err(end.into()))
    }

    /// After a request without a reply: the connection answers a ping of our own, and so has carried out what came before it. Only then is it
    /// given back, and the client's next operation, over whatever connection, sees what was written.
    async fn fence(&mut self, mut lease: Lease) -> Went {
        let ping = rawdoc! { "ping": 1, "$db": "admin" };
        let id = self.requests_read as i32;
        let called = tokio::select! {
            called = Box::pin(wire::call(lease.stream(), id, &ping)) => called,
            end = self.aborted() => {
                lease.discard(PoolClose::Drained);
                return end.into();
            }
        };
        match called {
            Ok(_) => {
                lease.checkin(Instant::now());
                Went::Well
            }
            Err(_) => {
                lease.discard(PoolClose::UpstreamError);
                Went::Lost
            }
        }
    }

    async fn aborted(&self) -> End {
        poll_fn(|cx| match self.handle.verdict(cx) {
            Verdict::Abort => Poll::Ready(End::by_us(CloseReason::Aborted)),
            _ => Poll::Pending,
        })
        .await
    }

    /// A part of an operation that was split, at one server; `None` when that server is not to be had.
    pub(super) async fn call(
        &mut self,
        operation: &Operation,
        endpoint: EndpointId,
        command: &RawDocument,
    ) -> Result<Option<RawDocumentBuf>, End> {
        let endpoint = {
            let deployment = self.listener.servers.now();
            let member = deployment.member(endpoint);
            member.map(|member| Arc::clone(&member.endpoint))
        };
        let Some(endpoint) = endpoint else {
            return Ok(None);
        };
        let pool = Rc::clone(&self.listener.pool);
        let now = Instant::now();
        let deadline =
            tokio::time::Instant::from_std(now + pool.shared().policy().config.wait_timeout);
        let calling = async {
            let credential = self.identity.credential();
            let mut lease = pool
                .checkout(&endpoint, credential, now, deadline)
                .await
                .ok()?;
            match wire::call(lease.stream(), operation.request_id, command).await {
                Ok(reply) => {
                    lease.checkin(Instant::now());
                    Some(reply)
                }
                Err(_) => {
                    lease.discard(PoolClose::UpstreamError);
                    None
                }
            }
        };
        Ok(Box::pin(calling).await)
    }

    async fn answer_nothing(&mut self, operation: &Operation) -> Result<(), End> {
        let message = self.opened_message(operation);
        let body = wire::body(&message);
        let text = |name| {
            body.and_then(|body| body.get_str(name).ok())
                .unwrap_or_default()
        };
        let namespace = format!("{}.{}", text("$db"), text("collection"));
        let cursor = operation.cursor.unwrap_or(0);
        let document = rewrite::empty_batch(&namespace, cursor);
        self.answer(operation, &document).await
    }

    /// The request without its compression.
    pub(super) fn opened_message(&self, operation: &Operation) -> Cow<'_, [u8]> {
        let message = self.message(operation);
        match operation.compressor {
            None => Cow::Borrowed(message),
            // What can't be opened has no body either, and is treated as such.
            Some(_) => inflate_message(message).map_or(Cow::Borrowed(message), Cow::Owned),
        }
    }

    /// Writes what the client takes at once; how much that was.
    fn try_write_to_client(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut written = 0;
        while written < bytes.len() || self.client.needs_flush() {
            let rest = bytes.get(written..).unwrap_or_default();
            match self.client.try_write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(End::CLIENT_RESET),
            }
        }
        self.sent += written as u64;
        self.handle.touch();
        Ok(written)
    }

    /// Writes all of it.
    pub(super) async fn write_to_client(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        loop {
            let written = self.try_write_to_client(rest)?;
            rest = rest.get(written..).unwrap_or_default();
            if rest.is_empty() && !self.client.needs_flush() {
                return Ok(());
            }
            match timeout(CLIENT_STALL, self.client.writable()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::CLIENT_RESET),
                Err(_) => return Err(End::by_us(CloseReason::ClientStalled)),
            }
        }
    }
}

async fn write_upstream(lease: &mut Lease, bytes: &[u8]) -> Result<(), Went> {
    let mut written = 0;
    while written < bytes.len() || lease.stream().needs_flush() {
        let rest = bytes.get(written..).unwrap_or_default();
        match lease.stream().try_write(rest) {
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let writable = lease.stream().writable().await;
                writable.map_err(|_| lost_or_not_sent(written))?;
            }
            Err(_) => return Err(lost_or_not_sent(written)),
        }
    }
    lease.moved(0, written as u64);
    Ok(())
}

fn lost(endpoint: &str) -> Refusal {
    Refusal::UpstreamLost {
        endpoint: endpoint.to_owned(),
    }
}

fn lost_or_not_sent(written: usize) -> Went {
    match written {
        0 => Went::NotSent,
        _ => Went::Lost,
    }
}

/// Closes a connection that is not between two messages. One whose client has left may be carrying out an operation still: the server is told
/// that nobody wants it any more, and the connection counts until the server has closed its side, or there would be more operations at the
/// server than there are connections allowed.
fn end_lease(mut lease: Lease, went: &Went) {
    match went {
        Went::Misfit(_) => lease.discard(PoolClose::ProtocolError),
        Went::Well | Went::NotSent | Went::Lost | Went::LostInReply => {
            lease.discard(PoolClose::UpstreamError);
        }
        Went::ClientEnded(_) => {
            tokio::task::spawn_local(async move {
                // Longer than that is longer than anybody would wait for it: the connection is closed whatever the server does.
                let _ = timeout(LINGER, server_ends(lease.stream())).await;
                lease.discard(PoolClose::ClientGone);
            });
        }
    }
}

/// Closes our side, and reads to the end of the other.
async fn server_ends(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    Ok(())
}

fn compressor(lease: &Lease) -> Option<Compressor> {
    lease.compressor().map(|compressor| match compressor {
        MongoCompressor::Snappy => Compressor::Snappy,
        MongoCompressor::Zlib => Compressor::Zlib,
        MongoCompressor::Zstd => Compressor::Zstd,
    })
}
