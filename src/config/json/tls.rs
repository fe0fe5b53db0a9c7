//! TLS in the keys of the file format.

use serde_json::{Value, json};

use super::{insert, path};
use crate::config::choices::{CLIENT_CERTIFICATES, ClientCertificatesName, TLS_VERSIONS};
use crate::tls::{Certificate, ClientCertificates, ClientSettings, ServerSettings};

pub(super) fn listener(
    ServerSettings {
        certificates,
        clients,
        min_version,
        alpn,
    }: &ServerSettings,
) -> Value {
    let wanted = match clients {
        ClientCertificates::None => ClientCertificatesName::None,
        ClientCertificates::Optional(_) => ClientCertificatesName::Optional,
        ClientCertificates::Required(_) => ClientCertificatesName::Required,
    };
    let mut value = json!({
        "certificates": certificates.iter().map(certificate).collect::<Vec<_>>(),
        "client_certificates": CLIENT_CERTIFICATES.word(wanted),
        "min_version": TLS_VERSIONS.word(*min_version),
        "alpn": alpn,
    });
    if let Some(file) = clients
        .authorities()
        .and_then(|known| known.file.as_deref())
    {
        insert(&mut value, "client_ca", path(file));
    }
    value
}

pub(super) fn cluster(
    ClientSettings {
        authorities,
        server_name,
        certificate: shown,
        min_version,
    }: &ClientSettings,
) -> Value {
    let mut value = json!({
        "verify": authorities.is_some(),
        "min_version": TLS_VERSIONS.word(*min_version),
    });
    if let Some(file) = authorities.as_ref().and_then(|known| known.file.as_deref()) {
        insert(&mut value, "ca", path(file));
    }
    if let Some(name) = server_name {
        insert(&mut value, "server_name", name.as_str().into());
    }
    if let Some(shown) = shown {
        insert(&mut value, "certificate", path(&shown.file));
        insert(&mut value, "key", path(&shown.key_file));
    }
    value
}

fn certificate(certificate: &Certificate) -> Value {
    json!({ "certificate": path(&certificate.file), "key": path(&certificate.key_file) })
}
