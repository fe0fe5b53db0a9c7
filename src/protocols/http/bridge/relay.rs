//! One exchange between two sides: the request one way, the reply the other, both at once.

use std::task::{Context, Poll, ready};

use http::response;

use super::flow::{Failed, Flow, Meter};
use super::side::{Broken, Downstream, Reply, Upstream};

/// An exchange whose request head has been sent on.
pub(crate) struct Relay<'a, D, U> {
    /// The client's side.
    pub(crate) client: &'a mut D,
    /// The server's side.
    pub(crate) server: U,
    request: Flow,
    reply: Flow,
    /// The server takes no more of the request.
    refused: Option<Broken>,
    /// Both directions end on their own.
    is_tunnel: bool,
}

/// Why an exchange ended before its reply was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client gave it up, or went.
    ByClient(Broken),
    /// The server did.
    ByServer(Broken),
}

impl<'a, D: Downstream, U: Upstream> Relay<'a, D, U> {
    /// An exchange whose request head has been sent on; `whole` when that was all of the request.
    pub(crate) fn new(client: &'a mut D, server: U, whole: bool) -> Self {
        Self {
            client,
            server,
            request: match whole {
                true => Flow::of_head(),
                false => Flow::default(),
            },
            reply: Flow::default(),
            refused: None,
            is_tunnel: false,
        }
    }

    /// The server has agreed to a tunnel: what the client sends from here on is passed on as it is.
    pub(crate) fn open_tunnel(&mut self) {
        self.request = Flow::default();
        self.is_tunnel = true;
    }

    /// Nothing of the request's body has been taken from the client: it can be sent to another server.
    pub(crate) fn request_is_untouched(&self) -> bool {
        self.request.is_untouched()
    }

    /// The request has been passed on whole.
    pub(crate) fn request_is_whole(&self) -> bool {
        self.request.is_done()
    }

    /// The client takes no more of the reply at the moment.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.reply.waits_for_sink()
    }

    /// The server takes no more of the request at the moment.
    pub(crate) fn waits_for_server(&self) -> bool {
        self.request.waits_for_sink()
    }

    /// Passes the request on until the head of the reply is there. Interim heads are passed on.
    pub(crate) fn poll_head(
        &mut self,
        request: &mut impl Meter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, bool), Cut>> {
        self.poll_request(request, cx)?;
        loop {
            match self.server.poll_reply(cx) {
                Poll::Ready(Ok(Reply::Interim(head))) => self.client.inform(head),
                Poll::Ready(Ok(Reply::Final { head, end })) => {
                    if end {
                        self.reply = Flow::of_head();
                    }
                    return Poll::Ready(Ok((head, end)));
                }
                Poll::Ready(Err(broken)) => {
                    return Poll::Ready(Err(Cut::ByServer(broken)));
                }
                Poll::Pending => {
                    // Interim heads. A client that can't be written to is noticed elsewhere.
                    let _ = self.client.poll_flush(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Passes the rest of the request and the body of the reply on. Ready when the reply has been passed on whole; a request that is not
    /// whole by then was answered early.
    pub(crate) fn poll_bodies(
        &mut self,
        request: &mut impl Meter,
        reply: &mut impl Meter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cut>> {
        self.poll_request(request, cx)?;
        let replied = self.reply.poll(&mut self.server, self.client, reply, cx);
        ready!(replied).map_err(|failed| match failed {
            Failed::Source(broken) => Cut::ByServer(broken),
            Failed::Sink(broken) => Cut::ByClient(broken),
        })?;
        match self.is_tunnel && !self.request.is_done() && self.refused.is_none() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    /// The request, as far as it goes now. A server that takes no more of it may still have answered.
    fn poll_request(&mut self, meter: &mut impl Meter, cx: &mut Context<'_>) -> Result<(), Cut> {
        if let Poll::Ready(broken) = self.client.poll_gone(cx) {
            return Err(Cut::ByClient(broken));
        }
        if self.refused.is_some() || self.request.is_done() {
            return Ok(());
        }
        match self.request.poll(self.client, &mut self.server, meter, cx) {
            Poll::Ready(Err(Failed::Source(broken))) => Err(Cut::ByClient(broken)),
            Poll::Ready(Err(Failed::Sink(broken))) => {
                self.refused = Some(broken);
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}
