//! decode → decide → forward: requests that need nothing but a server go to it at once, over connections that clients share.

use std::rc::Rc;

use narrows_parsers::Step;
use narrows_parsers::redis::command::{Class, Command, Split};
use narrows_parsers::redis::{Request as Decoded, RequestDecoder};

use super::client::Request;
use super::decide::{Answer, Plan, Stay};
use super::errors::Refusal;
use super::rides::Board;
use super::route::{Routes, Way};
use super::session::{MAX_HELD, Need, Session};
use super::split::{Merge, parts};
use super::trunks::Trunks;
use crate::protocols::redis::commands::Series;

/// Bytes of a request that has to be whole before anybody can say which server it is for: it has several keys, or none. Larger ones are
/// refused, as the proxy is not where data is kept.
const MAX_WHOLE: usize = 64 * 1024 * 1024;

/// Bytes of a request of a client that has to log in first: Redis' `PROTO_MAX_UNAUTHENTICATED_BULK` ("unauthenticated bulk length").
const MAX_UNKNOWN: usize = 16 * 1024;

/// Arguments of such a request ("unauthenticated multibulk length").
const MAX_UNKNOWN_ARGUMENTS: u64 = 10;

impl Session<'_> {
    /// Deals with every request in `data` that needs nothing but a server. Returns where the first that needs more, or is not whole, begins.
    pub(super) fn process(&mut self, data: &[u8]) -> usize {
        let (mut begin, mut seen) = (0, self.seen);
        let trunks = Rc::clone(&self.listener.trunks);
        let slots = trunks.slots();
        let routes = trunks.routes(slots.as_ref(), self.replica());
        let mut requests = std::mem::take(&mut self.requests);
        while self.need.is_none()
            && let Some(unseen) = data.get(seen..).filter(|unseen| !unseen.is_empty())
        {
            match requests.advance(unseen) {
                Step::NeedMore => {
                    seen = data.len();
                    if requests.is_between_messages() {
                        begin = seen;
                    } else if self.is_stranger() && seen - begin > MAX_UNKNOWN {
                        let why = "unauthenticated bulk length".to_owned();
                        self.need = Some(Need::Refuse(Refusal::Protocol { why }));
                    } else if seen - begin > MAX_HELD {
                        let came = data.get(begin..).unwrap_or_default();
                        let pending = requests.pending();
                        if pending.is_some_and(|pending| routes.may_stream(&pending, came)) {
                            requests = RequestDecoder::new();
                            self.need = Some(Need::Own(Stay::Short));
                        } else if came.len() > MAX_WHOLE {
                            let limit = MAX_WHOLE;
                            self.need = Some(Need::Refuse(Refusal::TooLarge { limit }));
                        }
                    }
                }
                Step::Malformed(reason) => {
                    self.listener.redis.decoding_error(reason.label());
                    let why = reason.to_string();
                    self.need = Some(Need::Refuse(Refusal::Protocol { why }));
                }
                Step::Message { consumed, message } => {
                    let end = seen + consumed;
                    let whole = data.get(begin..end).unwrap_or_default();
                    match self.forward(&message, whole, routes, &trunks) {
                        Ok(()) => {
                            (begin, seen) = (end, end);
                            // The next one does not begin before what was waited for to make this one whole.
                            self.began = self.read_at;
                        }
                        Err(need) => self.need = Some(need),
                    }
                }
            }
        }
        self.requests = requests;
        // What has to be waited for is looked at again then, from its first byte.
        self.seen = match self.need {
            Some(_) => 0,
            None => seen - begin,
        };
        begin
    }

    /// Sends a request to the server that it is for, or says what it needs first.
    fn forward(
        &mut self,
        request: &Decoded<'_>,
        whole: &[u8],
        routes: Routes<'_>,
        trunks: &Rc<Trunks>,
    ) -> Result<(), Need> {
        let series = self.recent.find(&self.listener.redis.commands, request);
        let plan = match self.is_deferred {
            true => Plan::Own(Stay::Short),
            false => Plan::of(&series, request),
        };
        if self.is_stranger() && !plan.is_for_strangers() {
            return Err(match request.count > MAX_UNKNOWN_ARGUMENTS {
                true => Need::Refuse(Refusal::Protocol {
                    why: "unauthenticated multibulk length".to_owned(),
                }),
                false => Need::Answer(Answer::LogInFirst),
            });
        }
        // On a ring nobody but the proxy sees that keys are not together.
        let way = match (plan, routes) {
            (Plan::Share, _) | (Plan::Own(_), Routes::Ring(_)) => {
                routes.way(series.command, request, whole)
            }
            _ => Way::Unknown,
        };
        if let Some(need) = Need::instead(plan, way, routes, series.command) {
            return Err(need);
        }
        if self.client.has_to_wait() {
            return Err(Need::Rest);
        }
        let id = self.identity.id;
        let (endpoint, profile) = match (way, self.identity.replica_id) {
            (Way::Several(split), _) => {
                return self.send_parts(request, series, (split, whole), routes, trunks);
            }
            (Way::Replica(endpoint), Some(replica)) => (Some(endpoint), replica),
            (Way::To(endpoint) | Way::Replica(endpoint), _) => (Some(endpoint), id),
            (Way::First | Way::Crossed | Way::Unknown, _) => (None, id),
        };
        let board = Board {
            trunks,
            scratch: &self.scratch,
        };
        let ride = self.rides.find(endpoint, profile, &self.client, &board);
        let trunk = ride.ok_or(Need::Rest)?.trunk();
        let asked = Request {
            pattern: self.listener.redis.request_seen(&series, request),
            series,
            start: self.began,
            bytes: request.bytes,
        };
        let series = Rc::clone(&asked.series);
        trunk.send(&self.client, asked, whole);
        self.mirror(&series, request, whole);
        Ok(())
    }

    /// The mirror knows one database, and nothing that clients have said of themselves.
    fn mirror(&self, series: &Series, request: &Decoded<'_>, whole: &[u8]) {
        if let Some(mirror) = &self.listener.mirror
            && self.identity.profile.database == 0
        {
            let stats = &self.listener.redis.stats;
            mirror.take(series, request, whole, stats, &self.scratch);
        }
    }

    /// Sends a request in parts, each to the server that it is for.
    fn send_parts(
        &mut self,
        request: &Decoded<'_>,
        series: Rc<Series>,
        (split, whole): (Split, &[u8]),
        routes: Routes<'_>,
        trunks: &Rc<Trunks>,
    ) -> Result<(), Need> {
        if !self.rides.are_open(&self.client) {
            return Err(Need::Rest);
        }
        let mut parts = parts(whole, split, routes);
        let asked = Request {
            pattern: self.listener.redis.request_seen(&series, request),
            series: Rc::clone(&series),
            start: self.began,
            bytes: request.bytes,
        };
        let merge = Merge::new(&self.client, asked, split, &mut parts);
        let board = Board {
            trunks,
            scratch: &self.scratch,
        };
        let id = self.identity.id;
        for (number, part) in parts.iter().enumerate() {
            let endpoint = part.endpoint.as_ref();
            if let Some(ride) = self.rides.find(endpoint, id, &self.client, &board) {
                ride.trunk().send_part(&merge, number, &part.bytes);
            }
        }
        self.mirror(&series, request, whole);
        Ok(())
    }

    /// It has to log in to the proxy first.
    fn is_stranger(&self) -> bool {
        self.listener.logins.is_some() && !self.identity.is_known
    }

    /// The number of the replica that it reads from, if it reads from one: the same for all it reads, so that it sees no older state than
    /// it saw before.
    pub(super) fn replica(&self) -> Option<usize> {
        self.identity.replica_id.map(|_| self.number)
    }
}

impl Need {
    /// What has to be done instead of sending a request over a connection that clients share.
    fn instead(
        plan: Plan,
        way: Way<'_>,
        routes: Routes<'_>,
        command: Option<&'static Command>,
    ) -> Option<Self> {
        if matches!(way, Way::Crossed) {
            return Some(Self::Answer(Answer::Crossed));
        }
        match plan {
            Plan::Share if matches!(way, Way::Unknown) => Some(Self::Slots),
            Plan::Share => None,
            Plan::Own(stay) => Some(match (command, routes) {
                // What it would be about is not on one server, and what follows must not be done by itself.
                (Some(command), Routes::Ring(_))
                    if matches!(command.class, Class::Multi | Class::Watch) =>
                {
                    let command = command.name;
                    Self::Refuse(Refusal::Spread { command })
                }
                // Each server knows of its own replicas alone, and which of them is meant is not said.
                (Some(command), Routes::Ring(_) | Routes::Slots(..) | Routes::Unknown)
                    if stay == Stay::Replicas =>
                {
                    Self::Answer(Answer::Refuse(command.name))
                }
                _ => Self::Own(stay),
            }),
            Plan::Answer(answer) => Some(Self::Answer(answer)),
            Plan::Close => Some(Self::Refuse(Refusal::Protocol {
                why: "this is no HTTP server".to_owned(),
            })),
        }
    }
}
