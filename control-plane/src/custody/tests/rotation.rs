use weft_certs::authority::Lifetime;
use weft_certs::request::KeyAndRequest;
use weft_certs::rotation::{LiveProxy, Phase};
use weft_certs::verify::{Role, verify_peer};
use weft_policy::identity::SpiffeId;

use super::super::*;
use super::{DAY, at, begun, ca_files, open, root};
use crate::journal::sim::SimDisk;

const STEPS: [RotationStep; 3] = [RotationStep::Prepare, RotationStep::Activate, RotationStep::Retire];

fn leaf(custody: &Custody, second: u64) -> Vec<Vec<u8>> {
    let id: SpiffeId = "spiffe://mesh/ns/shop/sa/web".parse().unwrap();
    let request = KeyAndRequest::generate().unwrap();
    custody.signer().issue(&request.csr_der, &id, Lifetime::Default, at(second)).unwrap().chain_der
}

fn is_trusted(custody: &Custody, chain: &[Vec<u8>], second: u64) -> bool {
    let chain: Vec<_> = chain.iter().map(|der| der.as_slice().into()).collect();
    let since = at(second).duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = rustls::pki_types::UnixTime::since_unix_epoch(since);
    verify_peer(&custody.trust_store().current(), &chain, Role::Client, now).is_ok()
}

#[test]
fn a_root_is_replaced_while_every_leaf_stays_good_across_a_restart_in_each_step() {
    let (mut disk, mut custody) = begun();
    let old = root(&custody);
    let mut leaves = vec![(0, leaf(&custody, 0))];
    let mut second = 0;
    for step in STEPS {
        second += DAY + 3600;
        let acknowledged = Some(custody.bundle().sequence());
        custody.rotate(step, &[LiveProxy { name: "shop/web", acknowledged }], at(second)).unwrap();
        leaves.push((second, leaf(&custody, second)));
        disk = disk.after_crash(second);
        custody = open(&disk, Init::No, second).unwrap();
        leaves.push((second, leaf(&custody, second)));
        for (made, leaf) in leaves.iter().filter(|(made, _)| made + DAY > second) {
            assert!(is_trusted(&custody, leaf, second), "{step}: leaf of second {made} at {second}");
        }
    }
    assert_ne!(root(&custody), old);
    assert_eq!(custody.presented_root(), root(&custody));
    assert_eq!(custody.bundle().roots().len(), 1);
    assert!(!is_trusted(&custody, &leaves[0].1, 60), "the old root is no longer trusted");
    assert_eq!(ca_files(&disk).len(), 3, "its key is gone");
}

#[test]
fn the_next_root_signs_only_when_every_live_proxy_trusts_it() {
    let (_, custody) = begun();
    let before = custody.bundle().sequence();
    custody.rotate(RotationStep::Prepare, &[], at(10)).unwrap();
    let published = custody.bundle().sequence();
    let live = [
        LiveProxy { name: "shop/new", acknowledged: Some(published) },
        LiveProxy { name: "shop/slow", acknowledged: Some(before) },
        LiveProxy { name: "shop/mute", acknowledged: None },
    ];
    assert_eq!(
        custody.rotation_status(&live),
        (Phase::Prepared, vec!["shop/slow".to_owned(), "shop/mute".to_owned()])
    );
    let error = custody.rotate(RotationStep::Activate, &live, at(20)).unwrap_err().to_string();
    assert!(error.contains("shop/slow") && error.contains("shop/mute"), "{error}");
    // A denial in between publishes a later bundle, which holds the next root as well.
    custody.deny(&Denial::Serial("0a".parse().unwrap()), at(30)).unwrap();
    assert_eq!(custody.rotation_status(&live[..1]).1, [""; 0]);
    assert_eq!(custody.rotate(RotationStep::Activate, &live[..1], at(40)).unwrap(), Phase::Active);
}

#[test]
fn while_both_roots_are_trusted_the_control_plane_shows_the_one_that_everybody_knows() {
    let (disk, custody) = begun();
    let old = custody.presented_root();
    custody.rotate(RotationStep::Prepare, &[], at(0)).unwrap();
    custody.rotate(RotationStep::Activate, &[], at(0)).unwrap();
    assert_ne!(root(&custody), old);
    assert!(custody.roots().iter().all(|root| root.not_after_unix > 0));
    let phases: Vec<_> = custody.roots().into_iter().map(|root| (root.sha256, root.phase)).collect();
    assert!(phases.contains(&(root(&custody).to_string(), "signing".to_owned())), "{phases:?}");
    assert!(phases.contains(&(old.to_string(), "old".to_owned())), "{phases:?}");
    for custody in [&custody, &open(&disk, Init::No, 60).unwrap()] {
        assert_eq!(custody.presented_root(), old);
        let error = custody.rotate(RotationStep::Retire, &[], at(3600)).unwrap_err();
        assert!(error.to_string().contains("may live"), "{error}");
    }
}

#[test]
fn an_aborted_rotation_leaves_everything_as_it_was() {
    let (disk, custody) = begun();
    let old = root(&custody);
    custody.rotate(RotationStep::Prepare, &[], at(0)).unwrap();
    assert_eq!(ca_files(&disk).len(), 6);
    custody.rotate(RotationStep::Abort, &[], at(1)).unwrap();
    assert_eq!((root(&custody), custody.bundle().roots().len(), ca_files(&disk).len()), (old, 1, 3));
    assert!(custody.rotate(RotationStep::Abort, &[], at(2)).is_err());
}

/// Does the whole rotation, as far as the disk lets it.
fn rotate(custody: &Custody) {
    for (second, step) in [10, 20, 2 * DAY].into_iter().zip(STEPS) {
        if custody.rotate(step, &[], at(second)).is_err() {
            return;
        }
    }
}

#[test]
fn a_rotation_killed_between_any_two_operations_can_be_gone_on_with() {
    let (begin, custody) = begun();
    let begin = begin.after_crash(0);
    let first = leaf(&custody, 0);
    let whole = begin.after_crash(0);
    rotate(&open(&whole, Init::No, 0).unwrap());
    // Keys differ in length from run to run, so the last steps of one may lie beyond the last of another.
    for step in (0..whole.steps_taken() + 200).step_by(7) {
        let disk: SimDisk = begin.after_crash(0);
        let custody = open(&disk, Init::No, 0).unwrap();
        disk.kill_after(step);
        rotate(&custody);
        let disk = disk.after_crash(step);
        let again = open(&disk, Init::No, 60).unwrap_or_else(|error| panic!("killed at {step}: {error}"));
        let (phase, _) = again.rotation_status(&[]);
        if phase != Phase::Stable || again.bundle().roots().len() > 1 {
            assert!(is_trusted(&again, &first, 60), "killed at {step}, {phase}");
        }
        assert!(is_trusted(&again, &leaf(&again, 60), 60), "killed at {step}, {phase}");
        match phase {
            Phase::Stable => again.rotate(RotationStep::Prepare, &[], at(9 * DAY)).map(drop).unwrap(),
            Phase::Prepared => again.rotate(RotationStep::Activate, &[], at(9 * DAY)).map(drop).unwrap(),
            Phase::Active => again.rotate(RotationStep::Retire, &[], at(9 * DAY)).map(drop).unwrap(),
        }
    }
}
