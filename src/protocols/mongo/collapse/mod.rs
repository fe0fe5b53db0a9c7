//! Collapse mode: many clients over few upstream connections, an operation at a time.
//!
//! The main loop of a [`Session`] reads like the data path: a request is read and decoded (`read`), what it says decides who answers
//! (`operation`); the proxy itself (`hello`, `login`, `own`), or a server, for which an endpoint is chosen and a connection lent (`place`). The
//! request is passed on and its reply comes back (`exchange`, `incoming`); then the connection is anybody's again. Every request ends as
//! one [`Exchange`](crate::exchange::Exchange), whoever answered it.
//!
//! Nobody ever gets another client's data: a connection comes back to the pool only when exactly the reply that was expected has been
//! read from it to its last byte. Whatever else happens, it is closed.

mod exchange;
mod hello;
mod incoming;
mod kill;
mod login;
mod operation;
mod own;
mod place;
mod read;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bson::raw::RawDocument;
use narrows_parsers::mongo::{Compressor, ReplyDecoder, RequestDecoder, Step};

use super::MongoListener;
use super::errors::Refusal;
use super::handshake::next_connection_id;
use super::pairs::Pairs;
use super::pins::Pins;
use super::wire;
use crate::config::{ListenerConfig, MongoAuth};
use crate::exchange::{CloseReason, Outcome};
use crate::listener::sessions::SessionHandle;
use crate::protocols::inbox::{Buffers, Inbox, MAX_HELD_BYTES};
use crate::protocols::relay::Scratch;
use crate::stream::Stream;
use crate::upstream::Cluster;
use crate::upstream::mongo::{Servers, SharedMongo};
use crate::upstream::pool::ClusterPool;
use login::{Auth, Identity};
use operation::{Operation, Routed, Who};

/// What the sessions of one listener in mode collapse share on one worker.
pub struct CollapseListener {
    /// Routes and series, as in tap mode.
    pub(super) mongo: Rc<MongoListener>,
    /// Where sessions go.
    pub(super) cluster: Arc<Cluster>,
    /// What its servers are now.
    pub(super) servers: Arc<Servers>,
    /// Which server cursors and transactions live on.
    pub(super) pins: Arc<Pins>,
    /// The connections that are lent.
    pub(super) pool: Rc<ClusterPool>,
    /// The buffers of this worker.
    pub(super) buffers: Rc<Buffers>,
    /// Who may use the listener.
    pub(super) auth: Auth,
    /// Hellos may be held until something changes.
    pub(super) streams_hello: bool,
}

/// One client connection.
pub struct Session<'a> {
    listener: Rc<CollapseListener>,
    client: Stream,
    handle: &'a SessionHandle,
    scratch: Scratch,
    inbox: Inbox,
    requests: RequestDecoder,
    replies: ReplyDecoder,
    pairs: Pairs,
    /// Requests that have been read, and replies that have been made whole: what [`Pairs`] counts by, as bytes may be rewritten.
    requests_read: u64,
    replies_read: u64,
    /// Bytes of the request under way that are no longer in the inbox.
    gone: usize,
    /// Too much was held, and the request under way was thrown away.
    overflowed: bool,
    identity: Identity,
    /// What was negotiated with this client.
    compression: Vec<Compressor>,
    connection_id: i64,
    peer: Option<SocketAddr>,
    /// The session whose transaction this client began last.
    began: Option<[u8; 16]>,
    received: u64,
    sent: u64,
}

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Why.
    pub reason: CloseReason,
    /// The client closed it.
    pub by_client: bool,
    /// Exchanges that were cut off.
    pub cut: usize,
    /// Bytes read from the client.
    pub received: u64,
    /// Bytes written to the client.
    pub sent: u64,
}

/// Why a session can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    reason: CloseReason,
    by_client: bool,
}

impl End {
    const CLIENT_FINISHED: Self = Self {
        reason: CloseReason::Finished,
        by_client: true,
    };
    const CLIENT_RESET: Self = Self {
        reason: CloseReason::ClientReset,
        by_client: true,
    };

    fn by_us(reason: CloseReason) -> Self {
        Self {
            reason,
            by_client: false,
        }
    }
}

impl CollapseListener {
    /// A listener as one worker serves it.
    pub fn new(
        mongo: Rc<MongoListener>,
        cluster: &Arc<Cluster>,
        upstream: &SharedMongo,
        pool: Rc<ClusterPool>,
        buffers: Rc<Buffers>,
        config: &ListenerConfig,
    ) -> Self {
        let auth = match &config.mongo_auth {
            MongoAuth::None => Auth::None,
            MongoAuth::Scram { users, .. } => Auth::Scram {
                users: Arc::clone(users),
                credentials: upstream.credentials.as_slice().into(),
            },
        };
        Self {
            mongo,
            cluster: Arc::clone(cluster),
            servers: Arc::clone(&upstream.servers),
            pins: Arc::clone(&upstream.pins),
            pool,
            buffers,
            auth,
            streams_hello: config.mongo_streams_hello,
        }
    }

    /// Its routes and series.
    pub fn mongo(&self) -> &MongoListener {
        &self.mongo
    }
}

impl<'a> Session<'a> {
    /// A session with a client that has just connected.
    pub fn new(
        listener: Rc<CollapseListener>,
        client: Stream,
        handle: &'a SessionHandle,
        scratch: Scratch,
    ) -> Self {
        Self {
            inbox: Inbox::new(Rc::clone(&listener.buffers)),
            pairs: Pairs::new(Rc::clone(&listener.mongo)),
            identity: listener.auth.stranger(),
            peer: client.tcp().peer_addr().ok(),
            listener,
            client,
            handle,
            scratch,
            requests: RequestDecoder::new(),
            replies: ReplyDecoder::new(),
            requests_read: 0,
            replies_read: 0,
            gone: 0,
            overflowed: false,
            compression: Vec::new(),
            connection_id: next_connection_id(),
            began: None,
            received: 0,
            sent: 0,
        }
    }

    /// Serves the client to its end. The socket is closed when this returns.
    pub async fn run(mut self) -> Ended {
        let end = loop {
            let mut operation = match self.next_request().await {
                Ok(operation) => operation,
                Err(end) => break end,
            };
            if let Err(end) = self.serve(&mut operation).await {
                break end;
            }
            self.finish(&operation);
        };
        self.client.announce_end();
        let cut = self.pairs.len();
        self.pairs.cut(match end.reason {
            CloseReason::UpstreamReset => Outcome::UpstreamGone,
            _ => Outcome::ClientGone,
        });
        Ended {
            reason: end.reason,
            by_client: end.by_client,
            cut,
            received: self.received,
            sent: self.sent,
        }
    }

    /// decide: who answers, and has it answered.
    async fn serve(&mut self, operation: &mut Operation) -> Result<(), End> {
        if std::mem::take(&mut self.overflowed) {
            let limit = MAX_HELD_BYTES;
            return self.refuse(operation, Refusal::TooMuchHeld { limit }).await;
        }
        match operation.who {
            Who::Hello => self.hello(operation).await,
            Who::Sasl => self.login(operation).await,
            Who::Own(command) => self.own(operation, command).await,
            Who::Refused(reason) => {
                let refusal = reason.refusal(&operation.command);
                self.refuse(operation, refusal).await
            }
            Who::Dropped => Ok(()),
            Who::Unknown => Err(End::by_us(CloseReason::Malformed)),
            Who::Upstream(_) if !self.identity.may_operate() => {
                let command = String::from_utf8_lossy(&operation.command).into_owned();
                self.refuse(operation, Refusal::Unauthorized { command })
                    .await
            }
            Who::Upstream(Routed::KillCursors) => self.kill_cursors(operation).await,
            Who::Upstream(routed) => self.forward(operation, routed).await,
        }
    }

    /// The request has been dealt with.
    fn finish(&mut self, operation: &Operation) {
        let left = operation.length - self.gone.min(operation.length);
        self.inbox.consume(left);
        self.gone = 0;
    }

    /// The bytes of the request, as far as they have been decoded.
    fn message(&self, operation: &Operation) -> &[u8] {
        let length = match operation.complete {
            true => operation.length - self.gone.min(operation.length),
            false => self.inbox.seen(),
        };
        self.inbox.bytes().get(..length).unwrap_or_default()
    }

    /// Answers with an error of our own.
    async fn refuse(&mut self, operation: &mut Operation, refusal: Refusal) -> Result<(), End> {
        if !operation.complete {
            *operation = self.skip_rest().await?;
        }
        tracing::debug!(cluster = %self.listener.cluster.name, ?refusal, "refused");
        let document = refusal.document(&self.listener.cluster.name, operation.labelled);
        self.answer(operation, &document).await
    }

    /// Answers in a server's place.
    async fn answer(&mut self, operation: &Operation, body: &RawDocument) -> Result<(), End> {
        if operation.unacknowledged {
            return Ok(());
        }
        let id = self.next_reply_id();
        let message = match operation.legacy {
            true => wire::op_reply(id, operation.request_id, body),
            false => wire::op_msg(id, operation.request_id, body),
        };
        self.send_own(&message).await
    }

    /// Writes a reply of our own. It is decoded like any other, so that it is counted like any other.
    async fn send_own(&mut self, message: &[u8]) -> Result<(), End> {
        let now = Instant::now();
        self.pairs.reply_begins(now);
        if let Step::Message { message, .. } = self.replies.advance(message) {
            self.replies_read += 1;
            self.pairs.reply(&message, self.replies_read, now);
        }
        self.write_to_client(message).await?;
        self.pairs.reply_written(self.replies_read);
        Ok(())
    }

    /// The id of a message of our own. Drivers do not look at it; it only has to differ from the one before.
    fn next_reply_id(&self) -> i32 {
        (self.replies_read as i32).wrapping_add(1)
    }
}
