//! forward, to a cluster whose servers speak HTTP/2.

use http::{Version as HttpVersion, request, uri};
use narrows_parsers::http1::{Body, Framing, TargetForm, Version};

use super::request::{Destination, Request};
use super::view::View;
use super::{End, Session};
use crate::config::HttpConfig;
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::http::bridge::{self, H1Client, NoForm, Outgoing, Reply, Target, Told, Went};
use crate::protocols::http::errors::Failure;
use crate::protocols::http::route::{Forward, HeaderEdits};

/// A request as an HTTP/2 server gets it.
pub(super) struct InH2 {
    head: request::Parts,
    target: Box<[u8]>,
    authority: Box<[u8]>,
}

impl InH2 {
    /// The head of a request in the form of HTTP/2, with the path and host that routing makes of its own.
    pub(super) fn of(view: View<'_>, is_tls: bool, to: &Forward) -> Result<Self, NoForm> {
        let View {
            bytes,
            head,
            headers,
        } = view;
        let asked = head.authority.map_or(&[][..], |span| span.of(bytes));
        let authority = to.host.as_deref().unwrap_or(asked);
        let (new, rest) = to.path.apply(head.path.of(bytes));
        let mut path = [new, rest].concat();
        match path.first() {
            None if head.form == TargetForm::Asterisk || head.method.of(bytes) == b"OPTIONS" => {
                path.push(b'*');
            }
            None | Some(b'?') => path.insert(0, b'/'),
            Some(_) => {}
        }
        let target = Target {
            method: head.method.of(bytes),
            scheme: match is_tls {
                true => uri::Scheme::HTTPS,
                false => uri::Scheme::HTTP,
            },
            authority,
            path: &path,
        };
        let text = bytes.get(..head.length as usize).unwrap_or_default();
        Ok(Self {
            head: bridge::from_h1(&target, text, headers)?,
            target: path.into(),
            authority: authority.into(),
        })
    }
}

impl Session<'_> {
    /// Has an upstream answer. The client has the whole reply then, or one of the proxy's own waits to be written.
    pub(super) async fn forward_in_h2(&mut self, request: &mut Request) -> Result<(), End> {
        let Some(Destination {
            upstream,
            route,
            in_h2: Some(in_h2),
            ..
        }) = request.destination.take()
        else {
            return Ok(());
        };
        let body = std::mem::replace(request.upload.rest_mut(), Body::new(Framing::None));
        let whole = body.is_done();
        let asked = bridge::Asked {
            kind: request.asked.kind,
            version: match request.asked.version {
                Version::Http11 => HttpVersion::HTTP_11,
                Version::Http10 => HttpVersion::HTTP_10,
            },
            keep_alive: request.asked.keep_alive,
            expects: request.asked.expects,
        };
        let config = &self.listener.config;
        let read = self.inbox.bytes().to_vec();
        self.inbox.consume(read.len());
        let is_tls = self.client.is_tls();
        let mut client = H1Client::new(
            &mut self.client,
            self.handle,
            &self.listener,
            self.scratch.clone(),
            asked,
            body,
            &read,
        );
        let (mut sent, mut got) = (bridge::Request::default(), Reply::default());
        let went = match self.listener.routes.get(route) {
            None => Went::Failed(Failure::NoRoute),
            Some(route) => {
                let out = Outgoing {
                    listener: &self.listener,
                    scratch: &self.scratch,
                    upstream: &upstream,
                    head: &in_h2.head,
                    target: &in_h2.target,
                    authority: &in_h2.authority,
                    whole,
                    told: told(config, &self.peer, is_tls, &route.request_edits),
                    reply_edits: &route.response_edits,
                    timeouts: self.listener.route_timeouts(route.index),
                    deadline: None,
                };
                out.forward(&mut client, &mut request.underway, &mut sent, &mut got)
                    .await
            }
        };
        let left = client.end();
        self.inbox.push(&left.bytes);
        *request.upload.rest_mut() = left.body;
        request.download.written = left.written;
        request.closes = left.closes;
        match went {
            // CONNECT is not passed on to servers that speak HTTP/2.
            Went::Well { .. } | Went::Tunnelled => Ok(()),
            Went::Failed(failure) => {
                self.fail(request, failure);
                Ok(())
            }
            Went::Cut(failure) => Err(self.cut(request, failure)),
            Went::ClientGone => {
                self.count(request);
                Err(self.client_gone())
            }
        }
    }

    fn client_gone(&self) -> End {
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.handle.verdict(&cx) {
            Verdict::Abort | Verdict::Idle => End::by_us(CloseReason::Aborted).cutting(),
            Verdict::Go | Verdict::Drain => End::CLIENT_FINISHED.cutting(),
        }
    }
}

fn told<'a>(config: &HttpConfig, peer: &'a str, is_tls: bool, edits: &'a HeaderEdits) -> Told<'a> {
    Told {
        peer,
        is_tls,
        forwarded: config.forwarded,
        underscores: config.underscores,
        edits,
    }
}
