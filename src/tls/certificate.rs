//! What a certificate says of itself.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate as Parsed;
use x509_cert::der::{DateTime, Decode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longest name that is shown: that of a host ends at 253 characters (RFC 1035 section 2.3.4).
const MAX_SHOWN_CHARS: usize = 256;

/// A certificate that expires within so many days should have been renewed: Let's Encrypt advises to do so 30 days ahead, and a week is what
/// is left when that has gone wrong for weeks.
const DAYS_TO_WARN: i64 = 7;

const SECONDS_A_DAY: i64 = 24 * 3600;

/// A certificate with its key, as a listener or a cluster shows it to its peers.
#[derive(Debug)]
pub struct Certificate {
    /// The file of the chain.
    pub file: PathBuf,
    /// The file of the key.
    pub key_file: PathBuf,
    /// Whether the key's file can be read by everybody on this machine.
    pub key_is_exposed: bool,
    /// What the certificate says of itself.
    pub facts: Facts,
    pub(super) key: Arc<CertifiedKey>,
    /// A digest of the key, to tell whether another one is in the file now.
    pub(super) key_digest: [u8; 32],
}

impl Certificate {
    /// Says what does not keep it from being used, but somebody should know. `used_by` is a listener or a cluster.
    pub(super) fn warn(&self, used_by: &str) {
        let (file, key_file) = (self.file.display(), self.key_file.display());
        let days = self.facts.days_left(SystemTime::now());
        if days < 0 {
            tracing::warn!(used_by, %file, expired = %rfc3339(self.facts.not_after), "the certificate has expired");
        } else if days < DAYS_TO_WARN {
            tracing::warn!(used_by, %file, days, "the certificate expires soon");
        }
        if self.key_is_exposed {
            tracing::warn!(used_by, file = %key_file, "the private key can be read by everybody on this machine");
        }
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
            && self.key_file == other.key_file
            && self.key.cert == other.key.cert
            && self.key_digest == other.key_digest
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// Whom else it is for, in its order.
    pub alternative_names: Vec<AlternativeName>,
    /// Hexadecimal, as `openssl x509 -serial` prints it.
    pub serial: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// One of the subject alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternativeName {
    /// `dns`, `uri`, `email` or `ip_address`.
    pub kind: &'static str,
    /// The name itself.
    pub value: String,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = Parsed::from_der(der).map_err(|error| error.to_string())?;
        let tbs = parsed.tbs_certificate();
        let mut serial = String::new();
        for byte in tbs.serial_number().as_bytes() {
            // Writing to a String can't fail.
            let _ = write!(serial, "{byte:02X}");
        }
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let validity = tbs.validity();
        Ok(Self {
            // What is no text names nobody; the certificate may be good for its other names.
            common_name: tbs
                .subject()
                .common_name()
                .ok()
                .flatten()
                .map(|name| shown(&name.value())),
            alternative_names: alternative_names(&parsed)?,
            serial,
            not_before: seconds(validity.not_before.to_unix_duration()),
            not_after: seconds(validity.not_after.to_unix_duration()),
        })
    }

    /// The host names it is for: those among its alternative names, or else its common name.
    pub(super) fn host_names(&self) -> impl Iterator<Item = &str> {
        let dns = || {
            self.alternative_names
                .iter()
                .filter(|name| name.kind == DNS)
        };
        let common = self
            .common_name
            .as_deref()
            .filter(|_| dns().next().is_none());
        dns().map(|name| name.value.as_str()).chain(common)
    }

    /// Who it is for, in one name: the common name, or else the first of the others.
    pub fn identity(&self) -> Option<&str> {
        let first = self
            .alternative_names
            .first()
            .map(|name| name.value.as_str());
        self.common_name.as_deref().or(first)
    }

    /// The name it has in stats: the first host name.
    pub fn name(&self) -> &str {
        self.host_names()
            .next()
            .or(self.identity())
            .unwrap_or_default()
    }

    /// Whole days until it expires, negative when it has expired.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.not_after.saturating_sub(now).div_euclid(SECONDS_A_DAY)
    }
}

/// A moment as RFC 3339 writes it, in UTC.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    DateTime::from_unix_duration(since).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

const DNS: &str = "dns";

fn alternative_names(certificate: &Parsed) -> Result<Vec<AlternativeName>, String> {
    let extension = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>();
    let extension = extension.map_err(|error| error.to_string())?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    Ok(names.iter().filter_map(alternative_name).collect())
}

fn alternative_name(name: &GeneralName) -> Option<AlternativeName> {
    let (kind, value) = match name {
        GeneralName::DnsName(name) => (DNS, shown(name.as_str()).to_ascii_lowercase()),
        GeneralName::UniformResourceIdentifier(uri) => ("uri", shown(uri.as_str())),
        GeneralName::Rfc822Name(address) => ("email", shown(address.as_str())),
        GeneralName::IpAddress(address) => ("ip_address", ip(address.as_bytes())?),
        _ => return None,
    };
    Some(AlternativeName { kind, value })
}

fn ip(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(v6).to_string())
}

/// A name that ends up in logs and on pages: on one line, and short.
fn shown(name: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    name.chars().take(MAX_SHOWN_CHARS).map(safe).collect()
}
