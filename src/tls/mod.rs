//! TLS, for listeners and clusters of every protocol, by rustls over ring.
//!
//! [`ServerTls`] is what a listener is to its clients, [`ClientTls`] what a cluster is to its servers. Both are made when the config is read,
//! with all that is in the files it names, so that nothing can fail later and a reload compares what is in force with what the files hold
//! now. A handshake ends as a [`Stream`] or a [`Failure`] with one of a closed set of reasons, and is counted in a
//! [`Tally`]. From then on the [`Channel`] of the stream does the work.

mod certificate;
mod channel;
mod choose;
mod client;
mod failure;
mod files;
mod server;
mod tally;
#[cfg(test)]
mod tests;
mod trust;

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ALL_VERSIONS, Connection, SupportedProtocolVersion, version};
use tokio::net::TcpStream;

use crate::stream::{Polled, Stream, ready_unless_blocked};
pub(crate) use certificate::rfc3339;
pub(crate) use client::is_server_name;
pub(crate) use files::{chain, join, private_key};

pub use certificate::{AlternativeName, Certificate, Facts};
pub use channel::Channel;
pub use client::{ClientSettings, ClientTls, EndpointTls};
pub use failure::{Failure, Reason};
pub use files::Authorities;
pub use server::{ClientCertificates, HANDSHAKE_TIMEOUT, ServerSettings, ServerTls};
pub use tally::{Counts, Tally};

/// A version of TLS. Older ones than these are not spoken (RFC 8996: "TLS 1.0 and TLS 1.1 MUST NOT be used").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

impl Version {
    /// Both, the older first.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// As Envoy names it in stats.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    /// This version and those after it.
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        match self {
            Self::Tls12 => ALL_VERSIONS,
            Self::Tls13 => &NEWEST,
        }
    }

    fn of(connection: &Connection) -> Self {
        match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => Self::Tls12,
            _ => Self::Tls13,
        }
    }
}

/// The cryptography that is used. It is always named: with more than one in the build there would be no default.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// The handshake. How long it may take is the caller's to say.
async fn shake_hands(mut tcp: TcpStream, connection: Connection) -> Result<Stream, Failure> {
    let mut channel = Box::new(Channel::new(connection));
    poll_fn(|cx| {
        let mut io = Polled { tcp: &mut tcp, cx };
        ready_unless_blocked(channel.handshake(&mut io))
    })
    .await?;
    if matches!(channel.connection(), Connection::Server(_)) {
        let identity = server::identity(channel.connection());
        channel.set_client_identity(identity);
    }
    Ok(Stream::within_tls(tcp, channel))
}
