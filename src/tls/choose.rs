//! Which of a listener's certificates a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Certificates by the names they are for. The first of all is shown to clients that ask for no name, or for one that none is for.
#[derive(Debug)]
pub(super) struct ByName {
    default: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`, which stands for one label (RFC 6125 section 6.4.3).
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl ByName {
    /// `None` without a certificate.
    pub(super) fn new(certificates: &[Certificate]) -> Option<Self> {
        let mut by_name = Self {
            default: Arc::clone(&certificates.first()?.key),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        for certificate in certificates {
            for name in certificate.facts.host_names() {
                let name = name.to_ascii_lowercase();
                let (names, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut by_name.wildcard, rest),
                    None => (&mut by_name.exact, name.as_str()),
                };
                names
                    .entry(name.into())
                    .or_default()
                    .push(Arc::clone(&certificate.key));
            }
        }
        Some(by_name)
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact
            .get(name.as_str())
            .or_else(wildcard)
            .map(Vec::as_slice)
    }

    /// Several certificates for one name have keys of several kinds: the first that the client can check is shown.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let named = name.and_then(|name| self.named(name)).unwrap_or_default();
        let checkable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        named
            .iter()
            .find(checkable)
            .or(named.first())
            .unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            self.choose(hello.server_name(), hello.signature_schemes()),
        ))
    }
}
