//! The certificate, its key and the trust bundle between two starts, in one file that only the owner reads:
//! a proxy that restarts while the control plane is away is somebody at once.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use weft_certs::bundle::{DenyList, TrustBundle};
use weft_certs::request::PrivateKey;
use weft_certs::tls::Credentials;

use crate::state_dir;

/// What was kept.
pub(super) struct Kept {
    pub(super) credentials: Credentials,
    pub(super) trust: TrustBundle,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    trust_domain: String,
    sequence: u64,
    roots_pem: String,
    chain_hex: Vec<String>,
    key_pem: String,
}

/// What an earlier start kept, if it is whole and the certificate still holds at `now`.
pub(super) fn load(dir: &Path, now: SystemTime) -> Option<Kept> {
    let bytes = state_dir::read(dir, FILE, MOST).ok()?;
    let read = str::from_utf8(&bytes).ok().and_then(parse);
    if read.is_none() {
        tracing::warn!(file = %dir.join(FILE).display(), "the kept certificate cannot be read; enrolling anew");
    }
    read.filter(|kept| kept.credentials.us().not_after > now)
}

fn parse(text: &str) -> Option<Kept> {
    let kept: OnDisk = serde_json::from_str(text).ok()?;
    let domain = kept.trust_domain.parse().ok()?;
    let trust = TrustBundle::from_pem(domain, kept.sequence, &kept.roots_pem, DenyList::default()).ok()?;
    let chain = kept.chain_hex.iter().map(|hex| unhex(hex)).collect::<Option<Vec<_>>>()?;
    let credentials = Credentials::new(chain, &PrivateKey::from_pem(&kept.key_pem).ok()?).ok()?;
    Some(Kept { credentials, trust })
}

/// Keeps them. A disk that is full costs the next start its head start, nothing now.
pub(super) fn store(dir: &Path, credentials: &Credentials, key: &PrivateKey, trust: &TrustBundle) {
    let kept = OnDisk {
        trust_domain: trust.domain().to_string(),
        sequence: trust.sequence(),
        roots_pem: trust.to_pem(),
        chain_hex: credentials.chain().iter().map(|der| hex(der)).collect(),
        key_pem: key.to_pem(),
    };
    if let Err(error) = write(dir, &kept) {
        tracing::warn!(dir = %dir.display(), %error, "could not keep the certificate for the next start");
    }
}

fn write(dir: &Path, kept: &OnDisk) -> io::Result<()> {
    state_dir::write(dir, FILE, serde_json::to_string(kept)?.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    // Not `u8::from_str_radix`: that takes a plus sign.
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

const FILE: &str = "identity.json";
/// A chain and the roots of a mesh take some KiB.
const MOST: u64 = 1 << 20;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use weft_certs::authority::{Authority, Lifetime};
    use weft_certs::request::KeyAndRequest;

    #[test]
    fn what_is_kept_comes_back_and_what_is_torn_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let domain = "weft.local".parse().unwrap();
        let now = SystemTime::now();
        let authority = Authority::mint(&domain, now).unwrap();
        let key = KeyAndRequest::generate().unwrap();
        let id = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
        let issued = authority.issue(&key.csr_der, &id, Lifetime::Default, now).unwrap();
        let credentials = Credentials::new(issued.chain_der, &key.key).unwrap();
        let trust = TrustBundle::new(domain, 7, [authority.root().clone()], DenyList::default()).unwrap();

        assert!(load(dir.path(), now).is_none());
        store(dir.path(), &credentials, &key.key, &trust);
        let kept = load(dir.path(), now).unwrap();
        assert_eq!((kept.credentials.us(), kept.trust.sequence()), (credentials.us(), 7));
        fs::write(dir.path().join(FILE), "{\"torn\":").unwrap();
        assert!(load(dir.path(), now).is_none());
    }
}
