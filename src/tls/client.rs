//! TLS with servers: what a cluster wants to see of them, and what it shows.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

use super::certificate::Certificate;
use super::files::Authorities;
use super::trust::Anybody;
use super::{Failure, Reason, Tally, Version, provider, shake_hands};
use crate::stream::Stream;

/// TLS as it is configured for a cluster.
#[derive(Debug, PartialEq)]
pub struct ClientSettings {
    /// Whose certificates are believed; `None` believes every one.
    pub authorities: Option<Authorities>,
    /// The name to ask for and to find in the certificate; `None` is each endpoint's own host.
    pub server_name: Option<String>,
    /// What servers are shown that ask for it.
    pub certificate: Option<Certificate>,
    /// The oldest version that is spoken.
    pub min_version: Version,
}

/// TLS of a cluster, ready for servers.
pub struct ClientTls {
    settings: ClientSettings,
    pub(super) config: Arc<ClientConfig>,
}

/// TLS with one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointTls {
    cluster: Arc<ClientTls>,
    /// `None` when the host can be nobody's name.
    name: Option<ServerName<'static>>,
    tally: Arc<Tally>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// As of listeners: the same settings, and the same in all files.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl ClientTls {
    /// Makes TLS of settings.
    ///
    /// # Errors
    /// When they are of no use.
    pub fn new(settings: ClientSettings) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(settings.min_version.and_later())
            .map_err(|error| error.to_string())?;
        let builder = match &settings.authorities {
            Some(authorities) => {
                let roots = Arc::clone(&authorities.roots);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder.with_webpki_verifier(verifier)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody)),
        };
        let config = match &settings.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let key = SingleCertAndKey::from(Arc::clone(&certificate.key));
                builder.with_client_cert_resolver(Arc::new(key))
            }
        };
        Ok(Self {
            settings,
            config: Arc::new(config),
        })
    }

    /// What it was made of.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Says what somebody should know of it.
    pub fn warn(&self, cluster: &str) {
        if let Some(certificate) = &self.settings.certificate {
            certificate.warn(cluster);
        }
        if self.settings.authorities.is_none() {
            tracing::warn!(%cluster, "certificates of servers are not verified: whoever gets between can read and change everything");
        }
    }
}

/// Whether a host can stand in a certificate.
pub(crate) fn is_server_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

impl EndpointTls {
    /// TLS with the endpoint of that host.
    pub(crate) fn new(cluster: &Arc<ClientTls>, host: &str, tally: &Arc<Tally>) -> Self {
        let name = cluster.settings.server_name.as_deref().unwrap_or(host);
        Self {
            name: ServerName::try_from(name.to_owned()).ok(),
            cluster: Arc::clone(cluster),
            tally: Arc::clone(tally),
        }
    }

    /// The same for another endpoint of the cluster.
    pub(crate) fn for_host(&self, host: &str) -> Self {
        Self::new(&self.cluster, host, &self.tally)
    }

    /// The handshake with a server that has just been connected to. `offer` is the application protocol that will be spoken. How long it
    /// may take is the caller's to say.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn connect(
        &self,
        tcp: TcpStream,
        offer: Option<&[u8]>,
    ) -> Result<Stream, Failure> {
        let mut unfinished = Unfinished(Some(&self.tally));
        let result = self.handshake(tcp, offer).await;
        unfinished.0 = None;
        self.tally.count(&result);
        result
    }

    async fn handshake(&self, tcp: TcpStream, offer: Option<&[u8]>) -> Result<Stream, Failure> {
        let name = self.name.clone().ok_or(Failure::of(Reason::WrongName))?;
        let config = Arc::clone(&self.cluster.config);
        let protocols = offer.map(<[u8]>::to_vec).into_iter().collect();
        let connection = ClientConnection::new_with_alpn(config, name, protocols)?;
        shake_hands(tcp, connection.into()).await
    }
}

/// A handshake that has not ended. Dropped before it has, its time was over.
struct Unfinished<'a>(Option<&'a Tally>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.0 {
            tally.failed(Reason::TimedOut);
        }
    }
}
