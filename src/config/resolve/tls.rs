//! TLS: what the files hold has to be of use, and to fit together.

use std::sync::Arc;

use super::Resolver;
use crate::config::choices::{CLIENT_CERTIFICATES, ClientCertificatesName, TLS_VERSIONS};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{CertificateFile, ClusterTlsFile, ListenerTlsFile};
use crate::config::masking::quoted;
use crate::config::model::{HttpVersions, Protocol};
use crate::config::problem::Place;
use crate::config::values;
use crate::tls::{
    self, Authorities, Certificate, ClientCertificates, ClientSettings, ClientTls, ServerSettings,
    ServerTls,
};

/// What HTTP versions are called in a handshake (RFC 7301, RFC 9113 section 3.1).
const ALPN_HTTP1: &str = "http/1.1";
const ALPN_HTTP2: &str = "h2";

impl Resolver<'_> {
    /// TLS of a listener; `http` says what it serves when its protocol is HTTP.
    pub(super) fn listener_tls(
        &mut self,
        written: &Field<ListenerTlsFile>,
        protocol: Option<Protocol>,
        http: Option<HttpVersions>,
    ) -> Option<Arc<ServerTls>> {
        let (written, place) = written.given()?;
        let settings = ServerSettings {
            min_version: self.choice(
                Some(&written.min_version),
                &TLS_VERSIONS,
                defaults::TLS_MIN_VERSION,
            ),
            alpn: self.alpn(&written.alpn, protocol, http),
            clients: self.client_certificates(written, place)?,
            certificates: self.certificates(&written.certificates, place)?,
        };
        let made = ServerTls::new(settings);
        made.map_err(|message| self.problem(place, message))
            .ok()
            .map(Arc::new)
    }

    /// `None` if one of them is of no use.
    fn certificates(
        &mut self,
        written: &Field<Vec<Field<CertificateFile>>>,
        place: Place,
    ) -> Option<Vec<Certificate>> {
        let (written, list) = self.required(written, "certificates", place)?;
        if written.is_empty() {
            self.problem(list, "no certificates; clients have to be shown one");
            return None;
        }
        let certificates: Vec<_> = written
            .iter()
            .map(|written| {
                let (CertificateFile { certificate, key }, place) = written.given()?;
                self.certificate(certificate, key, place)
            })
            .collect();
        certificates.into_iter().collect()
    }

    fn certificate(
        &mut self,
        certificate: &Field<String>,
        key: &Field<String>,
        place: Place,
    ) -> Option<Certificate> {
        let chain = self.required_text(certificate, "certificate", place, tls::chain);
        let private_key = self.required_text(key, "key", place, tls::private_key);
        let ((chain, facts), (private_key, exposed)) = chain.zip(private_key)?;
        let (key, place) = key.given()?;
        let certificate = (certificate.value()?.as_str(), chain, facts);
        tls::join(certificate, (key, private_key, exposed))
            .map_err(|message| self.problem(place, message))
            .ok()
    }

    fn client_certificates(
        &mut self,
        written: &ListenerTlsFile,
        place: Place,
    ) -> Option<ClientCertificates> {
        let wanted = self.chosen(
            &written.client_certificates,
            &CLIENT_CERTIFICATES,
            ClientCertificatesName::None,
        )?;
        if wanted == ClientCertificatesName::None {
            if let Some((_, place)) = written.client_ca.given() {
                self.problem(
                    place,
                    "authorities of clients belong to `client_certificates: optional` or `required`; with `none` nobody is asked",
                );
            }
            return Some(ClientCertificates::None);
        }
        let authorities = self.required_text(
            &written.client_ca,
            "client_ca",
            place,
            Authorities::from_file,
        )?;
        Some(match wanted {
            ClientCertificatesName::Required => ClientCertificates::Required(authorities),
            _ => ClientCertificates::Optional(authorities),
        })
    }

    fn alpn(
        &mut self,
        written: &Field<Vec<Field<String>>>,
        protocol: Option<Protocol>,
        http: Option<HttpVersions>,
    ) -> Vec<String> {
        let served: Vec<&str> = http.map_or_else(Vec::new, |http| {
            let versions = [(http.http2, ALPN_HTTP2), (http.http1, ALPN_HTTP1)];
            let served = versions.into_iter().filter(|(is_served, _)| *is_served);
            served.map(|(_, name)| name).collect()
        });
        let Some(names) = written.value() else {
            return served.into_iter().map(str::to_owned).collect();
        };
        let is_http = matches!(protocol, Some(Protocol::Http(_)));
        let mut alpn = Vec::new();
        for (name, place) in names.iter().filter_map(Field::given) {
            if name.is_empty() || name.len() > defaults::ALPN_MAX {
                let longest = defaults::ALPN_MAX;
                self.problem(
                    place,
                    format!("an application protocol has 1 to {longest} bytes"),
                );
            } else if is_http && !served.contains(&name.as_str()) {
                let served = served.join(", ");
                self.problem(
                    place,
                    format!(
                        "the listener does not serve {} (it serves {served})",
                        quoted(name)
                    ),
                );
            } else if alpn.contains(name) {
                self.problem(place, format!("{} is listed twice", quoted(name)));
            } else {
                alpn.push(name.clone());
            }
        }
        alpn
    }

    /// TLS of a cluster with these endpoints.
    pub(super) fn cluster_tls(
        &mut self,
        written: &Field<ClusterTlsFile>,
        endpoints: &Field<Vec<Field<String>>>,
    ) -> Option<Arc<ClientTls>> {
        let (written, place) = written.given()?;
        if written.server_name.is_absent() {
            self.endpoints_are_server_names(endpoints);
        }
        let settings = ClientSettings {
            server_name: written
                .server_name
                .given()
                .and_then(|(name, place)| self.read(name, place, server_name)),
            min_version: self.choice(
                Some(&written.min_version),
                &TLS_VERSIONS,
                defaults::TLS_MIN_VERSION,
            ),
            certificate: self.cluster_certificate(written, place),
            authorities: self.authorities(written, place),
        };
        let made = ClientTls::new(settings);
        made.map_err(|message| self.problem(place, message))
            .ok()
            .map(Arc::new)
    }

    fn authorities(&mut self, written: &ClusterTlsFile, place: Place) -> Option<Authorities> {
        let ca = written.ca.given();
        match (written.verify.value(), ca) {
            (Some(false), Some((_, place))) => {
                self.problem(
                    place,
                    "with `verify: false` nobody is asked; leave out one of them",
                );
                None
            }
            (Some(false), None) => None,
            (_, Some((path, place))) => self.read(path, place, Authorities::from_file),
            (_, None) if !written.ca.is_absent() => None,
            (_, None) => Authorities::of_this_machine()
                .map_err(|message| self.problem(place, message))
                .ok(),
        }
    }

    fn cluster_certificate(
        &mut self,
        written: &ClusterTlsFile,
        place: Place,
    ) -> Option<Certificate> {
        let ClusterTlsFile {
            certificate, key, ..
        } = written;
        if certificate.is_absent() && key.is_absent() {
            return None;
        }
        self.certificate(certificate, key, place)
    }

    fn endpoints_are_server_names(&mut self, endpoints: &Field<Vec<Field<String>>>) {
        let endpoints = endpoints.value().into_iter().flatten();
        for (text, place) in endpoints.filter_map(Field::given) {
            let Ok(endpoint) = values::endpoint(text) else {
                continue;
            };
            if !tls::is_server_name(&endpoint.host) {
                let host = quoted(&endpoint.host);
                self.problem(
                    place,
                    format!("no certificate can be for {host}; say which name it is for with `server_name`"),
                );
            }
        }
    }
}

fn server_name(text: &str) -> Result<String, String> {
    match tls::is_server_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is not a host name or IP address", quoted(text))),
    }
}
