//! A share of what clients ask is asked of another cluster as well, whose replies nobody gets: to see how it would bear the load, or to fill
//! it. Nothing waits for it, and nothing of it reaches a client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use narrows_parsers::redis::Request;

use super::route::Way;
use super::split::parts;
use super::trunk::Ride;
use super::trunks::Trunks;
use crate::protocols::redis::commands::Series;
use crate::protocols::relay::Scratch;
use crate::stats::{Redis, Scope};
use crate::upstream::Endpoint;
use crate::upstream::redis::ProfileId;

/// Percent of a whole.
const WHOLE: u32 = 100;

/// The mirror of one listener on one worker.
pub(super) struct Mirror {
    trunks: Rc<Trunks>,
    percent: u32,
    /// What has gathered of the share: at a whole it is one request's turn. So a share of 25 is each fourth request, and no dice are thrown.
    gathered: Cell<u32>,
    rides: RefCell<Vec<Ride>>,
}

impl Mirror {
    /// Sends `percent` of 100 requests to the cluster of `trunks` as well.
    pub(super) fn new(trunks: Trunks, percent: u32) -> Self {
        Self {
            trunks: Rc::new(trunks),
            percent,
            gathered: Cell::new(0),
            rides: RefCell::default(),
        }
    }

    /// A request has been sent to a server, `whole` as it is. Now it may be the mirror's turn.
    pub(super) fn take(
        &self,
        series: &Series,
        request: &Request<'_>,
        whole: &[u8],
        stats: &Scope<Redis>,
        scratch: &Scratch,
    ) {
        let gathered = self.gathered.get() + self.percent;
        self.gathered.set(gathered % WHOLE);
        if gathered < WHOLE {
            return;
        }
        let slots = self.trunks.slots();
        let routes = self.trunks.routes(slots.as_ref(), None);
        let sent = match routes.way(series.command, request, whole) {
            Way::First => self.send(None, whole, scratch),
            Way::To(endpoint) | Way::Replica(endpoint) => self.send(Some(endpoint), whole, scratch),
            Way::Several(split) => {
                let parts = parts(whole, split, |_| (0, routes));
                let mut parts = parts.iter();
                parts.all(|part| self.send(part.endpoint.as_ref(), &part.bytes, scratch))
            }
            Way::Unknown => {
                self.trunks.refresh(ProfileId::default());
                false
            }
            Way::Crossed => false,
        };
        stats.inc(match sent {
            true => Redis::MIRRORED,
            false => Redis::MIRROR_DROPPED,
        });
    }

    /// False when too much waits for that server already.
    fn send(&self, endpoint: Option<&Arc<Endpoint>>, bytes: &[u8], scratch: &Scratch) -> bool {
        let trunk = self.trunks.trunk(endpoint, ProfileId::default(), scratch);
        let mut rides = self.rides.borrow_mut();
        rides.retain(|ride| ride.trunk().is_open());
        if !rides.iter().any(|ride| std::ptr::eq(ride.trunk(), &*trunk)) {
            rides.push(Ride::on(&trunk));
        }
        trunk.send_unheard(bytes)
    }
}
