//! A connection of one client's own: for as long as a transaction lasts, a command waits, a subscription is held.
//!
//! It is watched as in mode tap. It is given back when nothing of what passed concerns what comes next, and only if the server's side of
//! it is as it was when it was lent; what can't be undone, or can't be followed, keeps it with its client to the end. Where keys are on several
//! servers, no more passes than what it was lent for, as what comes behind it may be for another one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use narrows_parsers::redis::command::Class;

use super::decide::Stay;
use super::errors::Refusal;
use super::local::answer;
use super::route::{first_class, first_key};
use super::session::{End, Session};
use super::trunks::Trunks;
use crate::exchange::{CloseReason, Outcome};
use crate::protocols::redis::tap::{Bounds, Lent, Tap};
use crate::protocols::relay::{Relay, Until};
use crate::upstream::Endpoint;
use crate::upstream::pool::{self, Lease, LongWaitPermit};
use crate::upstream::redis::{GreetingError, Version, begin_transaction, catch_up, set_name};

impl Session<'_> {
    /// Lends the client a connection, and returns when it has been given back. What is held goes first, as far as it may.
    pub(super) async fn own(&mut self, stay: Stay) -> Result<(), End> {
        let is_transaction = self.is_deferred
            || matches!(first_class(&self.held), Some(Class::Multi | Class::Watch));
        let key = first_key(&self.held, is_transaction);
        if self.defers(stay, key.is_some()) {
            return Ok(());
        }
        let place = key
            .as_deref()
            .map_or(0, |key| self.listener.targets.of_key(key));
        let (lease, _long_wait) = match self.lend(stay, key.as_deref(), place).await {
            Ok(lent) => lent,
            Err(refusal) if stay != Stay::Short => {
                self.refuse_first(&refusal, place);
                return Ok(());
            }
            // What comes behind belongs to what can't be done: the rest of a transaction, or of a large request. It must not be carried out
            // by itself.
            Err(refusal) => return Err(self.refuse_and_close(&refusal, place)),
        };
        let targets = &self.listener.targets;
        let bounds = match stay {
            Stay::Kept if targets.are_dealt_out() => Bounds::Subscriber,
            Stay::Short | Stay::Waits | Stay::Replicas
                if targets.are_spread() && !is_transaction =>
            {
                Bounds::One
            }
            _ => Bounds::None,
        };
        let lent = Lent {
            place,
            version_3: self.identity.profile.version == Version::Three,
            is_queuing: std::mem::take(&mut self.is_deferred),
            bounds,
        };
        self.relay(lease, lent).await
    }

    /// A transaction goes to the server that has its keys, and most clients wait for MULTI's reply before they name one. So that is
    /// answered here, and the server told when the first key comes; a transaction without commands ends here too.
    fn defers(&mut self, stay: Stay, has_key: bool) -> bool {
        let is_cluster = || {
            let redis = self.listener.targets.own().redis();
            redis.is_some_and(|redis| redis.is_cluster())
        };
        if stay != Stay::Short || has_key || !is_cluster() {
            return false;
        }
        let (reply, defers): (&[u8], bool) = match (first_class(&self.held), self.is_deferred) {
            (Some(Class::Multi), false) => (b"+OK\r\n", true),
            (Some(Class::Exec), true) => (b"*0\r\n", false),
            (Some(Class::Discard), true) => (b"+OK\r\n", false),
            _ => return false,
        };
        self.is_deferred = defers;
        if let Some((request, ..)) = self.first_request() {
            answer(&self.client, request, reply, Outcome::Success);
        }
        true
    }

    async fn lend(
        &self,
        stay: Stay,
        key: Option<&[u8]>,
        place: usize,
    ) -> Result<(Lease, Option<LongWaitPermit>), Refusal> {
        let trunks = self.listener.targets.at(place);
        let id = self.identity.at(place).id;
        let now = Instant::now();
        let waiting = trunks.pool().shared().policy().config.wait_timeout;
        let deadline = tokio::time::Instant::from_std(now + waiting);
        let long_wait = match stay {
            Stay::Short => None,
            Stay::Waits | Stay::Replicas | Stay::Kept => {
                Some(trunks.pool().acquire_long_wait(now, deadline).await?)
            }
        };
        trunks.know_slots(id).await?;
        // Where it is not the key that decides: the server whose shared connection the client uses, which has what it wrote.
        let endpoint = self.endpoint_of(trunks, key);
        let endpoint = endpoint.or_else(|| trunks.shared_endpoint(id));
        let lease = trunks.lease(endpoint.as_ref(), id).await;
        if lease.is_err() && endpoint.is_some() {
            trunks.failed(id);
        }
        let mut lease = lease?;
        let preparing = tokio::time::timeout(waiting, self.prepare(&mut lease, stay));
        let why = match preparing.await {
            Ok(Ok(())) => return Ok((lease, long_wait)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} does not answer", lease.endpoint().name),
        };
        Err(Refusal::CannotConnect { why })
    }

    /// The server that has a key, or any, where the key decides.
    fn endpoint_of(&self, trunks: &Trunks, key: Option<&[u8]>) -> Option<Arc<Endpoint>> {
        let slots = trunks.slots();
        let routes = trunks.routes(slots.as_ref(), self.replica(trunks.place()));
        let group = key.map(|key| routes.group(key));
        routes.server(group).map(Arc::clone)
    }

    async fn prepare(&self, lease: &mut Lease, stay: Stay) -> Result<(), GreetingError> {
        // Its name is what operators know it by. A connection that comes back must not have it.
        let name = &self.identity.name;
        if stay == Stay::Kept && !name.is_empty() {
            set_name(lease.stream(), name).await?;
        }
        match stay {
            Stay::Replicas => catch_up(lease.stream()).await,
            _ if self.is_deferred => begin_transaction(lease.stream()).await,
            _ => Ok(()),
        }
    }

    async fn relay(&mut self, mut lease: Lease, lent: Lent) -> Result<(), End> {
        let place = lent.place;
        let redis = Rc::clone(&self.listener.redis);
        let mut tap = Tap::lent(redis, lent, self.application.take());
        let first = std::mem::take(&mut self.held);
        self.count_whole();
        self.seen = 0;
        // They count as read a second time.
        self.received -= first.len() as u64;
        let relay = Relay::new(
            &mut self.stream,
            lease.stream(),
            &mut tap,
            self.handle,
            &self.scratch,
        );
        let until = relay.until_rest(first).await;
        let (received, sent) = match &until {
            Until::Rest { received, sent, .. } => (*received, *sent),
            Until::End(ended) => (ended.received, ended.sent),
        };
        self.received += received;
        self.sent += sent;
        let kept_back = match &until {
            Until::Rest { rest, .. } => rest.len() as u64,
            Until::End(_) => 0,
        };
        lease.moved(sent, received - kept_back);
        if tap.is_elsewhere() {
            // Nothing here can be sent on any more; the next one is to go right.
            let trunks = self.listener.targets.at(place);
            trunks.failed(self.identity.at(place).id);
        }
        match until {
            Until::Rest { rest, .. } => {
                self.held = rest;
                self.began = Instant::now();
                self.read_at = self.began;
                let (is_as_it_was, is_refused) = (tap.is_as_it_was(), tap.is_refused());
                self.application = tap.leave();
                match is_as_it_was {
                    true => lease.checkin(Instant::now()),
                    false => lease.discard(pool::CloseReason::ClientGone),
                }
                // What its client thinks that it has would be gone with it.
                match is_as_it_was || is_refused {
                    true => Ok(()),
                    false => Err(End::by_us(CloseReason::Malformed)),
                }
            }
            Until::End(ended) => {
                self.cut += tap.outstanding();
                let lost = ended.reason == CloseReason::UpstreamReset
                    || (ended.reason == CloseReason::Finished && !ended.by_client);
                tap.end(match lost {
                    true => Outcome::UpstreamGone,
                    false => Outcome::ClientGone,
                });
                lease.discard(match lost {
                    true => pool::CloseReason::UpstreamError,
                    false => pool::CloseReason::ClientGone,
                });
                Err(End {
                    reason: ended.reason,
                    by_client: ended.by_client,
                })
            }
        }
    }
}
