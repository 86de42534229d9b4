//! What is made of what is found in the state directory. The whole of "never a second root" is decided here.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::SystemTime;

use weft_certs::authority::Authority;
use weft_certs::rotation::RootRotation;
use weft_policy::identity::TrustDomain;

use super::files::{self, Missing, Names};
use super::{CustodyError, Init, unix};
use crate::journal::disk::replace;
use crate::journal::record::{Change, Phase, Trust};
use crate::journal::{Disk, JournalError, Ledger};

/// A state directory that is whole.
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    pub(super) rotation: RootRotation,
    /// While a rotation is under way: the authority that does not sign.
    pub(super) other: Option<Arc<Authority>>,
    pub(super) epoch: [u8; 16],
}

/// The epoch is written last: a directory that has one was once complete, and what it lacks is lost.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    init: Init,
    domain: &TrustDomain,
    now: SystemTime,
) -> Result<Opened, CustodyError> {
    let epoch = read_epoch(&**disk)?;
    let ledger = Ledger::open(Arc::clone(disk))?;
    let (ledger, rotation, other) = match (ledger, &epoch, init) {
        (Some(_), None, Init::No) => return Err(CustodyError::Unfinished),
        (Some(ledger), ..) => load(&**disk, ledger, domain)?,
        (None, Some(_), _) => return Err(CustodyError::JournalLost),
        (None, None, Init::No) if files::is_empty(&**disk)? => return Err(CustodyError::Empty),
        (None, None, Init::No) => return Err(CustodyError::Unfinished),
        (None, None, Init::Yes) => begin(disk, domain, now)?,
    };
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => new_epoch(&**disk)?,
    };
    end_beginning(&**disk);
    Ok(Opened { ledger, rotation, other, epoch })
}

type Loaded = (Ledger, RootRotation, Option<Arc<Authority>>);

/// The authority that the journal names, or an error: never another one.
fn load(disk: &dyn Disk, ledger: Ledger, domain: &TrustDomain) -> Result<Loaded, CustodyError> {
    let (trust, enrolled) = ledger.read(|state| (state.trust.clone(), state.grants.len()));
    // A journal begins with it.
    let trust = trust.ok_or(CustodyError::JournalLost)?;
    if trust.trust_domain != domain.as_str() {
        let (kept, asked) = (trust.trust_domain, domain.to_string());
        return Err(CustodyError::OtherTrustDomain { kept, asked });
    }
    let pem = files::load_rotation(disk, &trust, enrolled)?;
    let rotation = RootRotation::from_pem(domain, &pem).map_err(CustodyError::Ca)?;
    files::check_root(rotation.signer(), &trust.signing)?;
    warn_of_unused(disk, &trust)?;
    let other = load_other(disk, &trust, domain);
    Ok((ledger, rotation, other))
}

/// The authority that does not sign, if there is one and it is still whole. It is a comfort, not a need: without
/// the one that signed before, a proxy that missed the whole rotation enrols again.
fn load_other(disk: &dyn Disk, trust: &Trust, domain: &TrustDomain) -> Option<Arc<Authority>> {
    let pem = files::load(disk, &Names::of(&trust.other)).ok().filter(|_| trust.phase() != Phase::Steady)?;
    let authority = Authority::from_pem(domain, &pem).ok()?;
    files::check_root(&authority, &trust.other).ok()?;
    Some(Arc::new(authority))
}

/// A first start, or the rest of one that was cut off before its journal began; or what an operator has left of
/// an authority after its journal was lost.
fn begin(disk: &Arc<dyn Disk>, domain: &TrustDomain, now: SystemTime) -> Result<Loaded, CustodyError> {
    let authority = match files::roots_present(&**disk)?.as_slice() {
        [] => mint(&**disk, domain, now)?,
        [names] => {
            let pem = files::load(&**disk, names).map_err(|missing| match missing {
                Missing::Part(file) => CustodyError::CaMissing { file, enrolled: 0 },
                Missing::Unreadable(error) => error,
            })?;
            tracing::warn!(%domain, "a root that was already here is kept, with a new journal");
            Authority::from_pem(domain, &pem).map_err(CustodyError::Authority)?
        }
        several => return Err(CustodyError::WhichCa { found: several.len() }),
    };
    // Of the day, so that it stays above an earlier life of this directory.
    let rotation = RootRotation::stable(authority, unix(now));
    let trust = Change::Trust(files::record_of(&rotation, domain));
    let ledger = Ledger::create(Arc::clone(disk), vec![trust])?;
    Ok((ledger, rotation, None))
}

/// The first root. Keys without a root's certificate are what a crash in here leaves, if the mark says that one
/// may have happened; otherwise they are what is left of a root that was lost.
fn mint(disk: &dyn Disk, domain: &TrustDomain, now: SystemTime) -> Result<Authority, CustodyError> {
    let a_beginning_was_cut_off = match disk.read(BEGINNING) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(source) => return Err(JournalError::Read { file: BEGINNING.to_owned(), source }.into()),
    };
    if !a_beginning_was_cut_off {
        if !files::is_empty(disk)? {
            return Err(CustodyError::CaMissing { file: files::ANY_ROOT.to_owned(), enrolled: 0 });
        }
        replace(disk, BEGINNING, b"A first root is being minted.\n")
            .map_err(|source| CustodyError::File { doing: "write", file: BEGINNING.to_owned(), source })?;
    }
    let authority = Authority::mint(domain, now).map_err(CustodyError::Authority)?;
    files::store(disk, &authority)?;
    tracing::info!(%domain, "a new root was minted");
    Ok(authority)
}

/// Removes the mark. Should it stay, the epoch beside it says more, and the next start removes it.
fn end_beginning(disk: &dyn Disk) {
    match disk.remove(BEGINNING).and_then(|()| disk.sync_directory(BEGINNING)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, file = BEGINNING, "a file that is no longer needed could not be removed");
        }
        _ => {}
    }
}

/// Left by a crash in a step of a rotation, or needed by a newer journal that was not restored: never removed.
fn warn_of_unused(disk: &dyn Disk, trust: &Trust) -> Result<(), CustodyError> {
    let used = [Names::of(&trust.signing), Names::of(&trust.other)];
    for names in files::roots_present(disk)?.into_iter().filter(|names| !used.contains(names)) {
        tracing::warn!(?names, "ca/ holds an authority that the journal does not use");
    }
    Ok(())
}

fn read_epoch(disk: &dyn Disk) -> Result<Option<[u8; 16]>, CustodyError> {
    match disk.read(EPOCH) {
        Ok(bytes) => bytes.try_into().map(Some).map_err(|_| CustodyError::Epoch),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Read { file: EPOCH.to_owned(), source }.into()),
    }
}

pub(super) fn new_epoch(disk: &dyn Disk) -> Result<[u8; 16], CustodyError> {
    let mut epoch = [0; 16];
    aws_lc_rs::rand::fill(&mut epoch).map_err(|_| CustodyError::NoRandomness)?;
    replace(disk, EPOCH, &epoch).map_err(|source| CustodyError::File {
        doing: "write",
        file: EPOCH.to_owned(),
        source,
    })?;
    Ok(epoch)
}

const EPOCH: &str = "epoch";
/// There from before the first file of the first authority until after the epoch.
const BEGINNING: &str = "beginning";
