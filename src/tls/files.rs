//! The files that a config names for TLS. Messages repeat neither their names nor what is in them: somebody may have written a key in the
//! place of the name.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};

use super::certificate::{Certificate, Facts};
use super::provider;

/// Longest file: the authorities of all the web (Debian's `ca-certificates.crt`) are a quarter of that.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Readable by whoever is on the machine.
const READABLE_BY_OTHERS: u32 = 0o004;

/// What is written in the place of a path by mistake.
const PEM_BEGIN: &str = "-----BEGIN";

/// Authorities whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// The file they are from; `None` for those that this machine trusts.
    pub file: Option<PathBuf>,
    /// What each of those in the file says of itself.
    pub facts: Vec<Facts>,
    pub(super) roots: Arc<RootCertStore>,
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.roots.roots == other.roots.roots
    }
}

impl Authorities {
    /// Reads a file with one certificate or more.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn from_file(path: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut facts = Vec::new();
        for der in certificates(path)? {
            facts.push(facts_of(&der)?);
            roots
                .add(der)
                .map_err(|error| format!("an authority in the file can't be used: {error}"))?;
        }
        Ok(Self {
            file: Some(path.into()),
            facts,
            roots: Arc::new(roots),
        })
    }

    /// Those that this machine trusts.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn of_this_machine() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some are so old that no library takes them any more.
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            let why = found
                .errors
                .first()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            return Err(format!(
                "this machine has no certificate authorities{why}; name a file of them with `ca`"
            ));
        }
        Ok(Self {
            file: None,
            facts: Vec::new(),
            roots: Arc::new(roots),
        })
    }
}

/// The chain that is in a file, the certificate itself first.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn chain(path: &str) -> Result<(Vec<CertificateDer<'static>>, Facts), String> {
    let chain = certificates(path)?;
    let mut facts = chain.iter().map(facts_of).collect::<Result<Vec<_>, _>>()?;
    Ok((chain, facts.swap_remove(0)))
}

/// The private key that is in a file, and whether others can read it.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn private_key(path: &str) -> Result<(PrivateKeyDer<'static>, bool), String> {
    let (bytes, mode) = read(path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if holds(&bytes, b"ENCRYPTED PRIVATE KEY") => {
            "the private key in the file is encrypted; only one without a passphrase can be used"
                .to_owned()
        }
        pem::Error::NoItemsFound => "no private key in the file; it has to be PEM".to_owned(),
        error => format!("the file is no PEM: {error}"),
    })?;
    Ok((key, mode & READABLE_BY_OTHERS != 0))
}

/// Joins what two files hold, when the key is the certificate's.
///
/// # Errors
/// That they don't fit.
pub(crate) fn join(
    (file, chain, facts): (&str, Vec<CertificateDer<'static>>, Facts),
    (key_file, key, key_is_exposed): (&str, PrivateKeyDer<'static>, bool),
) -> Result<Certificate, String> {
    let key_digest = Sha256::digest(key.secret_der()).into();
    let certified =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "the private key is not that of the certificate".to_owned()
            }
            error => format!("the private key can't be used: {error}"),
        })?;
    Ok(Certificate {
        file: file.into(),
        key_file: key_file.into(),
        key_is_exposed,
        facts,
        key: Arc::new(certified),
        key_digest,
    })
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let (bytes, _) = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("no certificate in the file; it has to be PEM".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("the file is no PEM: {error}")),
    }
}

fn facts_of(der: &CertificateDer<'_>) -> Result<Facts, String> {
    Facts::of(der).map_err(|error| format!("a certificate in the file can't be read: {error}"))
}

/// All of a file, and its permissions.
fn read(path: &str) -> Result<(Vec<u8>, u32), String> {
    if path.contains(PEM_BEGIN) {
        return Err("the path of a file is expected here, and not what is in it".to_owned());
    }
    let mut bytes = Vec::new();
    let mode = open(Path::new(path))
        .and_then(|file| {
            let mode = file.metadata()?.permissions().mode();
            file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(mode)
        })
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "larger than {MAX_FILE_BYTES} bytes; is this the right file?"
        ));
    }
    Ok((bytes, mode))
}

/// Only regular files: opening a pipe waits for whoever writes into it, and a second read at a reload would find nothing.
fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
