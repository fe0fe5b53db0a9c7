//! The trunks that a client sends over.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use super::client::Client;
use super::trunk::Ride;
use super::trunks::Trunks;
use crate::protocols::relay::Scratch;
use crate::upstream::Endpoint;
use crate::upstream::redis::ProfileId;

/// Where trunks are to be had.
pub(super) struct Board<'a> {
    pub(super) trunks: &'a Rc<Trunks>,
    pub(super) scratch: &'a Scratch,
}

/// The trunks that a client has sent over.
#[derive(Default)]
pub(super) struct Rides(Vec<Ride>);

impl Rides {
    /// The trunk that leads there. `None` when the one that did is closing and has replies for the client: what goes over another one must
    /// not overtake them.
    pub(super) fn find(
        &mut self,
        endpoint: Option<&Arc<Endpoint>>,
        profile: ProfileId,
        client: &Client,
        board: &Board<'_>,
    ) -> Option<&Ride> {
        let rides = &mut self.0;
        let known = rides.iter().position(|ride| {
            let trunk = ride.trunk();
            trunk.place == board.trunks.place()
                && trunk.profile == profile
                && trunk.leads_to(endpoint)
        });
        let place = match known {
            Some(place) if rides.get(place)?.trunk().is_open() => place,
            Some(_) if client.waiting() > 0 => return None,
            known => {
                if let Some(place) = known {
                    rides.swap_remove(place);
                }
                let trunk = board.trunks.trunk(endpoint, profile, board.scratch);
                rides.push(Ride::on(&trunk));
                rides.len() - 1
            }
        };
        rides.get(place)
    }

    /// True when what is sent over any of them overtakes nothing: none of them is closing with replies for the client. Others are left.
    pub(super) fn are_open(&mut self, client: &Client) -> bool {
        let is_open = |ride: &Ride| ride.trunk().is_open();
        if client.waiting() == 0 {
            self.0.retain(is_open);
        }
        self.0.iter().all(is_open)
    }

    /// True when too much waits to be written on one of them. The caller is woken when that has changed.
    pub(super) fn are_full(&self, cx: &Context<'_>) -> bool {
        self.0.iter().any(|ride| ride.trunk().is_full(cx))
    }

    /// It sends over others from now on.
    pub(super) fn leave(&mut self) {
        self.0.clear();
    }
}
