//! What the proxy says in the server's place.

use std::time::Instant;

use narrows_parsers::Step;
use narrows_parsers::redis::arguments;

use super::asked::exchange;
use super::client::{Client, Request};
use super::errors::Refusal;
use super::session::{End, Session};
use crate::exchange::{CloseReason, Exchange, Outcome, RedisPart, Timing};
use crate::protocols::redis::RedisListener;
use crate::protocols::redis::report::{About, Application};

impl Session<'_> {
    /// The first request that is held, which is whole, with all its arguments: it is dealt with from now on.
    pub(super) fn first_request(&mut self) -> Option<(Request, Vec<Vec<u8>>, Option<Application>)> {
        let listener = &*self.listener.redis;
        let Step::Message { consumed, message } = self.requests.advance(&self.held) else {
            return None;
        };
        let series = self.recent.find(listener.commands(0), &message);
        let application = listener.introduction(&series, &message);
        let whole = self.held.get(..consumed).unwrap_or_default();
        let mut all: Vec<_> = arguments(whole).map(<[u8]>::to_vec).collect();
        if all.is_empty() {
            // Typed on a line.
            let typed = (0..).map_while(|index| message.argument(index));
            all = typed.map(|text| text.bytes.to_vec()).collect();
        }
        let request = Request {
            pattern: None,
            series,
            start: self.began,
            bytes: message.bytes,
        };
        self.seen = 0;
        self.used(consumed);
        self.began = self.read_at;
        Some((request, all, application))
    }

    /// Answers the first request that is held with an error, of the cluster at this place.
    pub(super) fn refuse_first(&mut self, refusal: &Refusal, place: usize) {
        if let Some((request, ..)) = self.first_request() {
            let cluster = &self.listener.targets.at(place).cluster().name;
            let reply = refusal.reply(cluster);
            answer(&self.client, request, &reply, Outcome::UpstreamGone);
        }
    }

    /// Says why nothing more is taken from this client, of the cluster at this place.
    pub(super) fn refuse_and_close(&mut self, refusal: &Refusal, place: usize) -> End {
        let reply = refusal.reply(&self.listener.targets.at(place).cluster().name);
        self.client.say(&reply);
        End::by_us(match refusal {
            Refusal::Protocol { .. } => CloseReason::Malformed,
            _ => CloseReason::NoUpstream,
        })
    }
}

/// Answers a request in the server's place.
pub(super) fn answer(client: &Client, request: Request, reply: &[u8], outcome: Outcome) {
    let timing = Timing {
        start: request.start,
        at_upstream: None,
        end: Instant::now(),
    };
    let exchange = Exchange {
        reply_bytes: reply.len() as u64,
        ..exchange(&request, outcome)
    };
    let number = client.asked();
    client.reply(number, reply, Some((request, exchange, timing)));
}

impl RedisListener {
    /// Adds a finished exchange to the series of its request.
    pub(super) fn report_of(
        &self,
        exchange: &Exchange<RedisPart>,
        request: &Request,
        application: Option<&Application>,
    ) {
        let about = About {
            application,
            pattern: request.pattern.as_deref(),
        };
        self.report(exchange, &request.series, about);
    }
}
