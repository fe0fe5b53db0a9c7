//! forward: one request of a client to a server of either version, and its reply back.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, StatusCode, header, request, response, uri};

use super::account::{Reply, Request};
use super::h1_up::H1Server;
use super::h2_up::H2Server;
use super::relay::{Cut, Relay};
use super::server::Server;
use super::side::{Broken, Downstream};
use super::to_h1;
use super::to_h2;
use super::told::Told;
use crate::config::HttpVersion;
use crate::listener::sessions::{Alarm, Ticks};
use crate::protocols::http::errors::Failure;
use crate::protocols::http::report::Underway;
use crate::protocols::http::route::HeaderEdits;
use crate::protocols::http::{HttpListener, RouteTimeouts};
use crate::protocols::relay::Scratch;
use crate::stats::{Cluster, Http};
use crate::upstream::http::HttpUpstream;
use crate::upstream::pool::CheckoutError;

/// How often a request is sent: once, and again when no server can have looked at it. As with HTTP/1.
const MAX_ATTEMPTS: usize = 3;

/// A request as it goes to a cluster.
pub(crate) struct Outgoing<'a> {
    pub(crate) listener: &'a Rc<HttpListener>,
    pub(crate) scratch: &'a Scratch,
    pub(crate) upstream: &'a Rc<HttpUpstream>,
    pub(crate) head: &'a request::Parts,
    /// Path and query, as routing made them.
    pub(crate) target: &'a [u8],
    /// Who is asked, as routing made it.
    pub(crate) authority: &'a [u8],
    /// The head is the whole request.
    pub(crate) whole: bool,
    pub(crate) told: Told<'a>,
    pub(crate) reply_edits: &'a HeaderEdits,
    pub(crate) timeouts: RouteTimeouts,
    /// From now to the last byte of the reply, whatever the route says.
    pub(crate) deadline: Option<Ticks>,
}

/// How an exchange went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// The client has been given the whole reply. `early` when its request had not come to its end.
    Well {
        /// The reply came before the end of the request.
        early: bool,
    },
    /// A tunnel has been closed from both sides.
    Tunnelled,
    /// Nothing of a reply has been passed on.
    Failed(Failure),
    /// A part of the reply has been passed on, and no more of it comes.
    Cut(Failure),
    /// The client gave it up.
    ClientGone,
}

/// What came of one attempt.
enum Attempt {
    Ended(Went),
    /// No server has looked at it.
    Again,
}

impl Outgoing<'_> {
    /// Sends the request, and passes the reply on.
    pub(crate) async fn forward<D: Downstream>(
        &self,
        client: &mut D,
        underway: &mut Underway,
        request: &mut Request,
        reply: &mut Reply,
    ) -> Went {
        self.listener.stats.inc(Http::RQ_TOTAL);
        request.limit = self.listener.config.max_body;
        // The route's timeout begins when the request has come whole.
        let by = match self.whole {
            true => self.timeouts.reply,
            false => self.listener.timeouts.request,
        };
        client.expect(self.timeouts.idle, self.deadline.or(by));
        for attempt in 1.. {
            let server = match self.open(client, underway).await {
                Ok(server) => server,
                Err(went) => return went,
            };
            let mut exchange = Exchange {
                out: self,
                // What belongs into a tunnel is passed on when there is one.
                relay: Relay::new(client, server, self.whole || self.is_connect()),
                request,
                reply,
                begun: false,
                tunnel: false,
            };
            match exchange.run(underway).await {
                Attempt::Again if attempt < MAX_ATTEMPTS => {
                    self.upstream.stats.inc(Cluster::UPSTREAM_RQ_RETRY);
                    request.written = None;
                }
                Attempt::Again => return Went::Failed(Failure::UpstreamReset),
                Attempt::Ended(went) => {
                    if attempt > 1 && matches!(went, Went::Well { .. }) {
                        self.upstream.stats.inc(Cluster::UPSTREAM_RQ_RETRY_SUCCESS);
                    }
                    return went;
                }
            }
        }
        Went::Failed(Failure::UpstreamReset)
    }

    /// A server that has been given the head of the request, or is about to be.
    async fn open<D: Downstream>(
        &self,
        client: &mut D,
        underway: &mut Underway,
    ) -> Result<Server, Went> {
        let upstream = self.upstream;
        match upstream.config.version {
            HttpVersion::Http1 => {
                let now = Instant::now();
                let connection = match upstream.at_hand(now) {
                    Some(connection) => connection,
                    None => self.wait(client, upstream.connection(now)).await?,
                };
                underway.endpoint = connection.endpoint().cloned();
                let framing = to_h1::request_framing(self.head, self.whole);
                let (listener, scratch) = (self.listener, Rc::clone(self.scratch));
                let method = &self.head.method;
                let server =
                    H1Server::new(connection, listener, scratch, method, framing, |text| {
                        let (target, authority) = (self.target, self.authority);
                        to_h1::write_request(
                            self.head, target, authority, framing, &self.told, text,
                        );
                    });
                Ok(Server::H1(server))
            }
            HttpVersion::Http2 => {
                let stream = match upstream.stream_at_hand() {
                    Some(stream) => stream,
                    None => self.wait(client, upstream.stream(Instant::now())).await?,
                };
                underway.endpoint = stream.endpoint().cloned();
                let head = self
                    .to_h2()
                    .map_err(|_| Went::Failed(Failure::UpstreamMalformed))?;
                let whole = self.whole && !self.is_connect();
                H2Server::send(stream, head, whole)
                    .map(Server::H2)
                    .map_err(|_| Went::Failed(Failure::UpstreamReset))
            }
        }
    }

    /// Waits for a connection, as long as the client does.
    async fn wait<D: Downstream, T>(
        &self,
        client: &mut D,
        lending: impl Future<Output = Result<T, CheckoutError>>,
    ) -> Result<T, Went> {
        // Rare next to what is at hand, and its state is large: it is not paid for by every exchange.
        let mut lending = Box::pin(lending);
        let lent = poll_fn(|cx| {
            if let Poll::Ready(lent) = lending.as_mut().poll(cx) {
                return Poll::Ready(lent.map_err(|error| {
                    tracing::debug!(%error, "no upstream connection");
                    Went::Failed(Failure::from(&error))
                }));
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Went::ClientGone));
            }
            match client.alarm(cx) {
                Some(Alarm::Late) if !self.is_timed() => {
                    Poll::Ready(Err(Went::Failed(Failure::RequestTimeout)))
                }
                Some(_) => Poll::Ready(Err(Went::Failed(Failure::RouteTimeout))),
                None => Poll::Pending,
            }
        })
        .await;
        if matches!(lent, Err(Went::ClientGone)) {
            self.upstream.stats.inc(Cluster::UPSTREAM_RQ_CANCELLED);
        }
        lent
    }

    /// The head for an HTTP/2 server.
    fn to_h2(&self) -> Result<http::Request<()>, to_h2::NoForm> {
        let mut head = http::Request::new(());
        *head.method_mut() = self.head.method.clone();
        *head.version_mut() = http::Version::HTTP_2;
        let scheme = match self.told.is_tls {
            true => uri::Scheme::HTTPS,
            false => uri::Scheme::HTTP,
        };
        *head.uri_mut() = match self.is_connect() {
            true => to_h2::tunnel(self.authority)?,
            false => to_h2::uri(scheme, self.authority, self.target)?,
        };
        let fields = head.headers_mut();
        *fields = self.head.headers.clone();
        fields.remove(header::HOST);
        self.told.apply(fields);
        Ok(head)
    }

    /// What is awaited from the start on is the reply.
    fn is_timed(&self) -> bool {
        self.whole || self.deadline.is_some()
    }

    /// The client asks for a tunnel.
    fn is_connect(&self) -> bool {
        self.head.method == Method::CONNECT
    }

    /// Carrying it out twice is no different from once (RFC 9110 §9.2.2).
    fn is_idempotent(&self) -> bool {
        self.head.method.is_idempotent() || self.head.method == Method::TRACE
    }
}

/// One attempt, under way.
struct Exchange<'e, 'a, D> {
    out: &'e Outgoing<'a>,
    relay: Relay<'e, D, Server>,
    request: &'e mut Request,
    reply: &'e mut Reply,
    /// The head of the reply has been passed on.
    begun: bool,
    /// It opened a tunnel.
    tunnel: bool,
}

impl<D: Downstream> Exchange<'_, '_, D> {
    async fn run(&mut self, underway: &mut Underway) -> Attempt {
        let came = underway.request_bytes;
        let went = poll_fn(|cx| self.poll(underway, cx)).await;
        underway.request_bytes = came + self.request.bytes;
        underway.reply_bytes += self.reply.bytes;
        underway.request_written = self.request.written;
        underway.last_byte = self.reply.read;
        if let Attempt::Ended(Went::Well { early: true }) = went {
            let early = Http::DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE;
            self.out.listener.stats.inc(early);
        }
        went
    }

    fn poll(&mut self, underway: &mut Underway, cx: &mut Context<'_>) -> Poll<Attempt> {
        if let Some(alarm) = self.relay.client.alarm(cx) {
            return Poll::Ready(Attempt::Ended(self.failed(self.too_long(alarm))));
        }
        let before = (self.request.bytes, self.reply.bytes);
        let was_written = self.request.written.is_some();
        let polled = self.poll_both(underway, cx);
        if self.request.is_too_large() {
            return Poll::Ready(Attempt::Ended(self.failed(Failure::BodyTooLarge)));
        }
        if self.request.written.is_some() && !was_written {
            self.request_has_gone();
        } else if (self.request.bytes, self.reply.bytes) != before {
            self.relay.client.touch();
        }
        polled
    }

    fn poll_both(&mut self, underway: &mut Underway, cx: &mut Context<'_>) -> Poll<Attempt> {
        if !self.begun {
            match ready!(self.relay.poll_head(self.request, cx)) {
                Ok((head, end)) => {
                    if let Err(broken) = self.begin_reply(underway, head, end) {
                        return Poll::Ready(self.cut(Cut::ByClient(broken)));
                    }
                }
                Err(cut) => return Poll::Ready(self.cut(cut)),
            }
        }
        match ready!(self.relay.poll_bodies(self.request, self.reply, cx)) {
            Ok(()) if self.tunnel => Poll::Ready(Attempt::Ended(Went::Tunnelled)),
            Ok(()) => Poll::Ready(Attempt::Ended(Went::Well {
                early: !self.relay.request_is_whole(),
            })),
            Err(cut) => Poll::Ready(self.cut(cut)),
        }
    }

    /// The head of the reply has come.
    fn begin_reply(
        &mut self,
        underway: &mut Underway,
        mut head: response::Parts,
        end: bool,
    ) -> Result<(), Broken> {
        let now = Instant::now();
        underway.first_byte = Some(now);
        underway.status = Some(head.status.as_u16());
        if end {
            self.reply.read = Some(now);
            self.reply.whole_in_head(&head.headers);
        }
        if self.out.is_connect() && head.status.is_success() && !end {
            self.open_tunnel(&mut head);
        }
        if head.status == StatusCode::NO_CONTENT {
            // RFC 9110 §8.6: a server must not send one; what is passed on does not.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        self.out.reply_edits.apply(&mut head.headers);
        underway.reply_bytes = size(&head);
        self.begun = true;
        self.relay.client.reply(head, end)
    }

    /// The server has agreed to a tunnel, which takes as long as it takes.
    fn open_tunnel(&mut self, head: &mut response::Parts) {
        // RFC 9110 §9.3.6.
        head.headers.remove(header::CONTENT_LENGTH);
        self.relay.open_tunnel();
        self.relay.client.expect(self.out.timeouts.idle, None);
        self.tunnel = true;
    }

    /// The server has the whole request: the route's timeout begins, unless it has before.
    fn request_has_gone(&mut self) {
        if !self.out.is_timed() && !self.tunnel {
            let timeouts = self.out.timeouts;
            self.relay.client.expect(timeouts.idle, timeouts.reply);
        }
    }

    fn cut(&mut self, cut: Cut) -> Attempt {
        let broken = match cut {
            Cut::ByClient(Broken::Unreadable(reason)) => {
                return Attempt::Ended(self.failed(Failure::Malformed(reason)));
            }
            Cut::ByClient(_) => return Attempt::Ended(Went::ClientGone),
            Cut::ByServer(broken) => broken,
        };
        // A piece that was taken and not put is lost with this attempt as well.
        let untouched = self.relay.request_is_untouched() && !self.begun;
        let again = match broken {
            Broken::Refused => true,
            Broken::Gone => self.relay.server.may_be_stale() && self.out.is_idempotent(),
            Broken::Reset(_) | Broken::Malformed(_) | Broken::Unreadable(_) => false,
        };
        if untouched && again {
            return Attempt::Again;
        }
        Attempt::Ended(self.failed(match broken {
            Broken::Malformed(_) | Broken::Unreadable(_) => Failure::UpstreamMalformed,
            _ => Failure::UpstreamReset,
        }))
    }

    fn failed(&self, failure: Failure) -> Went {
        // An interim reply that is on its way can't be followed by one of the proxy's own.
        match self.begun || self.relay.client.is_in_the_middle() {
            true => Went::Cut(failure),
            false => Went::Failed(failure),
        }
    }

    /// What took too long.
    fn too_long(&self, alarm: Alarm) -> Failure {
        let sent = self.request.written.is_some();
        match alarm {
            Alarm::Late if sent || self.out.is_timed() => Failure::RouteTimeout,
            // An upstream that takes nothing is no fault of the client's.
            Alarm::Late if self.relay.waits_for_server() => Failure::RouteTimeout,
            Alarm::Late => Failure::RequestTimeout,
            Alarm::Idle if self.begun && self.relay.waits_for_client() => Failure::ReplyUnread,
            Alarm::Idle if sent || self.relay.waits_for_server() => Failure::ReplyIdle,
            Alarm::Idle => Failure::RequestIdle,
        }
    }
}

/// The head of a reply in bytes: names and values, as HTTP/1 would write them.
fn size(head: &response::Parts) -> u64 {
    super::size(&head.headers) + 12
}
