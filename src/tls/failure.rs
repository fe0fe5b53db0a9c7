//! Why a handshake failed: one of a closed set of reasons, and the whole story for people.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A handshake that failed.
#[derive(Debug)]
pub struct Failure {
    /// What kind of failure it was.
    pub reason: Reason,
    detail: Option<Detail>,
}

#[derive(Debug)]
enum Detail {
    Tls(Error),
    Io(io::Error),
}

macro_rules! reasons {
    ($( $(#[$doc:meta])* $reason:ident $label:literal $said:literal; )*) => {
        /// What kind of failure a handshake met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $( $(#[$doc])* $reason ),* }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[ $( Self::$reason ),* ];

            /// Its name in stats.
            pub fn label(self) -> &'static str {
                match self { $( Self::$reason => $label ),* }
            }

            fn said(self) -> &'static str {
                match self { $( Self::$reason => $said ),* }
            }
        }
    };
}

reasons! {
    /// The peer closed or reset the connection.
    Closed "closed" "the connection was closed during the handshake";
    /// It took too long.
    TimedOut "timed_out" "the handshake took too long";
    /// The system refused to read or write.
    Io "io" "the connection failed during the handshake";
    /// What came is no TLS.
    NotTls "not_tls" "what the peer speaks is not TLS";
    /// The peer is too old or too new.
    NoSharedVersion "no_shared_version" "no version of TLS in common";
    /// No cipher, group or signature in common.
    NoSharedCipher "no_shared_cipher" "no cipher, key exchange or signature in common";
    /// ALPN found nothing.
    NoSharedProtocol "no_shared_protocol" "no application protocol in common (ALPN)";
    /// A certificate was asked for, and none was shown.
    NoCertificate "no_certificate" "the peer showed no certificate";
    /// It is no longer valid.
    Expired "expired" "the peer's certificate has expired";
    /// It is not valid yet.
    NotYetValid "not_yet_valid" "the peer's certificate is not valid yet";
    /// Nobody known has signed it.
    UnknownAuthority "unknown_authority" "the peer's certificate is not from an authority that is known here";
    /// It is signed with another key than that of the authority it names, or what the peer signed is not signed with its key.
    BadSignature "bad_signature" "the peer's certificate is not signed by the authority of that name that is known here";
    /// It is for somebody else.
    WrongName "wrong_name" "the peer's certificate is for another name";
    /// It is for something else.
    WrongPurpose "wrong_purpose" "the peer's certificate is not meant for this use";
    /// Its authority has taken it back.
    Revoked "revoked" "the peer's certificate is revoked";
    /// Something else is wrong with it.
    BadCertificate "bad_certificate" "the peer's certificate can't be verified";
    /// The peer refused our certificate.
    CertificateRefused "certificate_refused" "the peer refuses the certificate it was shown, or wants one";
    /// The peer gave up for another reason.
    Alert "alert" "the peer gave the handshake up";
    /// What came can't be decrypted.
    Decrypt "decrypt" "what the peer sent can't be decrypted";
    /// The peer does not keep to the protocol.
    Protocol "protocol" "the peer does not keep to the protocol";
    /// Something here went wrong.
    Internal "internal" "the handshake failed on this side";
}

impl Reason {
    /// The peer's certificate was looked at and not believed, for another reason than its name.
    pub fn is_verification(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::NotYetValid
                | Self::UnknownAuthority
                | Self::BadSignature
                | Self::WrongPurpose
                | Self::Revoked
                | Self::BadCertificate
        )
    }
}

impl Failure {
    /// A failure of which nothing more is known.
    pub(crate) fn of(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            reason: reason(&error),
            detail: Some(Detail::Tls(error)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe => Reason::Closed,
                    _ => Reason::Io,
                };
                Self {
                    reason,
                    detail: Some(Detail::Io(error)),
                }
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.said())?;
        match &self.detail {
            Some(Detail::Tls(Error::InvalidCertificate(error))) => write!(f, ": {error}"),
            Some(Detail::Tls(error)) => write!(f, ": {error}"),
            Some(Detail::Io(error)) if self.reason == Reason::Io => write!(f, ": {error}"),
            Some(Detail::Io(_)) | None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

fn reason(error: &Error) -> Reason {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => Reason::NoCertificate,
        Error::NoApplicationProtocol => Reason::NoSharedProtocol,
        Error::PeerIncompatible(error) => of_incompatible(error),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Reason::NotTls,
        Error::DecryptError => Reason::Decrypt,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::InvalidEncryptedClientHello(_) => Reason::Protocol,
        _ => Reason::Internal,
    }
}

fn of_alert(alert: AlertDescription) -> Reason {
    match alert {
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRequired
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Reason::CertificateRefused,
        AlertDescription::ProtocolVersion => Reason::NoSharedVersion,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            Reason::NoSharedCipher
        }
        AlertDescription::NoApplicationProtocol => Reason::NoSharedProtocol,
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => Reason::Closed,
        _ => Reason::Alert,
    }
}

fn of_certificate(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Reason::NotYetValid
        }
        CertificateError::UnknownIssuer => Reason::UnknownAuthority,
        CertificateError::BadSignature => Reason::BadSignature,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::WrongName
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Reason::WrongPurpose
        }
        CertificateError::Revoked => Reason::Revoked,
        _ => Reason::BadCertificate,
    }
}

fn of_incompatible(error: &PeerIncompatible) -> Reason {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        // Older clients must not send it (RFC 5246 section 7.4.1.4.1), all later ones do.
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => Reason::NoSharedVersion,
        _ => Reason::NoSharedCipher,
    }
}
