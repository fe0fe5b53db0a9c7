//! A command of several keys that are not together: in several slots of a Redis Cluster, or on several servers by their hash. It is cut into
//! one for each slot or server, and the replies are made one. As with every client or proxy that does so, it is not atomic then.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use narrows_parsers::Step;
use narrows_parsers::redis::command::Split;
use narrows_parsers::redis::{Kind, ReplyDecoder, arguments};

use super::asked::{Answered, exchange};
use super::client::{Client, MAX_MERGING, Request};
use super::errors::Refusal;
use super::route::Routes;
use crate::exchange::{AtUpstream, Exchange, Outcome, Timing};
use crate::upstream::Endpoint;
use crate::upstream::redis::encode;

/// A part of a request.
pub(super) struct Part {
    /// Of its cluster among those of the listener.
    pub(super) place: usize,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) bytes: Vec<u8>,
    /// Which of the request's keys it has, by their number.
    keys: Vec<usize>,
}

/// The parts of `whole`, whose keys are not together; each of them with one value behind it where `split` says so. `routes` says for a key
/// which cluster has it, by its place, and where in that cluster it goes.
pub(super) fn parts<'r>(
    whole: &[u8],
    split: Split,
    routes: impl Fn(&[u8]) -> (usize, Routes<'r>),
) -> Vec<Part> {
    let step = match split {
        Split::Ok => 2,
        Split::Values | Split::Sum => 1,
    };
    let all: Vec<&[u8]> = arguments(whole).collect();
    let Some((name, rest)) = all.split_first() else {
        return Vec::new();
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut arguments: Vec<Vec<&[u8]>> = Vec::new();
    let mut by_group = HashMap::new();
    for (number, key_and_value) in rest.chunks(step).enumerate() {
        let Some(key) = key_and_value.first() else {
            continue;
        };
        let (place, routes) = routes(key);
        let group = routes.group(key);
        let number_of_part = *by_group.entry((place, group)).or_insert_with(|| {
            parts.push(Part {
                place,
                endpoint: routes.server(Some(group)).map(Arc::clone),
                bytes: Vec::new(),
                keys: Vec::new(),
            });
            arguments.push(vec![name]);
            parts.len() - 1
        });
        if let (Some(part), Some(arguments)) = (
            parts.get_mut(number_of_part),
            arguments.get_mut(number_of_part),
        ) {
            part.keys.push(number);
            arguments.extend(key_and_value);
        }
    }
    for (part, arguments) in parts.iter_mut().zip(&arguments) {
        encode(arguments, &mut part.bytes);
    }
    parts
}

/// The replies to the parts of a request, until all have come.
pub(super) struct Merge {
    client: Rc<Client>,
    number: u64,
    split: Split,
    state: RefCell<State>,
}

struct State {
    /// Taken when the request is answered.
    request: Option<Request>,
    replies: Vec<PartReply>,
    left: usize,
    at: Option<AtUpstream>,
    outcome: Outcome,
    /// Bytes of all replies so far.
    bytes: usize,
    is_too_large: bool,
}

#[derive(Default)]
struct PartReply {
    keys: Vec<usize>,
    bytes: Vec<u8>,
}

impl Merge {
    /// A request of `client` that these parts are sent for.
    pub(super) fn new(
        client: &Rc<Client>,
        request: Request,
        split: Split,
        parts: &mut [Part],
    ) -> Rc<Self> {
        let replies = parts.iter_mut().map(|part| PartReply {
            keys: std::mem::take(&mut part.keys),
            bytes: Vec::new(),
        });
        let replies: Vec<_> = replies.collect();
        client.listener.active(1);
        Rc::new(Self {
            client: Rc::clone(client),
            number: client.asked(),
            split,
            state: RefCell::new(State {
                request: Some(request),
                left: replies.len(),
                replies,
                at: None,
                outcome: Outcome::Success,
                bytes: 0,
                is_too_large: false,
            }),
        })
    }

    /// Some of the reply to a part has come.
    pub(super) fn add(&self, part: usize, bytes: &[u8]) {
        let state = &mut *self.state.borrow_mut();
        if state.is_too_large {
            return;
        }
        if !self.client.begin_merging(bytes.len()) {
            state.is_too_large = true;
            self.client.end_merging(std::mem::take(&mut state.bytes));
            state.replies.clear();
            return;
        }
        state.bytes += bytes.len();
        if let Some(reply) = state.replies.get_mut(part) {
            reply.bytes.extend_from_slice(bytes);
        }
    }

    /// The last of the reply to a part has come; `answered` where a server gave it.
    pub(super) fn answer(
        &self,
        part: usize,
        bytes: &[u8],
        answered: Option<(AtUpstream, Outcome)>,
    ) {
        self.add(part, bytes);
        let mut state = self.state.borrow_mut();
        let (at, outcome) = match answered {
            Some((at, outcome)) => (Some(at), outcome),
            None => (None, Outcome::UpstreamGone),
        };
        state.at = longest(state.at, at);
        if outcome != Outcome::Success {
            state.outcome = outcome;
        }
        state.left = state.left.saturating_sub(1);
        if state.left > 0 {
            return;
        }
        let Some(request) = state.request.take() else {
            return;
        };
        let replies = std::mem::take(&mut state.replies);
        self.client.end_merging(std::mem::take(&mut state.bytes));
        let (at_upstream, mut outcome) = (state.at, state.outcome);
        let is_too_large = state.is_too_large;
        drop(state);
        let merged = match is_too_large {
            true => Err(Refusal::MergedTooLarge { limit: MAX_MERGING }),
            false => merged(self.split, &replies).ok_or(Refusal::Unfit),
        };
        let reply = merged.unwrap_or_else(|refusal| {
            outcome = Outcome::Error;
            refusal.reply(self.client.listener.cluster_name())
        });
        self.client.listener.active(-1);
        let end = at_upstream.map_or_else(std::time::Instant::now, |at| at.last_byte);
        let timing = Timing {
            start: request.start,
            at_upstream,
            end,
        };
        let exchange = Exchange {
            reply_bytes: reply.len() as u64,
            ..exchange(&request, outcome)
        };
        let whole = (request, exchange, timing);
        self.client.reply(self.number, &reply, Some(whole));
    }

    /// A part gets no reply, and the client is closed.
    pub(super) fn cut(&self) {
        if let Some(request) = self.state.borrow_mut().request.take() {
            let listener = &self.client.listener;
            listener.active(-1);
            let exchange = exchange(&request, Outcome::UpstreamGone);
            listener.report_of(&exchange, &request, None);
        }
        self.client.break_off();
    }

    pub(super) fn client(&self) -> &Rc<Client> {
        &self.client
    }
}

impl Answered {
    /// What a part's reply says of its way, when the request had been written at that time.
    pub(super) fn of_part(&self, written: Option<std::time::Instant>) -> (AtUpstream, Outcome) {
        let at = AtUpstream {
            request_written: written.unwrap_or(self.first_byte),
            first_byte: self.first_byte,
            last_byte: self.last_byte,
        };
        (at, self.outcome)
    }
}

/// From the first part that was written to the last that was answered.
fn longest(one: Option<AtUpstream>, other: Option<AtUpstream>) -> Option<AtUpstream> {
    match (one, other) {
        (Some(one), Some(other)) => Some(AtUpstream {
            request_written: one.request_written.min(other.request_written),
            first_byte: one.first_byte.min(other.first_byte),
            last_byte: one.last_byte.max(other.last_byte),
        }),
        (one, other) => one.or(other),
    }
}

/// The one reply that they make, or the first error, if there is one; `None` when they do not fit the request.
fn merged(split: Split, replies: &[PartReply]) -> Option<Vec<u8>> {
    let error = replies.iter().find(|reply| reply.bytes.starts_with(b"-"));
    if let Some(error) = error {
        return Some(error.bytes.clone());
    }
    match split {
        Split::Ok => Some(b"+OK\r\n".to_vec()),
        Split::Sum => sum(replies),
        Split::Values => values(replies),
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.client.end_merging(self.state.get_mut().bytes);
    }
}

fn sum(replies: &[PartReply]) -> Option<Vec<u8>> {
    let mut sum: i64 = 0;
    for reply in replies {
        let mut decoder = ReplyDecoder::new();
        let Step::Message { message, .. } = decoder.advance(&reply.bytes) else {
            return None;
        };
        sum = sum.checked_add(message.integer.filter(|_| message.kind == Kind::Integer)?)?;
    }
    Some(format!(":{sum}\r\n").into_bytes())
}

/// An array of the values of all, in the order of their keys.
fn values(replies: &[PartReply]) -> Option<Vec<u8>> {
    let count = replies.iter().map(|reply| reply.keys.len()).sum();
    let mut values: Vec<&[u8]> = vec![b""; count];
    let mut length = 0;
    for reply in replies {
        let end = memchr::memchr(b'\n', &reply.bytes)?;
        let (head, mut rest) = reply.bytes.split_at_checked(end + 1)?;
        if *head != *format!("*{}\r\n", reply.keys.len()).as_bytes() {
            return None;
        }
        for number in &reply.keys {
            let Step::Message { consumed, .. } = ReplyDecoder::new().advance(rest) else {
                return None;
            };
            let (value, after) = rest.split_at_checked(consumed)?;
            *values.get_mut(*number)? = value;
            length += value.len();
            rest = after;
        }
    }
    let mut made = Vec::with_capacity(length + 16);
    made.extend_from_slice(format!("*{count}\r\n").as_bytes());
    values
        .iter()
        .for_each(|value| made.extend_from_slice(value));
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(keys: &[usize], bytes: &[u8]) -> PartReply {
        PartReply {
            keys: keys.to_vec(),
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn values_come_in_the_order_of_their_keys() {
        let replies = [
            reply(&[0, 2], b"*2\r\n$1\r\na\r\n$-1\r\n"),
            reply(&[1], b"*1\r\n_\r\n"),
        ];
        let made = merged(Split::Values, &replies).unwrap();
        assert_eq!(made, b"*3\r\n$1\r\na\r\n_\r\n$-1\r\n");
    }

    #[test]
    fn numbers_are_added_and_an_error_is_the_reply() {
        let replies = [reply(&[0], b":2\r\n"), reply(&[1], b":3\r\n")];
        assert_eq!(merged(Split::Sum, &replies).unwrap(), b":5\r\n");
        let failed = [reply(&[0], b":2\r\n"), reply(&[1], b"-ERR no\r\n")];
        assert_eq!(merged(Split::Sum, &failed).unwrap(), b"-ERR no\r\n");
        let unfit = [reply(&[0], b"*2\r\n:1\r\n:2\r\n")];
        assert_eq!(merged(Split::Values, &unfit), None);
    }

    #[test]
    fn a_request_is_cut_by_slot() {
        use crate::upstream::redis::SlotMap;

        let endpoint = Arc::new(Endpoint::new("127.0.0.1".to_owned(), 1, None));
        let map = SlotMap::of_one(&endpoint);
        let whole = b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n";
        let parts = parts(whole, Split::Ok, |_| (0, Routes::Slots(&map, None)));
        let bytes: Vec<_> = parts.iter().map(|part| part.bytes.clone()).collect();
        assert_eq!(
            bytes,
            [
                b"*3\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n".to_vec(),
                b"*3\r\n$4\r\nMSET\r\n$1\r\nb\r\n$1\r\n2\r\n".to_vec(),
            ]
        );
    }
}
