//! decode → decide → forward: requests that need nothing but a server go to it at once, over connections that clients share.

use std::rc::Rc;

use narrows_parsers::Step;
use narrows_parsers::redis::command::{Class, Command, OPTIONS_LIMIT, Split};
use narrows_parsers::redis::{Request as Decoded, RequestDecoder, arguments};

use super::client::Request;
use super::decide::{Answer, Plan, Stay};
use super::errors::Refusal;
use super::rides::Board;
use super::route::{Routes, Way, for_each_key, key_positions, splits};
use super::session::{MAX_HELD, Need, Session};
use super::split::{Merge, parts};
use super::targets::{Place, Targets};
use super::trunks::Trunks;
use crate::protocols::redis::commands::Series;

/// A cluster, and where in it requests go now.
#[derive(Clone, Copy)]
struct Target<'a> {
    trunks: &'a Rc<Trunks>,
    routes: Routes<'a>,
}

/// Bytes of a request that has to be whole before anybody can say which server it is for: it has several keys, or none. Larger ones are
/// refused, as the proxy is not where data is kept.
const MAX_WHOLE: usize = 64 * 1024 * 1024;

/// Bytes of all such requests of one worker: with more, the next one to grow is refused.
const MAX_WHOLE_OF_ALL: usize = 256 * 1024 * 1024;

/// Keys of a request that are looked at, as the worker does nothing else meanwhile.
const MAX_KEYS: usize = 100_000;

/// Words of a line that are looked at: those that a decoder keeps.
const MAX_TYPED: usize = 10;

/// Bytes of a request of a client that has to log in first: Redis' `PROTO_MAX_UNAUTHENTICATED_BULK` ("unauthenticated bulk length").
const MAX_UNKNOWN: usize = 16 * 1024;

/// Arguments of such a request ("unauthenticated multibulk length").
const MAX_UNKNOWN_ARGUMENTS: u64 = 10;

impl Session<'_> {
    /// Deals with every request in `data` that needs nothing but a server. Returns where the first that needs more, or is not whole, begins.
    pub(super) fn process(&mut self, data: &[u8]) -> usize {
        let (mut begin, mut seen) = (0, self.seen);
        let listener = Rc::clone(&self.listener);
        let targets = &listener.targets;
        let trunks = targets.own();
        let slots = trunks.slots();
        let routes = trunks.routes(slots.as_ref(), self.replica(0));
        let own = Target { trunks, routes };
        // Where there are several clusters, which one it is has to be known as well.
        let routes = match targets.are_several() {
            true => Routes::Unknown,
            false => routes,
        };
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
                        } else if listener.held_whole() > MAX_WHOLE_OF_ALL {
                            self.need = Some(Need::Refuse(Refusal::TooMuchHeld));
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
                    match self.forward(&message, whole, own, targets) {
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
        own: Target<'_>,
        targets: &Targets,
    ) -> Result<(), Need> {
        let series = self.recent.find(self.listener.redis.commands(0), request);
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
        if targets.are_dealt_out()
            && let Some(need) = Need::of_one_server(plan, &series, request, whole)
        {
            return Err(need);
        }
        let Some(command) = series.command.filter(|_| targets.are_several()) else {
            return self.send(request, series, plan, whole, own);
        };
        match targets.of(series.command, request, whole) {
            Place::At(0) => self.send(request, series, plan, whole, own),
            Place::At(place) => {
                let trunks = targets.at(place);
                let slots = trunks.slots();
                let routes = trunks.routes(slots.as_ref(), self.replica(place));
                let series = self
                    .recent
                    .find(self.listener.redis.commands(place), request);
                self.send(request, series, plan, whole, Target { trunks, routes })
            }
            Place::Apart => {
                let split = splits(command, request, whole).filter(|_| plan == Plan::Share);
                let split = split.ok_or(Need::Answer(Answer::Crossed))?;
                self.send_apart(request, series, (split, whole), targets)
            }
        }
    }

    /// Sends a request to the server of one cluster that it is for.
    fn send(
        &mut self,
        request: &Decoded<'_>,
        series: Rc<Series>,
        plan: Plan,
        whole: &[u8],
        target: Target<'_>,
    ) -> Result<(), Need> {
        let Target { trunks, routes } = target;
        let place = trunks.place();
        // On a ring nobody but the proxy sees that keys are not together.
        let way = match (plan, routes) {
            (Plan::Share, _) | (Plan::Own(_), Routes::Ring(_)) => {
                routes.way(series.command, request, whole)
            }
            _ => Way::Unknown,
        };
        if let Some(need) = Need::instead(plan, way, routes, series.command, place) {
            return Err(need);
        }
        if self.client.has_to_wait() {
            return Err(Need::Rest);
        }
        let ids = self.identity.at(place);
        let (endpoint, profile) = match (way, ids.replica) {
            (Way::Several(split), _) => {
                let listener = Rc::clone(&self.listener);
                let routes = |_: &[u8]| (place, routes);
                return self.send_parts(request, series, (split, whole), routes, &listener.targets);
            }
            (Way::Replica(endpoint), Some(replica)) => (Some(endpoint), replica),
            (Way::To(endpoint) | Way::Replica(endpoint), _) => (Some(endpoint), ids.id),
            (Way::First | Way::Crossed | Way::Unknown, _) => (None, ids.id),
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

    /// Sends a request whose keys are in several clusters.
    fn send_apart(
        &mut self,
        request: &Decoded<'_>,
        series: Rc<Series>,
        (split, whole): (Split, &[u8]),
        targets: &Targets,
    ) -> Result<(), Need> {
        let slots: Vec<_> = targets.all().map(|trunks| trunks.slots()).collect();
        let known = targets.all().zip(&slots);
        let known: Vec<_> = known
            .map(|(trunks, slots)| trunks.routes(slots.as_ref(), None))
            .collect();
        let routes = |key: &[u8]| {
            let place = targets.of_key(key);
            (place, known.get(place).copied().unwrap_or(Routes::Unknown))
        };
        let mut unknown = None;
        if let Some(command) = series.command {
            for_each_key(command, request, whole, |key| {
                if let (place, Routes::Unknown) = routes(key) {
                    unknown = Some(place);
                }
            });
        }
        if let Some(place) = unknown {
            return Err(Need::Slots(place));
        }
        if self.client.has_to_wait() {
            return Err(Need::Rest);
        }
        self.send_parts(request, series, (split, whole), routes, targets)
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
    fn send_parts<'r>(
        &mut self,
        request: &Decoded<'_>,
        series: Rc<Series>,
        (split, whole): (Split, &[u8]),
        routes: impl Fn(&[u8]) -> (usize, Routes<'r>),
        targets: &Targets,
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
        for (number, part) in parts.iter().enumerate() {
            let endpoint = part.endpoint.as_ref();
            let board = Board {
                trunks: targets.at(part.place),
                scratch: &self.scratch,
            };
            let id = self.identity.at(part.place).id;
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

    /// The number of the replica that it reads from in the cluster at this place, if it reads from one: the same for all it reads, so that it
    /// sees no older state than it saw before.
    pub(super) fn replica(&self, place: usize) -> Option<usize> {
        self.identity.at(place).replica.map(|_| self.number)
    }
}

impl Need {
    /// Where keys are dealt out by the proxy: what is refused, as it is for one server and nobody can say which, or as it would take
    /// with it what comes behind it.
    fn of_one_server(
        plan: Plan,
        series: &Series,
        request: &Decoded<'_>,
        whole: &[u8],
    ) -> Option<Self> {
        let (Plan::Share | Plan::Own(_)) = plan else {
            return None;
        };
        // A container may have this subcommand since a later version.
        let known = series.command.filter(|command| !command.is_container());
        let Some(command) = known else {
            return Some(Self::Answer(Answer::Unplaced));
        };
        let name = command.name;
        match (plan, command.class) {
            (Plan::Own(_), Class::Multi | Class::Watch) => {
                return Some(Self::Refuse(Refusal::Spread { command: name }));
            }
            (
                Plan::Own(Stay::Kept),
                Class::Subscribe(_) | Class::Unsubscribe(_) | Class::Monitor,
            ) => {}
            (Plan::Own(Stay::Kept | Stay::Replicas), _) => {
                return Some(Self::Answer(Answer::Refuse(name)));
            }
            _ => {}
        }
        let is_typed = arguments(whole).next().is_none();
        let is_long = |index: usize| request.argument(index).is_some_and(|text| text.is_cut());
        let is_too_much_typed =
            is_typed && (request.count > MAX_TYPED as u64 || (0..MAX_TYPED).any(is_long));
        let is_far = command.options_name_keys() && request.count > OPTIONS_LIMIT as u64;
        let are_many = || key_positions(command, request, whole).len() > MAX_KEYS;
        let is_unplaced = is_too_much_typed || is_far || are_many();
        is_unplaced.then_some(Self::Answer(Answer::Unplaced))
    }

    /// What has to be done instead of sending a request over a connection that clients share.
    fn instead(
        plan: Plan,
        way: Way<'_>,
        routes: Routes<'_>,
        command: Option<&'static Command>,
        place: usize,
    ) -> Option<Self> {
        if matches!(way, Way::Crossed) {
            return Some(Self::Answer(Answer::Crossed));
        }
        match plan {
            Plan::Share if matches!(way, Way::Unknown) => Some(Self::Slots(place)),
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
