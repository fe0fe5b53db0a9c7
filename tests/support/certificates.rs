//! Authorities and certificates, made for one test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// Somebody who signs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Files of a certificate that an authority has signed.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file, as mongod and PyMongo want it.
    pub both: PathBuf,
}

/// When a certificate is good.
#[derive(Clone, Copy)]
pub enum Valid {
    Now,
    UntilLastYear,
    FromNextCentury,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names, the first of which is the subject's common name too.
    pub fn issue(&self, names: &[&str]) -> Files {
        self.issue_valid(names, Valid::Now)
    }

    /// The same for other times.
    pub fn issue_valid(&self, names: &[&str], valid: Valid) -> Files {
        let stem = names.join(" ").replace(['*', '.'], "_");
        self.issue_at(&self.folder.path().join(stem), names, valid)
    }

    /// The same in files that begin with `stem`; those that are there are written anew.
    pub fn issue_at(&self, stem: &Path, names: &[&str], valid: Valid) -> Files {
        let names_owned: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names_owned).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let year = match valid {
            Valid::Now => None,
            Valid::UntilLastYear => Some((2000, 2001)),
            Valid::FromNextCentury => Some((2990, 2991)),
        };
        if let Some((from, to)) = year {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        let files = Files {
            certificate: stem.with_extension("crt"),
            key: stem.with_extension("key"),
            both: stem.with_extension("both"),
        };
        std::fs::write(&files.certificate, &certificate).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        std::fs::write(&files.both, certificate + &key).unwrap();
        files
    }
}

impl Files {
    /// As a listener's config names it.
    pub fn listed(&self) -> String {
        format!(
            "{{ certificate: '{}', key: '{}' }}",
            self.certificate.display(),
            self.key.display()
        )
    }
}
