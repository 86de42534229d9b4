//! What the control plane had said when this proxy last ran, so that one that restarts while the control plane is away goes
//! on where it was. It stands in one file, sealed by the key of the proxy's own certificate: what somebody else has
//! written there, or what was another proxy's, is nothing. It lasts as long as that certificate, which lasts a day.

use std::io;
use std::path::Path;

use weft_certs::seal::SEAL;
use weft_certs::tls::Credentials;
use weft_proto::held::{Kept, NotKept};
use weft_proto::name::WorkloadName;

use crate::state_dir;

/// Keeps `told`, which is [`Held::to_bytes`](weft_proto::held::Held::to_bytes).
///
/// # Errors
/// What the system says; what was kept before is kept.
pub(super) fn store(dir: &Path, us: &Credentials, told: &[u8]) -> io::Result<()> {
    state_dir::write(dir, FILE, &[MAGIC, &us.seal(told), told].concat())
}

/// What was kept in `dir` by this workload with this certificate, if there is anything.
pub(super) fn load(dir: &Path, us: &Credentials, workload: &WorkloadName) -> Option<Kept> {
    let read = match state_dir::read(dir, FILE, MOST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        read => read.map_err(Unusable::from),
    };
    let kept = read.and_then(|bytes| parse(&bytes, us, workload));
    kept.inspect_err(|error| {
        let file = dir.join(FILE);
        tracing::warn!(file = %file.display(), %error, "what an earlier start has kept is not used");
    })
    .ok()
}

fn parse(bytes: &[u8], us: &Credentials, workload: &WorkloadName) -> Result<Kept, Unusable> {
    let sealed = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(SEAL));
    let (seal, told) = sealed.ok_or(Unusable::Other)?;
    if !us.have_sealed(told, seal) {
        return Err(Unusable::NotOurs);
    }
    Ok(Kept::from_bytes(workload.clone(), told)?)
}

/// Why what was kept is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error("it is of another version, or cut off")]
    Other,
    #[error("it was not written with the present certificate")]
    NotOurs,
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

const FILE: &str = "discovered.bin";
/// What the file is, and in which form.
const MAGIC: &[u8] = b"weft discovered 1\n";
/// More than a control plane may tell at once.
const MOST: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;
    use weft_certs::authority::{Authority, Lifetime};
    use weft_certs::request::KeyAndRequest;
    use weft_policy::snapshot::Alias;
    use weft_proto::held::Held;
    use weft_proto::v1;

    use super::*;

    fn us() -> Credentials {
        let now = SystemTime::now();
        let authority = Authority::mint(&"weft.local".parse().unwrap(), now).unwrap();
        let key = KeyAndRequest::generate().unwrap();
        let id = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
        let issued = authority.issue(&key.csr_der, &id, Lifetime::Default, now).unwrap();
        Credentials::new(issued.chain_der, &key.key).unwrap()
    }

    fn web() -> WorkloadName {
        WorkloadName::parse("shop/web").unwrap()
    }

    fn told() -> Vec<u8> {
        let mut held = Held::new(web());
        let now = v1::Seen { epoch: b"epoch".to_vec(), revision: 7 };
        held.welcome(&v1::Welcome { now: Some(now), ..v1::Welcome::default() }).unwrap();
        held.to_bytes([Alias::host("api.shop")].iter()).unwrap()
    }

    #[test]
    fn it_comes_back_to_whom_it_was_and_to_nobody_else() {
        let (dir, ours, other) = (tempfile::tempdir().unwrap(), us(), us());
        assert!(load(dir.path(), &ours, &web()).is_none());
        store(dir.path(), &ours, &told()).unwrap();
        let kept = load(dir.path(), &ours, &web()).unwrap();
        assert_eq!(kept.held.seen().map(|seen| seen.revision), Some(7));
        assert_eq!(kept.asked, [Alias::host("api.shop")]);
        assert!(load(dir.path(), &other, &web()).is_none());
    }

    proptest! {
        #[test]
        fn what_has_changed_in_any_place_is_nothing(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()) {
            let us = us();
            let whole = [MAGIC, &us.seal(&told()), &told()].concat();
            let mut changed = whole.clone();
            changed[at.index(whole.len())] ^= 1 << bit;
            prop_assert!(parse(&changed, &us, &web()).is_err());
            prop_assert!(parse(&whole[..cut.index(whole.len())], &us, &web()).is_err());
            prop_assert!(parse(&whole, &us, &web()).is_ok());
        }
    }
}
