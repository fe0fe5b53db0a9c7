//! TLS as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::config::choices::{CLIENT_CERTIFICATES, ClientCertificatesName, TLS_VERSIONS};
use crate::config::defaults;
use crate::config::field::Field;

/// TLS with clients. A changed file is taken over by the next reload; connections that are open keep what they have.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerTls", extend("required" = ["certificates"]))]
pub(crate) struct ListenerTlsFile {
    /// What clients are shown: the certificate that is for the server name they ask for, else the first one.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) certificates: Field<Vec<Field<CertificateFile>>>,
    /// `none`: clients are not asked for a certificate. `optional`: they may show one, which has to be good then.
    /// `required`: those without a good one are turned away. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = CLIENT_CERTIFICATES.available(), "default" = CLIENT_CERTIFICATES.word(ClientCertificatesName::None)))]
    pub(crate) client_certificates: Field<String>,
    /// Path of a PEM file with the authorities whose client certificates are good; required with `client_certificates`
    /// other than `none`, and refused with that. Read at the start and at each reload.
    #[serde(default)]
    pub(crate) client_ca: Field<String>,
    /// The oldest version of TLS that is spoken. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = TLS_VERSIONS.available(), "default" = TLS_VERSIONS.word(defaults::TLS_MIN_VERSION)))]
    pub(crate) min_version: Field<String>,
    /// Application protocols to agree on (ALPN), the preferred one first. Default: those that the listener serves, with
    /// protocol http; none with others, where the offers of clients are not looked at.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("items" = json!({ "type": "string", "minLength": 1, "maxLength": defaults::ALPN_MAX })))]
    pub(crate) alpn: Field<Vec<Field<String>>>,
}

/// A certificate with its key.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Certificate", extend("required" = ["certificate", "key"]))]
pub(crate) struct CertificateFile {
    /// Path of a PEM file with the certificate, and then those between it and its authority.
    /// Read at the start and at each reload.
    #[serde(default)]
    pub(crate) certificate: Field<String>,
    /// Path of a PEM file with the private key, without a passphrase; it may be the same file.
    /// Read at the start and at each reload.
    #[serde(default)]
    pub(crate) key: Field<String>,
}

/// TLS with servers. A changed file is taken over by the next reload, for new connections.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClusterTls")]
pub(crate) struct ClusterTlsFile {
    /// Path of a PEM file with the authorities whose certificates are believed. Default: those that the machine trusts.
    /// Read at the start and at each reload.
    #[serde(default)]
    pub(crate) ca: Field<String>,
    /// The name that servers are asked for and that their certificates have to be for. Default: the host of each
    /// endpoint. Can be changed by a reload, for new connections.
    #[serde(default)]
    pub(crate) server_name: Field<String>,
    /// `false` believes every certificate: whoever can get between the proxy and the servers can read and change
    /// everything. Can be changed by a reload, for new connections.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) verify: Field<bool>,
    /// Path of a PEM file with the certificate that servers are shown which ask for one, and then those between it and
    /// its authority; needs `key`. Default: none. Read at the start and at each reload.
    #[serde(default)]
    pub(crate) certificate: Field<String>,
    /// Path of a PEM file with the private key of `certificate`, without a passphrase; it may be the same file.
    /// Read at the start and at each reload.
    #[serde(default)]
    pub(crate) key: Field<String>,
    /// The oldest version of TLS that is spoken. Can be changed by a reload, for new connections.
    #[serde(default)]
    #[schemars(extend("enum" = TLS_VERSIONS.available(), "default" = TLS_VERSIONS.word(defaults::TLS_MIN_VERSION)))]
    pub(crate) min_version: Field<String>,
}
