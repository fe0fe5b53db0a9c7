//! What changes about a request and a reply on their way through, where their fields are in a map: what the config adds and takes away,
//! and what the upstream is told of the client.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{ForwardedConfig, Underscores};
use crate::protocols::http::forwarded;
use crate::protocols::http::route::HeaderEdits;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How a request is told to the upstream.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    /// The client's address.
    pub(crate) peer: &'a str,
    pub(crate) is_tls: bool,
    pub(crate) forwarded: ForwardedConfig,
    pub(crate) underscores: Underscores,
    pub(crate) edits: &'a HeaderEdits,
}

impl Told<'_> {
    /// True when the field reaches the upstream as it came.
    pub(crate) fn stays(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        if name == X_FORWARDED_FOR {
            return !self.forwarded.append;
        }
        if name == X_FORWARDED_PROTO {
            return !forwarded::replaces_proto(self.forwarded);
        }
        !(self.underscores == Underscores::Drop && name.contains('_')
            || self.edits.is_removed(name.as_bytes())
            // What is for proxies is for this one (RFC 9110 §11.7).
            || name.starts_with("proxy-"))
    }

    /// Appends the fields that are added, as lines. `fields` are those that came.
    pub(crate) fn write_added(&self, fields: &HeaderMap, out: &mut Vec<u8>) {
        if self.forwarded.append {
            let before = fields.get_all(X_FORWARDED_FOR).iter();
            forwarded::append_for(out, before.map(HeaderValue::as_bytes), self.peer);
        }
        if self.says_proto(fields) {
            forwarded::append_proto(out, self.is_tls);
        }
        out.extend_from_slice(self.edits.appended());
    }

    /// Makes the fields those that the upstream gets.
    pub(crate) fn apply(&self, fields: &mut HeaderMap) {
        let said: Vec<HeaderName> = fields
            .keys()
            .filter(|name| !self.stays(name))
            .cloned()
            .collect();
        let mut forwarded_for = Vec::new();
        if self.forwarded.append {
            let before = fields.get_all(X_FORWARDED_FOR).iter();
            for value in before.filter(|value| !value.is_empty()) {
                forwarded_for.extend_from_slice(value.as_bytes());
                forwarded_for.extend_from_slice(b", ");
            }
            forwarded_for.extend_from_slice(self.peer.as_bytes());
        }
        let says_proto = self.says_proto(fields);
        for name in said {
            fields.remove(name);
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(forwarded_for))
            && self.forwarded.append
        {
            fields.insert(X_FORWARDED_FOR, value);
        }
        if says_proto {
            let scheme = match self.is_tls {
                true => "https",
                false => "http",
            };
            fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        }
        self.edits.apply(fields);
    }

    fn says_proto(&self, fields: &HeaderMap) -> bool {
        forwarded::replaces_proto(self.forwarded) || !fields.contains_key(X_FORWARDED_PROTO)
    }
}
