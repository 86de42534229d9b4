use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use weft_certs::rotation::LiveProxy;

use super::*;
use crate::custody::{Denial, RotationStep, trust_of};

fn domain() -> TrustDomain {
    "weft.local".parse().unwrap()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
}

/// A place that several control planes share, and whose turn it is.
#[derive(Debug, Default)]
struct Place {
    kept: Mutex<Kept>,
    turn: Mutex<usize>,
}

#[derive(Debug)]
struct Way {
    place: Arc<Place>,
    who: usize,
}

impl Safe for Way {
    fn is_ours(&self) -> bool {
        *self.place.turn.lock().unwrap() == self.who
    }

    fn put(&self, kept: &Kept) -> Result<(), ElsewhereError> {
        if !self.is_ours() {
            return Err(ElsewhereError::NotOurs);
        }
        *self.place.kept.lock().unwrap() = kept.clone();
        Ok(())
    }
}

impl Place {
    fn kept(&self) -> Kept {
        self.kept.lock().unwrap().clone()
    }

    fn now_it_is(&self, who: usize) {
        *self.turn.lock().unwrap() = who;
    }
}

/// Control planes of one mesh; it is the first one's turn.
fn replicas<const N: usize>() -> (Arc<Place>, [Custody; N]) {
    let place = Arc::new(Place::default());
    *place.kept.lock().unwrap() = Custody::minted(&domain(), at(0)).unwrap().kept().unwrap();
    let replicas = std::array::from_fn(|who| {
        let custody = Custody::of(&place.kept(), &domain(), at(1)).unwrap();
        custody.keep_in(Arc::new(Way { place: Arc::clone(&place), who }));
        custody
    });
    (place, replicas)
}

fn stranger() -> Denial {
    Denial::Identity("spiffe://weft.local/ns/shop/sa/thief".parse().unwrap())
}

fn roots(custody: &Custody) -> Vec<String> {
    custody.roots().iter().map(|root| format!("{} {}", root.sha256, root.phase)).collect()
}

fn trust(custody: &Custody) -> weft_proto::trust::Trust {
    trust_of(&custody.bundle())
}

#[test]
fn what_one_does_all_follow() {
    let (place, [one, two]) = replicas();
    assert_eq!(roots(&one), roots(&two));
    assert_ne!(one.epoch(), two.epoch(), "revisions of one say nothing of the other's");
    assert!(!two.follow(&place.kept(), at(2)).unwrap(), "nothing has happened");
    let live = |sequence| [LiveProxy { name: "shop/web", acknowledged: Some(sequence) }];
    let steps: [(&str, &dyn Fn()); 6] = [
        ("deny", &|| assert!(one.deny(&stranger(), at(10)).unwrap())),
        ("prepare", &|| assert!(one.rotate(RotationStep::Prepare, &[], at(20)).is_ok())),
        ("activate", &|| {
            assert!(one.rotate(RotationStep::Activate, &live(one.bundle().sequence()), at(30)).is_ok());
        }),
        ("retire", &|| assert!(one.rotate(RotationStep::Retire, &[], at(90 * 86_400)).is_ok())),
        ("allow", &|| assert!(one.allow(&stranger(), at(90 * 86_400 + 1)).unwrap())),
        ("renew", &|| one.tick(at(200 * 86_400)).unwrap()),
    ];
    for (step, take) in steps {
        take();
        assert_eq!(one.kept().unwrap(), place.kept(), "{step}");
        assert!(two.follow(&place.kept(), at(200 * 86_400)).unwrap(), "{step}");
        assert_eq!(roots(&one), roots(&two), "{step}");
        assert_eq!(trust(&one), trust(&two), "{step}");
        assert_eq!(
            one.signer().to_pem().intermediate_certificate,
            two.signer().to_pem().intermediate_certificate
        );
        assert_eq!(one.presented_root(), two.presented_root(), "{step}");
        assert!(!two.follow(&place.kept(), at(200 * 86_400)).unwrap(), "{step}");
        // And who comes later finds the same.
        let third = Custody::of(&place.kept(), &domain(), at(200 * 86_400)).unwrap();
        assert_eq!(roots(&third), roots(&one), "{step}");
        assert_eq!(trust(&third), trust(&one), "{step}");
    }
}

#[test]
fn who_has_not_the_turn_changes_nothing() {
    let (place, [one, two]) = replicas();
    let before = place.kept();
    let error = two.deny(&stranger(), at(10)).unwrap_err();
    assert!(error.to_string().contains("does not hold the Lease"), "{error}");
    assert!(two.rotate(RotationStep::Prepare, &[], at(10)).is_err());
    two.tick(at(200 * 86_400)).unwrap();
    assert_eq!(place.kept(), before);
    assert!(!two.denies(&"spiffe://weft.local/ns/shop/sa/thief".parse().unwrap()));
    // What it had begun by itself is gone with the next look.
    two.follow(&before, at(11)).unwrap();
    assert_eq!(two.kept().unwrap(), before);
    place.now_it_is(1);
    assert!(two.deny(&stranger(), at(12)).unwrap());
    assert!(one.follow(&place.kept(), at(13)).unwrap());
    assert!(one.deny(&stranger(), at(14)).is_ok_and(|new| !new), "it is denied already");
}

#[test]
fn what_is_lost_or_another_mesh_s_is_not_followed() {
    let (place, [one]) = replicas();
    let early = place.kept();
    one.deny(&stranger(), at(10)).unwrap();
    let in_force = one.kept().unwrap();
    let another = Custody::minted(&domain(), at(1000)).unwrap().kept().unwrap();
    let mut cut = in_force.clone();
    cut.records.truncate(5);
    let mut without_keys = in_force.clone();
    without_keys.files.retain(|name, _| !name.ends_with("intermediate.pem"));
    for (case, kept, said) in [
        ("nothing", Kept::default(), "lost its journal"),
        ("a backup of before", early, "is older than what is in force"),
        ("another mesh's", another, "of another mesh"),
        ("damaged", cut, "is damaged"),
        ("a part of it", without_keys, "is missing"),
    ] {
        let error = one.follow(&kept, at(20)).unwrap_err();
        assert!(error.to_string().contains(said), "{case}: {error}");
        assert_eq!(one.kept().unwrap(), in_force, "{case}");
        assert!(one.denies(&"spiffe://weft.local/ns/shop/sa/thief".parse().unwrap()), "{case}");
    }
}
