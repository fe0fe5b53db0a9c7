//! What the tests of the parts share, and what they can only show together.

use std::collections::HashSet;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, ServerConfig};

use super::*;

/// Files that are there for the tests of the config.
pub(super) const CA: &str = "tests/config/tls/ca.pem";
pub(super) const NAME: &str = "shop.example";

pub(super) fn certificate() -> Certificate {
    let (chain, facts) = chain("tests/config/tls/certificate.pem").unwrap();
    let (key, exposed) = private_key("tests/config/tls/key.pem").unwrap();
    join(("certificate.pem", chain, facts), ("key.pem", key, exposed)).unwrap()
}

pub(super) fn server() -> Arc<ServerConfig> {
    let made = ServerTls::new(ServerSettings {
        certificates: vec![certificate()],
        clients: ClientCertificates::None,
        min_version: Version::Tls12,
        alpn: Vec::new(),
    });
    Arc::clone(&made.unwrap().config)
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, place);
    }
}

#[test]
fn errors_have_the_reason_that_an_operator_would_give() {
    for (error, reason) in [
        (
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Reason::NotTls,
        ),
        (Error::NoCertificatesPresented, Reason::NoCertificate),
        (Error::NoApplicationProtocol, Reason::NoSharedProtocol),
        (
            Error::InvalidCertificate(CertificateError::Expired),
            Reason::Expired,
        ),
        (
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Reason::UnknownAuthority,
        ),
        (
            Error::InvalidCertificate(CertificateError::NotValidForName),
            Reason::WrongName,
        ),
        (
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Reason::BadCertificate,
        ),
        (
            Error::AlertReceived(AlertDescription::UnknownCA),
            Reason::CertificateRefused,
        ),
        (
            Error::AlertReceived(AlertDescription::ProtocolVersion),
            Reason::NoSharedVersion,
        ),
        (
            Error::AlertReceived(AlertDescription::InternalError),
            Reason::Alert,
        ),
        (Error::General("no".into()), Reason::Internal),
    ] {
        // As it comes out of a stream, and by itself.
        let within = std::io::Error::new(std::io::ErrorKind::InvalidData, error.clone());
        assert_eq!(Failure::from(within).reason, reason, "{error}");
        assert_eq!(Failure::from(error).reason, reason);
    }
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    assert_eq!(Failure::from(reset).reason, Reason::Closed);
}

#[test]
fn a_failure_is_told_whole() {
    let failure = Failure::from(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert_eq!(
        failure.to_string(),
        "the peer's certificate is not from an authority that is known here: UnknownIssuer"
    );
    assert_eq!(
        Failure::of(Reason::TimedOut).to_string(),
        "the handshake took too long"
    );
}

#[test]
fn what_was_counted_is_taken_once() {
    let tally = Tally::default();
    tally.count(&Err(Failure::of(Reason::Expired)));
    tally.count(&Err(Failure::of(Reason::UnknownAuthority)));
    tally.count(&Err(Failure::of(Reason::Closed)));
    let counts = tally.take();
    assert_eq!(counts.failed(Reason::is_verification), 2);
    assert_eq!(counts.failed(|_| true), 3);
    assert_eq!(counts.succeeded(), 0);
    assert_eq!(tally.take(), Counts::default());
}

#[test]
fn a_certificate_tells_who_it_is_for_and_until_when() {
    let facts = certificate().facts;
    assert_eq!(facts.identity(), Some("shop.example"));
    assert_eq!(facts.name(), "shop.example");
    assert_eq!(
        facts.host_names().collect::<Vec<_>>(),
        ["shop.example", "*.shop.example"]
    );
    let at = |days: i64| {
        let seconds = facts.not_after - days * 24 * 3600;
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64)
    };
    for days in [-3, 0, 1, 400] {
        assert_eq!(facts.days_left(at(days)), days);
    }
    assert_eq!(rfc3339(978_307_200), "2001-01-01T00:00:00Z");
}
