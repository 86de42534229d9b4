//! What is remembered is what would be judged: no order of questions, no time and no change of trust tells the two apart.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use weft_policy::identity::SpiffeId;

use super::super::{PeerRefused, peer, verify_peer};
use super::*;
use crate::bundle::{DenyList, TrustBundle, TrustBundles};
use crate::forge::*;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// Chains of which some are accepted always, some for a time and some never, and four ways to trust.
struct World {
    chains: Vec<Forged>,
    trusts: Vec<TrustBundles>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let forge = Forge::new();
        let short_lived = Forge::with_intermediate(|ca| ca.not_after = later(HOUR / 2).into());
        let web = forge.leaf(WEB);
        let soon = forge.leaf_with(CART, |leaf| leaf.not_before = later(HOUR / 4).into());
        let beside = web.with_chain(|chain| chain.push(chain[1].clone()));
        let alone = web.with_chain(|chain| chain.truncate(1));
        let serial = peer(web.chain()).unwrap().serial;
        let denied = DenyList { serials: [serial].into(), ..DenyList::default() };
        let both = TrustBundle::new(
            domain("weft.local"),
            1,
            [forge.root.clone(), short_lived.root.clone()],
            DenyList::default(),
        );
        let trusts = [
            both.unwrap(),
            forge.bundle("weft.local", DenyList::default()),
            forge.bundle("weft.local", denied),
            short_lived.bundle("weft.local", DenyList::default()),
        ];
        World {
            chains: vec![web, soon, beside, alone, short_lived.leaf(WEB), Forge::self_signed(WEB)],
            trusts: trusts.map(|bundle| [bundle].into_iter().collect()).into(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_memory_answers_as_a_fresh_judgement_does(
        questions in prop::collection::vec((0..4usize, 0..6usize, any::<bool>(), 0..7200u64), 1..24),
    ) {
        // The same values through the whole case: they remember.
        let trusts: Vec<_> = world().trusts.clone();
        for (trust, chain, as_server, second) in questions {
            let role = if as_server { Role::Server } else { Role::Client };
            let (chain, now) = (world().chains[chain].chain(), at(NOW - HOUR / 2 + second));
            let fresh = verify_peer(&trusts[trust].clone(), chain, role, now);
            prop_assert_eq!(verify_peer(&trusts[trust], chain, role, now), fresh);
        }
    }
}

#[test]
fn what_was_accepted_is_remembered_until_the_first_certificate_of_the_path_expires() {
    let world = world();
    let (trust, chain) = (world.trusts[0].clone(), world.chains[4].chain());
    let question = Question::of(chain, Role::Client).unwrap();
    let judge = |now| verify_peer(&trust, chain, Role::Client, at(now));
    assert_eq!(trust.judged().recall(question, unix_now()), None);
    judge(NOW).unwrap();
    // The leaf is good for an hour, the intermediate for half of one.
    for (second, remembered) in [(0, true), (HOUR / 2, true), (HOUR / 2 + 1, false)] {
        let recalled = trust.judged().recall(question, at(NOW + second));
        assert_eq!(recalled.map(|peer| peer.id), remembered.then(|| id(WEB)), "after {second} seconds");
    }
    assert!(matches!(judge(NOW + HOUR / 2 + 1), Err(PeerRefused::Expired { .. })));
    // And for the rest of the time it is judged anew.
    judge(NOW).unwrap();
    assert!(trust.judged().recall(question, at(NOW - 2 * DAY)).is_none(), "before it began");
}

#[test]
fn another_value_of_trust_remembers_nobody() {
    let world = world();
    let (trust, chain) = (world.trusts[0].clone(), world.chains[0].chain());
    verify_peer(&trust, chain, Role::Client, unix_now()).unwrap();
    assert_eq!(trust.judged().len(), 1);
    let other = TrustBundle::new(domain("other.mesh"), 1, [], DenyList::default()).unwrap();
    let same = trust.clone();
    assert_eq!((same.judged().len(), trust.judged().len()), (0, 1));
    assert_eq!(trust.clone().with(other).judged().len(), 0);
    assert_eq!(trust.without(&domain("other.mesh")).judged().len(), 0);
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let world = world();
    let trust = world.trusts[2].clone();
    for chain in &world.chains {
        let seen = verify_peer(&trust, chain.chain(), Role::Client, at(NOW + 3 * DAY));
        assert!(seen.is_err(), "{seen:?}");
    }
    assert_eq!(trust.judged().len(), 0);
}

#[test]
fn a_question_is_its_chain_and_role_and_nothing_else() {
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let chains = [
        vec![der(b"ab")],
        vec![der(b"a"), der(b"b")],
        vec![der(b"b"), der(b"a")],
        vec![der(b"ab"), der(b"")],
        vec![der(b"a")],
    ];
    let mut questions = Vec::new();
    for chain in &chains {
        for role in [Role::Server, Role::Client] {
            assert!(Question::of(chain, role) == Question::of(&chain.clone(), role));
            questions.push(Question::of(chain, role).unwrap());
        }
    }
    for (n, one) in questions.iter().enumerate() {
        assert!(questions[n + 1..].iter().all(|other| other != one));
    }
    assert!(Question::of(&[], Role::Client).is_none());
    assert!(Question::of(&[der(&vec![0; MAX_CHAIN + 1])], Role::Client).is_none(), "hashed for nobody");
}

#[test]
fn any_number_of_peers_is_remembered_in_bounds() {
    let judged = Arc::new(Judged::default());
    let valid = Window { not_before: 0, not_after: u64::MAX };
    let known = peer(world().chains[0].chain()).unwrap();
    for n in 0..3 * MAX_JUDGED {
        let peer = Peer {
            id: SpiffeId::workload(&domain("weft.local"), "shop", &format!("w{n}")).unwrap(),
            ..known.clone()
        };
        let der = CertificateDer::from(n.to_be_bytes().to_vec());
        let question = Question::of(&[der], Role::Client).unwrap();
        judged.remember(question, &peer, valid);
        assert_eq!(judged.recall(question, unix_now()), Some(peer));
    }
    assert_eq!(judged.len(), MAX_JUDGED);
}
