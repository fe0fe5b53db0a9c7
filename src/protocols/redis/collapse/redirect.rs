//! Redis Cluster: a request that came to the wrong server is sent to the right one, and its client never hears of it.

use std::rc::Rc;
use std::sync::Arc;

use narrows_parsers::redis::Reply;

use super::asked::{Answered, Asked};
use super::trunks::Trunks;
use crate::protocols::relay::Scratch;
use crate::stats::Redis;
use crate::upstream::Endpoint;
use crate::upstream::redis::{ProfileId, SharedRedis};

/// Times that a request is sent on: what Redis' own clients take for "the map goes round in circles".
const MAX_REDIRECTS: u8 = 5;

/// Behind it, a server also takes a request for a slot that is on its way to it.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// Where a server sends a request.
#[derive(Debug, PartialEq, Eq)]
struct Redirect<'a> {
    /// For this request only: the slot is on its way.
    asks: bool,
    slot: u16,
    host: &'a str,
    port: u16,
}

/// Gives an error to the client that it answers, unless it says where to send the request.
pub(super) fn answer_error(
    trunks: &Rc<Trunks>,
    (from, profile): (&Arc<Endpoint>, ProfileId),
    asked: Asked,
    reply: &[u8],
    message: &Reply<'_>,
    how: Answered,
    scratch: &Scratch,
) {
    let redis = trunks.cluster().redis.as_ref();
    let Some(redis) = redis.filter(|redis| redis.is_cluster()) else {
        return asked.answer(reply, how);
    };
    // The slots of a server that has failed, and of one that has taken its place, are not where they were.
    if message.error_prefix() == b"CLUSTERDOWN" {
        trunks.refresh(profile);
    }
    let redirect = Redirect::of(message).filter(|_| asked.redirects < MAX_REDIRECTS);
    match redirect.filter(|_| !asked.client().is_gone()) {
        None => asked.answer(reply, how),
        Some(redirect) => redirect.follow(trunks, redis, (from, profile), asked, scratch),
    }
}

impl<'a> Redirect<'a> {
    /// `MOVED 3999 127.0.0.1:6381`, or the same with ASK.
    fn of(message: &Reply<'a>) -> Option<Self> {
        let text = str::from_utf8(message.name()).ok()?;
        let mut words = text.split(' ');
        let asks = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self {
            asks,
            slot,
            host,
            port: port.parse().ok()?,
        })
    }

    fn follow(
        &self,
        trunks: &Rc<Trunks>,
        redis: &SharedRedis,
        (from, profile): (&Arc<Endpoint>, ProfileId),
        asked: Asked,
        scratch: &Scratch,
    ) {
        let to = redis.endpoint(self.host, self.port, from);
        let stats = &asked.client().listener.stats;
        // What the client sends next must not overtake what goes round.
        asked.client().redirected();
        let prelude = match self.asks {
            true => {
                stats.inc(Redis::ASK);
                ASKING
            }
            false => {
                stats.inc(Redis::MOVED);
                redis.moved(self.slot, &to);
                trunks.refresh(profile);
                &[]
            }
        };
        let trunk = trunks.trunk(Some(&to), profile, scratch);
        trunk.resend(asked, prelude);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_parsers::Step;
    use narrows_parsers::redis::ReplyDecoder;

    fn of(line: &[u8]) -> Option<(bool, u16, String, u16)> {
        let mut decoder = ReplyDecoder::new();
        let Step::Message { message, .. } = decoder.advance(line) else {
            panic!("no reply");
        };
        let redirect = Redirect::of(&message)?;
        let host = redirect.host.to_owned();
        Some((redirect.asks, redirect.slot, host, redirect.port))
    }

    #[test]
    fn redirections_are_read() {
        let moved = of(b"-MOVED 3999 127.0.0.1:6381\r\n");
        assert_eq!(moved, Some((false, 3999, "127.0.0.1".to_owned(), 6381)));
        let asks = of(b"-ASK 1 ::1:6381\r\n");
        assert_eq!(asks, Some((true, 1, "::1".to_owned(), 6381)));
        assert_eq!(
            of(b"-MOVED 1 :6381\r\n"),
            Some((false, 1, String::new(), 6381))
        );
        for line in [
            &b"-MOVED\r\n"[..],
            b"-MOVED x a:1\r\n",
            b"-MOVED 1 a\r\n",
            b"-ERR MOVED 1 a:1\r\n",
        ] {
            assert_eq!(of(line), None);
        }
    }
}
