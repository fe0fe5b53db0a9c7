//! decide: which server a request goes to.

use std::sync::Arc;

use narrows_parsers::Step;
use narrows_parsers::redis::command::{
    Access, Class, Command, KeyPositions, OPTIONS_LIMIT, Split, find,
};
use narrows_parsers::redis::{Request, RequestDecoder, arguments, slot};

use crate::upstream::Endpoint;
use crate::upstream::redis::{Ring, SlotMap};

/// Bytes of a request that are kept in a Redis Cluster, so that it can be sent on when its slot has moved. A larger one streams.
const MAX_REDIRECTED: usize = 1024 * 1024;

/// Where requests go, as far as that is known now.
#[derive(Clone, Copy)]
pub(super) enum Routes<'a> {
    /// All to the same server.
    One,
    /// Each to the server that has the slots of its keys; with a number, those that only read to a replica, another one for each number.
    Slots(&'a SlotMap, Option<usize>),
    /// The same, but no server has said yet which those are.
    Unknown,
    /// Each to the server that has its keys by their hash.
    Ring(&'a Ring),
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// To the first endpoint of the cluster that can be reached.
    First,
    /// To this one.
    To(&'a Arc<Endpoint>),
    /// To this replica.
    Replica(&'a Arc<Endpoint>),
    /// To several, in parts: its keys are not together, and it may be cut like that.
    Several(Split),
    /// To nobody: its keys are not together.
    Crossed,
    /// It is not known yet.
    Unknown,
}

impl<'a> Routes<'a> {
    /// Where `request` goes, whose bytes are `whole`. Without a key, to any server.
    pub(super) fn way(
        self,
        command: Option<&Command>,
        request: &Request<'_>,
        whole: &[u8],
    ) -> Way<'a> {
        match self {
            Self::One => return Way::First,
            Self::Unknown => return Way::Unknown,
            Self::Slots(..) | Self::Ring(_) => {}
        }
        let mut groups = Groups::default();
        if let Some(command) = command {
            for_each_key(command, request, whole, |key| groups.add(self.group(key)));
        }
        if groups.are_several {
            let split = command.and_then(|command| splits(command, request, whole));
            match (split, self) {
                (Some(split), _) => return Way::Several(split),
                (None, Self::Ring(_)) => return Way::Crossed,
                // The server of the first refuses it.
                (None, _) => {}
            }
        }
        let reads = command.is_some_and(|command| command.access == Access::Read);
        if let Self::Slots(map, Some(number)) = self
            && reads
            && let Some(slot) = groups.first
            && let Some(replica) = map.replica(u16::try_from(slot).unwrap_or_default(), number)
        {
            return Way::Replica(replica);
        }
        self.server(groups.first).map_or(Way::First, Way::To)
    }

    /// True when a request of which so much `came`, and that is not whole, can be given a server already: there is one for all, or its only key
    /// has come.
    pub(super) fn may_stream(self, pending: &Request<'_>, came: &[u8]) -> bool {
        match self {
            Self::One => return true,
            Self::Slots(..) | Self::Unknown if came.len() <= MAX_REDIRECTED => return false,
            Self::Slots(..) | Self::Unknown | Self::Ring(_) => {}
        }
        let argument = |index| pending.argument(index).map(|text| text.bytes);
        let Some(command) = find(pending.command(), argument(1)) else {
            return false;
        };
        if command.options_name_keys() {
            return false;
        }
        let count = usize::try_from(pending.count).unwrap_or(usize::MAX);
        let mut positions = command.key_positions(count, argument);
        let (first, second) = (positions.next(), positions.next());
        let has_come = |position| arguments(came).nth(position).is_some();
        second.is_none() && first.is_some_and(has_come)
    }

    /// Keys of the same group are on the same server, and stay together.
    pub(super) fn group(self, key: &[u8]) -> usize {
        match self {
            Self::Slots(..) => usize::from(slot(key)),
            Self::Ring(ring) => ring.place(key),
            Self::One | Self::Unknown => 0,
        }
    }

    /// The server of a group, or any.
    pub(super) fn server(self, group: Option<usize>) -> Option<&'a Arc<Endpoint>> {
        match self {
            Self::Slots(map, _) => {
                let slot = group.and_then(|group| u16::try_from(group).ok());
                let master = slot.and_then(|slot| map.master(slot));
                master.or_else(|| map.masters().first())
            }
            Self::Ring(ring) => ring.server(group.unwrap_or(0)),
            Self::One | Self::Unknown => None,
        }
    }
}

/// How a request may be cut whose keys are not together, if it may. What a person typed on a line is not worth it; and of a key without its
/// value nothing must be done.
pub(super) fn splits(command: &Command, request: &Request<'_>, whole: &[u8]) -> Option<Split> {
    command.split.filter(|split| {
        let is_odd = *split == Split::Ok && request.count.is_multiple_of(2);
        !is_odd && arguments(whole).next().is_some()
    })
}

/// The groups of the keys of a request.
#[derive(Default)]
struct Groups {
    first: Option<usize>,
    are_several: bool,
}

impl Groups {
    fn add(&mut self, group: usize) {
        let first = *self.first.get_or_insert(group);
        self.are_several |= first != group;
    }
}

/// Where the keys of a request are, whose bytes are `whole`.
pub(super) fn key_positions(
    command: &Command,
    request: &Request<'_>,
    whole: &[u8],
) -> KeyPositions {
    let count = usize::try_from(request.count).unwrap_or(usize::MAX);
    let kept = |index| request.argument(index).map(|text| text.bytes);
    if !command.options_name_keys() {
        return command.key_positions(count, kept);
    }
    // Options may stand where no argument is kept.
    let all: Vec<&[u8]> = arguments(whole).take(OPTIONS_LIMIT).collect();
    command.key_positions(count, |index| {
        all.get(index).copied().or_else(|| kept(index))
    })
}

/// Shows the keys of a request, in their order.
pub(super) fn for_each_key<'a>(
    command: &Command,
    request: &Request<'a>,
    whole: &'a [u8],
    mut show: impl FnMut(&'a [u8]),
) {
    let mut positions = key_positions(command, request, whole);
    let mut next = positions.next();
    for (place, argument) in arguments(whole).enumerate() {
        match next {
            None => return,
            Some(position) if position == place => {
                show(argument);
                next = positions.next();
            }
            Some(_) => {}
        }
    }
    // Typed on a line.
    while let Some(position) = next {
        if let Some(text) = request.argument(position) {
            show(text.bytes);
        }
        next = positions.next();
    }
}

/// The first key of the first request in `held`, as far as it has come; or of all that is held, where it is a transaction that begins.
pub(super) fn first_key(held: &[u8], is_transaction: bool) -> Option<Vec<u8>> {
    let mut decoder = RequestDecoder::new();
    let mut rest = held;
    loop {
        match decoder.advance(rest) {
            Step::Malformed(_) => return None,
            Step::NeedMore => return key_that_came(&decoder.pending()?, rest),
            Step::Message { consumed, message } => {
                let (whole, after) = rest.split_at_checked(consumed)?;
                let key = key_of(&message, whole);
                if key.is_some() || !is_transaction {
                    return key;
                }
                rest = after;
            }
        }
    }
}

/// The first key of a request that is not whole, if all of the key has come.
fn key_that_came(request: &Request<'_>, came: &[u8]) -> Option<Vec<u8>> {
    let subcommand = request.argument(1).map(|text| text.bytes);
    let command = find(request.command(), subcommand)?;
    let first = key_positions(command, request, came).next()?;
    arguments(came).nth(first).map(<[u8]>::to_vec)
}

fn key_of(request: &Request<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    let subcommand = request.argument(1).map(|text| text.bytes);
    let command = find(request.command(), subcommand)?;
    let mut first = None;
    for_each_key(command, request, bytes, |key| {
        first.get_or_insert_with(|| key.to_vec());
    });
    first
}

/// What the first request in `held` does to its connection, if it is whole and known.
pub(super) fn first_class(held: &[u8]) -> Option<Class> {
    let mut decoder = RequestDecoder::new();
    let Step::Message { message, .. } = decoder.advance(held) else {
        return None;
    };
    let subcommand = message.argument(1).map(|text| text.bytes);
    Some(find(message.command(), subcommand)?.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_streams_when_its_server_is_known() {
        let ring = Ring::new(&[]);
        let long = "x".repeat(MAX_REDIRECTED);
        for (begin, on_a_ring, in_a_cluster) in [
            ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9999999\r\n", true, true),
            ("*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$9999999\r\n", false, false),
            // The key is not whole, the number of keys has not come, there is none, and nobody knows what has one.
            ("*3\r\n$3\r\nSET\r\n$9999999\r\n", false, false),
            ("*4\r\n$4\r\nEVAL\r\n$9999999\r\n", false, false),
            ("*2\r\n$4\r\nECHO\r\n$9999999\r\n", false, false),
            (
                "*3\r\n$8\r\nNONSENSE\r\n$1\r\nk\r\n$9999999\r\n",
                false,
                false,
            ),
        ] {
            let streams = |routes: Routes<'_>, came: &str| {
                let mut decoder = RequestDecoder::new();
                assert!(matches!(decoder.advance(came.as_bytes()), Step::NeedMore));
                routes.may_stream(&decoder.pending().unwrap(), came.as_bytes())
            };
            let large = format!("{begin}{long}");
            assert!(streams(Routes::One, begin));
            assert!(!streams(Routes::Unknown, begin));
            assert_eq!(streams(Routes::Unknown, &large), in_a_cluster, "{begin}");
            assert_eq!(streams(Routes::Ring(&ring), begin), on_a_ring, "{begin}");
        }
    }

    #[test]
    fn the_first_key_of_a_transaction_is_found_behind_what_has_none() {
        let held = b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
        assert_eq!(first_key(held, true), Some(b"key".to_vec()));
        assert_eq!(first_key(b"*1\r\n$5\r\nMULTI\r\n", true), None);
        assert_eq!(first_key(b"get key\r\n", false), Some(b"key".to_vec()));
        let large = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc";
        assert_eq!(first_key(large, false), Some(b"k".to_vec()));
        let cut = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$9\r\nuser:1";
        assert_eq!(first_key(cut, true), None, "half a key is another one");
        let eval = b"*4\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n";
        assert_eq!(first_key(eval, false), Some(b"k".to_vec()));
    }
}
