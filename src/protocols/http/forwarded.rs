//! What upstreams are told of the client: `x-forwarded-for` and `x-forwarded-proto`, as Envoy does it with
//! `use_remote_address`.

use crate::config::{ForwardedConfig, ForwardedProto};

/// Adds the peer's address to what proxies in front have said: `before` are the values of the request's own fields, in
/// their order. Without `append` those stay as they came, and nothing is written here.
pub fn append_for<'a>(out: &mut Vec<u8>, before: impl Iterator<Item = &'a [u8]>, peer: &str) {
    out.extend_from_slice(b"x-forwarded-for: ");
    for value in before.filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(peer.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Says how the client's connection is secured.
pub fn append_proto(out: &mut Vec<u8>, is_tls: bool) {
    out.extend_from_slice(match is_tls {
        true => b"x-forwarded-proto: https\r\n".as_slice(),
        false => b"x-forwarded-proto: http\r\n",
    });
}

/// True when the request's own `x-forwarded-proto`, if it has one, is replaced.
pub fn replaces_proto(config: ForwardedConfig) -> bool {
    config.proto == ForwardedProto::Set
}
