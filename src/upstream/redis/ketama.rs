//! Consistent hashing as twemproxy does it with `distribution: ketama` and `hash: fnv1a_64`, so that either finds what the other has
//! written. What is here follows its documentation and what it was seen to do; a test compares the two.

use std::sync::Arc;

use md5::{Digest, Md5};

use crate::upstream::Endpoint;

/// Points on the ring for each server: forty digests, of four points each.
const DIGESTS: usize = 40;

/// The port that twemproxy leaves out of a server's name.
const UNNAMED_PORT: u16 = 11211;

/// Which server has which keys.
pub struct Ring {
    servers: Vec<Arc<Endpoint>>,
    /// Where each server's share ends, and its place, in ascending order.
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// The ring of these servers, each with the same weight.
    pub fn new(servers: &[Arc<Endpoint>]) -> Self {
        let mut points = Vec::new();
        for (place, server) in servers.iter().enumerate() {
            let name = match server.port {
                UNNAMED_PORT => &server.host,
                _ => &server.name,
            };
            for number in 0..DIGESTS {
                let digest = Md5::digest(format!("{name}-{number}"));
                let (numbers, _) = digest.as_chunks::<4>();
                let ends = numbers.iter().map(|bytes| u32::from_le_bytes(*bytes));
                points.extend(ends.map(|end| (end, place)));
            }
        }
        points.sort_unstable();
        Self {
            servers: servers.to_vec(),
            points,
        }
    }

    /// The place of the server that has a key.
    pub fn place(&self, key: &[u8]) -> usize {
        let hash = fnv1a(key);
        let at = self.points.partition_point(|(end, _)| *end < hash);
        // Behind the last point the ring begins again.
        let point = self.points.get(at).or_else(|| self.points.first());
        point.map_or(0, |(_, place)| *place)
    }

    /// The server at a place.
    pub fn server(&self, place: usize) -> Option<&Arc<Endpoint>> {
        self.servers.get(place)
    }
}

/// The lower half of the constants of FNV-1a with 64 bits, in arithmetic of 32: what twemproxy calls `fnv1a_64`.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x8422_2325, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_share_and_keeps_most_of_it_when_one_leaves() {
        let server = |port| Arc::new(Endpoint::new("127.0.0.1".to_owned(), port, None));
        let servers = [server(7001), server(7002), server(7003)];
        let (ring, smaller) = (Ring::new(&servers), Ring::new(&servers[..2]));
        let mut shares = [0; 3];
        for number in 0..3000 {
            let key = format!("key:{number}");
            let place = ring.place(key.as_bytes());
            shares[place] += 1;
            if place < 2 {
                assert_eq!(smaller.place(key.as_bytes()), place);
            }
        }
        assert!(shares.iter().all(|share| *share > 500), "{shares:?}");
    }

    #[test]
    fn an_empty_ring_is_no_panic() {
        assert_eq!(Ring::new(&[]).place(b"key"), 0);
        assert!(Ring::new(&[]).server(0).is_none());
    }
}
