//! Exchanges in which a side speaks HTTP/2: H2 → H1, H1 → H2, H2 → H2.
//!
//! Both sides look alike here ([`side`]): a head in the types of the `http` crate, then pieces of a body, then trailers. What is particular to
//! a version stays in the side that speaks it. [`relay`] moves the pieces of one exchange both ways, as fast as the slower side takes them;
//! [`exchange`] is the whole way of a request, from the cluster that routing chose to the report of how it went.

mod account;
mod checks;
mod exchange;
mod flow;
mod h1_down;
mod h1_in;
mod h1_out;
mod h1_up;
mod h2_down;
mod h2_halves;
mod h2_up;
mod relay;
mod server;
mod side;
mod to_h1;
mod to_h2;
mod told;

use narrows_parsers::http1::Headers;

pub(super) use account::{Reply, Request};
pub(super) use checks::{Flaw, authority, check};
pub(super) use exchange::{Outgoing, Went};
pub(super) use h1_down::{Asked, H1Client};
pub(super) use h2_down::H2Client;
pub(super) use side::{Broken, Downstream};
pub(super) use to_h1::content_length;
pub(super) use to_h2::{NoForm, Target};
pub(super) use told::Told;

/// The head of a request that came in HTTP/1. `head` is its bytes, which `fields` point into.
///
/// # Errors
/// When it has no form in HTTP/2.
pub(super) fn from_h1(
    target: &Target<'_>,
    head: &[u8],
    fields: &Headers,
) -> Result<http::request::Parts, NoForm> {
    to_h2::request(target, &bytes::Bytes::copy_from_slice(head), fields)
}

/// Sends a reply with a body that is at hand.
pub(super) fn reply_whole(
    client: &mut impl Downstream,
    head: http::response::Parts,
    body: bytes::Bytes,
) -> Result<(), Broken> {
    client.reply(head, false)?;
    client.put(body, true)
}

/// Fields in bytes: names and values, with what HTTP/1 writes around them. HPACK's own size depends on what was sent before.
pub(super) fn size(fields: &http::HeaderMap) -> u64 {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum::<usize>() as u64
}
