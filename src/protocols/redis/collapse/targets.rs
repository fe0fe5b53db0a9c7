//! decide: which cluster a request goes to, where the config deals keys out by their beginnings.

use std::rc::Rc;

use narrows_parsers::redis::Request;
use narrows_parsers::redis::command::Command;

use super::route::for_each_key;
use super::trunks::Trunks;
use crate::upstream::redis::SharedRedis;

/// The clusters of one listener on one worker.
pub(super) struct Targets {
    /// The listener's own, which gets all that is said of no other.
    own: Rc<Trunks>,
    /// Those that its routes name.
    others: Vec<Rc<Trunks>>,
    /// Beginnings of keys, each with the place of its cluster; the longest first.
    prefixes: Vec<(Box<[u8]>, usize)>,
}

/// Which cluster has the keys of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The one at this place; without a key, the listener's own.
    At(usize),
    /// Not one alone.
    Apart,
}

impl Targets {
    /// `others` in the order of their places, from 1 on.
    pub(super) fn new(
        own: Rc<Trunks>,
        others: Vec<Rc<Trunks>>,
        routes: &[(Box<[u8]>, usize)],
    ) -> Self {
        let mut prefixes = routes.to_vec();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            own,
            others,
            prefixes,
        }
    }

    /// The listener's own.
    pub(super) fn own(&self) -> &Rc<Trunks> {
        &self.own
    }

    /// The one at a place.
    pub(super) fn at(&self, place: usize) -> &Rc<Trunks> {
        let other = place
            .checked_sub(1)
            .and_then(|place| self.others.get(place));
        other.unwrap_or(&self.own)
    }

    /// All, in the order of their places.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Trunks>> {
        std::iter::once(&self.own).chain(&self.others)
    }

    /// False where there is no cluster but the listener's own.
    pub(super) fn are_several(&self) -> bool {
        !self.prefixes.is_empty()
    }

    /// True where keys are on several servers, and nobody but the proxy knows on which.
    pub(super) fn are_dealt_out(&self) -> bool {
        let ring = self.own.redis().and_then(SharedRedis::ring);
        self.are_several() || ring.is_some()
    }

    /// True where keys are on several servers.
    pub(super) fn are_spread(&self) -> bool {
        let is_cluster = self.own.redis().is_some_and(SharedRedis::is_cluster);
        self.are_dealt_out() || is_cluster
    }

    /// The place of the cluster that has a key.
    pub(super) fn of_key(&self, key: &[u8]) -> usize {
        let mut prefixes = self.prefixes.iter();
        let fits = prefixes.find(|(prefix, _)| key.starts_with(prefix));
        fits.map_or(0, |(_, place)| *place)
    }

    /// The place of the cluster that has the keys of `request`, whose bytes are `whole`.
    pub(super) fn of(
        &self,
        command: Option<&Command>,
        request: &Request<'_>,
        whole: &[u8],
    ) -> Place {
        let Some(command) = command.filter(|_| self.are_several()) else {
            return Place::At(0);
        };
        let mut found = None;
        for_each_key(command, request, whole, |key| {
            let place = self.of_key(key);
            found = match found {
                None => Some(Place::At(place)),
                Some(Place::At(first)) if first == place => found,
                Some(_) => Some(Place::Apart),
            };
        });
        found.unwrap_or(Place::At(0))
    }
}
