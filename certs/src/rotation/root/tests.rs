//! A root is replaced and nobody stops talking, because no step comes before the one it depends on.

use rustls::pki_types::UnixTime;

use super::*;
use crate::authority::Issued;
use crate::bundle::TrustBundles;
use crate::forge::*;
use crate::request::KeyAndRequest;
use crate::verify::{Role, verify_peer};

fn stable() -> RootRotation {
    RootRotation::stable(Authority::mint(&domain("weft.local"), now()).unwrap(), 1)
}

fn leaf(rotation: &RootRotation, then: SystemTime) -> Issued {
    let request = KeyAndRequest::generate().unwrap();
    rotation.signer().issue(&request.csr_der, &id(WEB), Lifetime::Default, then).unwrap()
}

fn accepts(rotation: &RootRotation, leaf: &Issued, then: u64) -> bool {
    let bundles: TrustBundles = [rotation.bundle(DenyList::default()).unwrap()].into_iter().collect();
    let chain: Vec<CertificateDer<'_>> = leaf.chain_der.iter().map(|der| der.as_slice().into()).collect();
    let then = UnixTime::since_unix_epoch(Duration::from_secs(NOW + then));
    verify_peer(&bundles, &chain, Role::Client, then).is_ok()
}

fn live(name: &str, acknowledged: Option<u64>) -> LiveProxy<'_> {
    LiveProxy { name, acknowledged }
}

#[test]
fn whoever_holds_the_bundle_before_or_after_a_step_accepts_every_live_leaf() {
    let stable = stable();
    let prepared = stable.prepare(later(HOUR)).unwrap();
    let last_old_leaf = leaf(&prepared, later(2 * HOUR));
    let active = prepared.activate([live("a", Some(2))], later(2 * HOUR)).unwrap();
    let first_new_leaf = leaf(&active, later(2 * HOUR));
    let retire_at = 26 * HOUR + 300;
    let retired = active.retire(later(retire_at)).unwrap();

    // Around activation: both bundles that may be held trust both leaves.
    for held in [&prepared, &active] {
        assert!(accepts(held, &last_old_leaf, 3 * HOUR));
        assert!(accepts(held, &first_new_leaf, 3 * HOUR));
    }
    // Only one that never heard of the next root refuses; it is not live, or activation would have waited.
    assert!(!accepts(&stable, &first_new_leaf, 3 * HOUR));
    // Around retirement: the last old leaf has expired by itself.
    assert!(!accepts(&active, &last_old_leaf, retire_at));
    let newest = leaf(&active, later(25 * HOUR));
    assert!(accepts(&active, &newest, retire_at) && accepts(&retired, &newest, retire_at));

    let sequences = [&stable, &prepared, &active, &retired].map(|rotation| rotation.sequence());
    assert_eq!(sequences, [1, 2, 2, 3]);
    let roots = [&stable, &prepared, &active, &retired]
        .map(|rotation| rotation.bundle(DenyList::default()).unwrap().roots().len());
    assert_eq!(roots, [1, 2, 2, 1]);
    assert_eq!(retired.signer().root(), active.signer().root());
    assert_ne!(retired.signer().root(), stable.signer().root());
}

#[test]
fn the_next_root_signs_only_when_all_live_proxies_trust_it() {
    let prepared = stable().prepare(now()).unwrap();
    let cases: Vec<(Vec<LiveProxy<'_>>, Result<(), usize>)> = vec![
        (vec![], Ok(())),
        (vec![live("a", Some(2)), live("b", Some(9))], Ok(())),
        (vec![live("a", Some(2)), live("b", Some(1))], Err(1)),
        (vec![live("a", None)], Err(1)),
        ((0..1000).map(|_| live("x", Some(1))).collect(), Err(1000)),
    ];
    for (proxies, want) in cases {
        match (prepared.activate(proxies.clone(), now()), want) {
            (Ok(active), Ok(())) => assert_eq!(active.phase(), Phase::Active),
            (Err(RotationRefused::NotAcknowledged { sequence: 2, laggards, named }), Err(count)) => {
                assert_eq!(laggards, count);
                assert!(!named.is_empty() && named.len() <= 5);
            }
            (got, want) => panic!("{proxies:?}: {got:?}, wanted {want:?}"),
        }
    }
    // A later bundle for another reason does not change which one has to be acknowledged.
    let denied_meanwhile = prepared.republished();
    assert_eq!(denied_meanwhile.sequence(), 3);
    assert!(denied_meanwhile.activate([live("a", Some(2))], now()).is_ok());
}

#[test]
fn the_old_root_stays_for_the_longest_leaf_and_a_slow_clock() {
    let active = stable().prepare(now()).unwrap().activate([], later(HOUR)).unwrap();
    let day_and_skew = HOUR + DAY + 300;
    assert_eq!(active.retire_from(), Some(later(day_and_skew)));
    for (then, want) in
        [(0, Some(day_and_skew)), (HOUR, Some(DAY + 300)), (day_and_skew - 1, Some(1)), (day_and_skew, None)]
    {
        match (active.retire(later(then)), want) {
            (Ok(retired), None) => assert_eq!(retired.phase(), Phase::Stable),
            (Err(RotationRefused::TooEarly { wait }), Some(left)) => {
                assert_eq!(wait, Duration::from_secs(left))
            }
            (got, want) => panic!("{then}: {got:?}, wanted {want:?}"),
        }
    }
}

#[test]
fn steps_come_in_order_and_abort_is_possible_before_the_next_root_signs() {
    let stable = stable();
    let prepared = stable.prepare(now()).unwrap();
    let active = prepared.activate([], now()).unwrap();
    let far = later(30 * DAY);
    for (rotation, allowed) in [
        (&stable, [true, false, false, false]),
        (&prepared, [false, true, true, false]),
        (&active, [false, false, false, true]),
    ] {
        let steps =
            [rotation.prepare(far), rotation.abort(), rotation.activate([], far), rotation.retire(far)];
        for (step, allowed) in steps.into_iter().zip(allowed) {
            assert_eq!(step.is_ok(), allowed, "{}: {step:?}", rotation.phase());
            if let Err(refused) = step {
                let RotationRefused::WrongPhase { phase, .. } = refused else { panic!("{refused:?}") };
                assert_eq!(phase, rotation.phase());
            }
        }
    }
    let aborted = prepared.abort().unwrap();
    assert_eq!(aborted.signer().root(), stable.signer().root());
    assert_eq!((aborted.phase(), aborted.sequence()), (Phase::Stable, 3));
}

#[test]
fn every_phase_comes_back_from_its_pem() {
    let stable = stable();
    let prepared = stable.prepare(now()).unwrap().republished();
    let active = prepared.activate([], now()).unwrap();
    for rotation in [&stable, &prepared, &active] {
        let pem = rotation.to_pem();
        let back = RootRotation::from_pem(&domain("weft.local"), &pem).unwrap();
        assert_eq!(back.to_pem(), pem);
        assert_eq!((back.phase(), back.sequence()), (rotation.phase(), rotation.sequence()));
        let roots = |rotation: &RootRotation| rotation.bundle(DenyList::default()).unwrap().roots().to_vec();
        assert_eq!(roots(&back), roots(rotation));
        assert_eq!(back.retire_from(), rotation.retire_from());
        assert!(!format!("{rotation:?} {pem:?}").contains("PRIVATE"));
    }
}

#[test]
fn a_damaged_record_is_refused_part_by_part() {
    let prepared = stable().prepare(now()).unwrap();
    let pem = prepared.activate([], now()).unwrap().to_pem();
    let RotationStepPem::Active { old_root, .. } = pem.step.clone() else { panic!("active") };
    let with = |step| RotationPem { step, ..pem.clone() };
    let key = KeyAndRequest::generate().unwrap().key.to_pem();
    let leaf_pem = certificate_pem(&CertificateDer::from(leaf(&prepared, now()).chain_der.remove(0)));
    let mut no_signer = pem.clone();
    no_signer.signer.intermediate_key = key.clone();
    let mut other_next = prepared.to_pem();
    if let RotationStepPem::Prepared { next, .. } = &mut other_next.step {
        next.root_key = Some(key.clone());
    }
    for (record, want) in [
        (no_signer, "Signer"),
        (other_next, "Next"),
        (with(RotationStepPem::Active { old_root: key, since_seconds: 0 }), "OldRoot"),
        (with(RotationStepPem::Active { old_root: leaf_pem, since_seconds: 0 }), "Bundle"),
        (with(RotationStepPem::Active { old_root: old_root.clone(), since_seconds: u64::MAX }), "Since"),
        (with(RotationStepPem::Active { old_root, since_seconds: i64::MAX.unsigned_abs() }), "Since"),
    ] {
        let error = RootRotation::from_pem(&domain("weft.local"), &record).unwrap_err();
        assert!(format!("{error:?}").starts_with(want), "{error:?}");
    }
}

#[test]
fn the_intermediate_is_renewed_in_any_phase_without_a_new_bundle() {
    let active = stable().prepare(now()).unwrap().activate([], now()).unwrap();
    assert!(active.renew_intermediate(later(DAY)).unwrap().is_none());
    let renewed = active.renew_intermediate(later(200 * DAY)).unwrap().expect("due");
    assert_eq!((renewed.sequence(), renewed.phase()), (active.sequence(), Phase::Active));
    assert_eq!(renewed.signer().root(), active.signer().root());
    assert!(accepts(&active, &leaf(&renewed, later(200 * DAY)), 200 * DAY));
}
