//! The authority's files: three per root, named by its hash. Each is written whole or not at all.
//!
//! The root's certificate is written last: where it is, the others are too. The intermediate and its key are one
//! file, because they are renewed together.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use weft_certs::authority::{Authority, AuthorityPem};
use weft_certs::bundle::RootHash;
use weft_certs::rotation::{RootRotation, RotationPem, RotationStepPem};
use weft_policy::identity::TrustDomain;

use super::CustodyError;
use crate::journal::disk::replace;
use crate::journal::record::{Phase, Trust};
use crate::journal::{Disk, JournalError};

/// Names of the three files of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(String);

impl Names {
    /// Sixteen digits tell two roots of one mesh apart; the whole hash is in the journal.
    pub(super) fn of(root: &[u8]) -> Self {
        Self(root.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    fn root(&self) -> String {
        format!("{DIRECTORY}/{}{ROOT}", self.0)
    }

    fn root_key(&self) -> String {
        format!("{DIRECTORY}/{}-root-key.pem", self.0)
    }

    fn intermediate(&self) -> String {
        format!("{DIRECTORY}/{}-intermediate.pem", self.0)
    }
}

/// The roots whose files are there.
pub(super) fn roots_present(disk: &dyn Disk) -> Result<Vec<Names>, CustodyError> {
    let files = disk.list(DIRECTORY).map_err(|source| failed("list", DIRECTORY, source))?;
    Ok(files.iter().filter_map(|file| file.strip_suffix(ROOT)).map(|root| Names(root.to_owned())).collect())
}

/// All files of all authorities, by their names in their directory.
pub(super) fn all(disk: &dyn Disk) -> Result<BTreeMap<String, Vec<u8>>, CustodyError> {
    let names = disk.list(DIRECTORY).map_err(|source| failed("list", DIRECTORY, source))?;
    let read = |name: String| {
        let bytes =
            disk.read(&format!("{DIRECTORY}/{name}")).map_err(|source| failed("read", &name, source))?;
        Ok((name, bytes))
    };
    names.into_iter().map(read).collect()
}

/// Makes these all the files of all authorities.
pub(super) fn put_all(disk: &dyn Disk, files: &BTreeMap<String, Vec<u8>>) -> Result<(), CustodyError> {
    for (name, bytes) in files {
        let name = format!("{DIRECTORY}/{name}");
        replace(disk, &name, bytes).map_err(|source| failed("write", &name, source))?;
    }
    for name in all(disk)?.into_keys().filter(|name| !files.contains_key(name)) {
        let name = format!("{DIRECTORY}/{name}");
        disk.remove(&name).map_err(|source| failed("remove", &name, source))?;
    }
    Ok(())
}

/// Whether there is nothing of any authority.
pub(super) fn is_empty(disk: &dyn Disk) -> Result<bool, CustodyError> {
    disk.list(DIRECTORY).map(|files| files.is_empty()).map_err(|source| failed("list", DIRECTORY, source))
}

/// Writes an authority that is not in use yet.
pub(super) fn store(disk: &dyn Disk, authority: &Authority) -> Result<(), CustodyError> {
    let names = Names::of(RootHash::of(authority.root()).as_bytes());
    let pem = authority.to_pem();
    store_intermediate(disk, authority)?;
    if let Some(key) = &pem.root_key {
        write(disk, &names.root_key(), key)?;
    }
    write(disk, &names.root(), &pem.root_certificate)
}

/// Writes the intermediate of an authority, in place of the one before.
pub(super) fn store_intermediate(disk: &dyn Disk, authority: &Authority) -> Result<(), CustodyError> {
    let names = Names::of(RootHash::of(authority.root()).as_bytes());
    let AuthorityPem { intermediate_certificate, intermediate_key, .. } = authority.to_pem();
    write(disk, &names.intermediate(), &format!("{intermediate_certificate}{intermediate_key}"))
}

/// Writes the next authority of a rotation that has been prepared, and gives it.
pub(super) fn store_next(
    disk: &dyn Disk,
    rotation: &RootRotation,
) -> Result<Option<Arc<Authority>>, CustodyError> {
    let RotationStepPem::Prepared { next, .. } = rotation.to_pem().step else { return Ok(None) };
    let next = Authority::from_pem(rotation.signer().domain(), &next).map_err(CustodyError::Authority)?;
    store(disk, &next)?;
    Ok(Some(Arc::new(next)))
}

/// Reads an authority. A part that is missing is named; the root's key may be.
pub(super) fn load(disk: &dyn Disk, names: &Names) -> Result<AuthorityPem, Missing> {
    let root_key = match read(disk, names.root_key()) {
        Ok(key) => Some(key),
        Err(Missing::Part(_)) => None,
        Err(error) => return Err(error),
    };
    let root_certificate = read(disk, names.root())?;
    let both = read(disk, names.intermediate())?;
    let at = both.find(KEY).unwrap_or(both.len());
    let (intermediate_certificate, intermediate_key) = both.split_at(at);
    Ok(AuthorityPem {
        root_certificate,
        root_key,
        intermediate_certificate: intermediate_certificate.to_owned(),
        intermediate_key: intermediate_key.to_owned(),
    })
}

/// Everything that the journal names, as the rotation wants it.
pub(super) fn load_rotation(
    disk: &dyn Disk,
    trust: &Trust,
    enrolled: usize,
) -> Result<RotationPem, CustodyError> {
    let or_missing = |missing| match missing {
        Missing::Part(file) => CustodyError::CaMissing { file, enrolled },
        Missing::Unreadable(error) => error,
    };
    let step = match trust.phase() {
        Phase::Steady => RotationStepPem::Stable,
        Phase::Prepared => RotationStepPem::Prepared {
            next: load(disk, &Names::of(&trust.other)).map_err(or_missing)?,
            published: trust.published,
        },
        Phase::Active => RotationStepPem::Active {
            old_root: read(disk, Names::of(&trust.other).root()).map_err(or_missing)?,
            since_seconds: trust.since_unix,
        },
    };
    let signer = load(disk, &Names::of(&trust.signing)).map_err(or_missing)?;
    Ok(RotationPem { signer, sequence: trust.sequence, step })
}

/// That this authority is the one that the journal means.
pub(super) fn check_root(authority: &Authority, root: &[u8]) -> Result<(), CustodyError> {
    if RootHash::of(authority.root()).as_bytes() == root {
        return Ok(());
    }
    Err(CustodyError::OtherRoot { file: Names::of(root).root() })
}

/// What the journal says of a rotation.
pub(super) fn record_of(rotation: &RootRotation, domain: &TrustDomain) -> Trust {
    let mut trust = Trust {
        sequence: rotation.sequence(),
        signing: RootHash::of(rotation.signer().root()).as_bytes().to_vec(),
        trust_domain: domain.to_string(),
        ..Trust::default()
    };
    match rotation.to_pem().step {
        RotationStepPem::Stable => trust.set_phase(Phase::Steady),
        RotationStepPem::Prepared { published, .. } => {
            trust.set_phase(Phase::Prepared);
            trust.published = published;
        }
        RotationStepPem::Active { since_seconds, .. } => {
            trust.set_phase(Phase::Active);
            trust.since_unix = since_seconds;
        }
    }
    trust.other = other_roots(rotation).map(|root| root.as_bytes().to_vec()).next().unwrap_or_default();
    trust
}

/// The roots whose keys a step leaves without a use.
pub(super) fn unused_after(before: &RootRotation, after: &RootRotation) -> Vec<Names> {
    let all = |rotation: &RootRotation| {
        let signing = RootHash::of(rotation.signer().root());
        std::iter::once(signing).chain(other_roots(rotation)).collect::<Vec<_>>()
    };
    let kept = all(after);
    all(before)
        .into_iter()
        .filter(|root| !kept.contains(root))
        .map(|root| Names::of(root.as_bytes()))
        .collect()
}

/// Removes an authority that is no longer in use. A file that stays behind is only told: it does nothing.
pub(super) fn remove(disk: &dyn Disk, names: &Names) {
    let files = [names.root_key(), names.intermediate(), names.root()];
    let removed = files.iter().map(|file| match disk.remove(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    if let Err(error) = removed.collect::<io::Result<()>>().and_then(|()| disk.sync_directory(&names.root()))
    {
        tracing::error!(%error, ?names, "the key of a root that is no longer in use could not be removed");
    }
}

/// Why an authority could not be read.
pub(super) enum Missing {
    /// The file is not there.
    Part(String),
    /// It is, and cannot be read.
    Unreadable(CustodyError),
}

/// The roots in the bundle besides the one that signs.
fn other_roots(rotation: &RootRotation) -> impl Iterator<Item = RootHash> {
    let signing = RootHash::of(rotation.signer().root());
    let bundle = rotation.bundle(weft_certs::bundle::DenyList::default());
    let roots: Vec<_> = bundle.iter().flat_map(|bundle| bundle.roots()).map(RootHash::of).collect();
    roots.into_iter().filter(move |root| *root != signing)
}

fn read(disk: &dyn Disk, file: String) -> Result<String, Missing> {
    let bytes = disk.read(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Missing::Part(file),
        _ => Missing::Unreadable(CustodyError::Journal(JournalError::Read { file, source })),
    })?;
    // What is not text is not PEM either, and is named as such by whoever reads it.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(disk: &dyn Disk, file: &str, text: &str) -> Result<(), CustodyError> {
    replace(disk, file, text.as_bytes()).map_err(|source| failed("write", file, source))
}

fn failed(doing: &'static str, file: &str, source: io::Error) -> CustodyError {
    CustodyError::File { doing, file: file.to_owned(), source }
}

/// The file that is missing where none tells its name.
pub(super) const ANY_ROOT: &str = "ca/*-root.pem";
const DIRECTORY: &str = "ca";
const ROOT: &str = "-root.pem";
const KEY: &str = "-----BEGIN PRIVATE KEY-----";
