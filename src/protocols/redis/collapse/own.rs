//! A connection of one client's own: for as long as a transaction lasts, a command waits, a subscription is held.
//!
//! It is watched as in mode tap. It is given back when nothing of what passed concerns what comes next, and only if the server's side of
//! it is as it was when it was lent; what can't be undone, or can't be followed, keeps it with its client to the end.

use std::rc::Rc;
use std::time::Instant;

use super::decide::Stay;
use super::errors::Refusal;
use super::session::{End, Session};
use crate::exchange::{CloseReason, Outcome};
use crate::protocols::redis::tap::Tap;
use crate::protocols::relay::{Relay, Until};
use crate::upstream::pool::{self, Lease, LongWaitPermit};
use crate::upstream::redis::{Version, set_name};

impl Session<'_> {
    /// Lends the client a connection, and returns when it has been given back. The requests that are held go first.
    pub(super) async fn own(&mut self, stay: Stay) -> Result<(), End> {
        let (lease, _long_wait) = match self.lend(stay).await {
            Ok(lent) => lent,
            Err(refusal) if stay != Stay::Short => {
                self.refuse_first(&refusal);
                return Ok(());
            }
            // What comes behind belongs to what can't be done: the rest of a transaction, or of a large request. It must not be carried out
            // by itself.
            Err(refusal) => return Err(self.refuse_and_close(&refusal).await),
        };
        self.relay(lease).await
    }

    async fn lend(&self, stay: Stay) -> Result<(Lease, Option<LongWaitPermit>), Refusal> {
        let trunks = &self.listener.trunks;
        let now = Instant::now();
        let waiting = trunks.pool().shared().policy().config.wait_timeout;
        let deadline = tokio::time::Instant::from_std(now + waiting);
        let long_wait = match stay {
            Stay::Short => None,
            Stay::Waits | Stay::Kept => Some(trunks.pool().acquire_long_wait(now, deadline).await?),
        };
        let mut lease = trunks.lease(self.identity.id).await?;
        // Its name is what operators know it by. A connection that comes back must not have it.
        let name = self.identity.name();
        if stay == Stay::Kept && !name.is_empty() {
            let named = set_name(lease.stream(), name).await;
            named.map_err(|error| Refusal::CannotConnect {
                why: error.to_string(),
            })?;
        }
        Ok((lease, long_wait))
    }

    async fn relay(&mut self, mut lease: Lease) -> Result<(), End> {
        let version_3 = self.identity.profile.version == Version::Three;
        let mut tap = Tap::lent(
            Rc::clone(&self.listener.redis),
            version_3,
            self.application.take(),
        );
        let first = std::mem::take(&mut self.held);
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
        let (received, sent) = match until {
            Until::Rest { received, sent } => (received, sent),
            Until::End(ended) => (ended.received, ended.sent),
        };
        self.received += received;
        self.sent += sent;
        lease.moved(sent, received);
        match until {
            Until::Rest { .. } => {
                self.application = tap.leave();
                lease.checkin(Instant::now());
                Ok(())
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
