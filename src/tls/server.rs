//! TLS with clients: what a listener shows them, and what it wants to see.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::certificate::{Certificate, Facts};
use super::choose::ByName;
use super::files::Authorities;
use super::{Failure, Reason, Tally, Version, provider, shake_hands};
use crate::stream::Stream;

/// How long a client may take for its handshake: what Go's `http.DefaultTransport` grants a server (`TLSHandshakeTimeout`). A client that
/// sends a byte a minute must not hold a connection for ever.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS as it is configured for a listener.
#[derive(Debug, PartialEq)]
pub struct ServerSettings {
    /// At least one; the first is for clients that ask for no name, or for one that no certificate is for.
    pub certificates: Vec<Certificate>,
    /// Who clients have to be.
    pub clients: ClientCertificates,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// Application protocols, the preferred one first. Without any, what clients offer is not looked at.
    pub alpn: Vec<String>,
}

/// What clients have to show.
#[derive(Debug, PartialEq)]
pub enum ClientCertificates {
    /// Nothing.
    None,
    /// A certificate of these authorities, or none.
    Optional(Authorities),
    /// A certificate of these authorities.
    Required(Authorities),
}

/// TLS of a listener, ready for clients.
pub struct ServerTls {
    settings: ServerSettings,
    pub(super) config: Arc<ServerConfig>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// Two are the same when nobody could tell them apart: the same settings, and the same in all files.
impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl ClientCertificates {
    /// Whose certificates are believed.
    pub fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::None => None,
            Self::Optional(authorities) | Self::Required(authorities) => Some(authorities),
        }
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(authorities) = self.authorities() else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let roots = Arc::clone(&authorities.roots);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = match self {
            Self::Required(_) => builder,
            _ => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| error.to_string())
    }
}

impl ServerTls {
    /// Makes TLS of settings.
    ///
    /// # Errors
    /// When they are of no use, or the system gives no random numbers.
    pub fn new(settings: ServerSettings) -> Result<Self, String> {
        let certificates =
            ByName::new(&settings.certificates).ok_or("there is no certificate to show")?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(settings.min_version.and_later())
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(settings.clients.verifier()?)
            .with_cert_resolver(Arc::new(certificates));
        let protocols = settings.alpn.iter();
        config.alpn_protocols = protocols.map(|name| name.clone().into_bytes()).collect();
        // Sessions are taken up by what the client keeps, so that workers share no table of them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match settings.clients {
            ClientCertificates::None => {
                config.ticketer = Ticketer::new().map_err(|error| error.to_string())?;
            }
            // Who takes up a session is not verified again, and might have been refused by now.
            _ => config.send_tls13_tickets = 0,
        }
        Ok(Self {
            settings,
            config: Arc::new(config),
        })
    }

    /// What it was made of.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Says what somebody should know of its certificates.
    pub fn warn(&self, listener: &str) {
        let certificates = self.settings.certificates.iter();
        certificates.for_each(|certificate| certificate.warn(listener));
    }

    /// The handshake with a client that has just connected.
    ///
    /// # Errors
    /// Why there is none. The client has been told, if it listens.
    pub async fn accept(&self, tcp: TcpStream, tally: &Tally) -> Result<Stream, Failure> {
        let handshake = async {
            let connection = ServerConnection::new(Arc::clone(&self.config))?;
            shake_hands(tcp, connection.into()).await
        };
        let result = timeout(HANDSHAKE_TIMEOUT, handshake).await;
        let result = result.unwrap_or_else(|_| Err(Failure::of(Reason::TimedOut)));
        tally.count(&result);
        result
    }
}

/// Who a peer is by its certificate, which has been verified.
pub(super) fn identity(connection: &rustls::Connection) -> Option<Box<str>> {
    let certificate = connection.peer_certificates()?.first()?;
    // Verified, and yet unreadable: then nobody is named.
    let facts = Facts::of(certificate).ok()?;
    facts.identity().map(Into::into)
}
