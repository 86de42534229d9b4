//! What is not understood never lets anybody in.

use super::*;

/// What became of a message in which something is off.
enum Outcome {
    /// The policy `shop/api` denies, for this reason; the rest stands.
    PolicyDenies(&'static str),
    /// The declared port denies all, and so says a policy in the workload's name.
    PortDenies(&'static str),
    /// Every port denies.
    AllDeny(&'static str),
    /// Not a denial, but nothing wider than what was sent: what it became.
    Narrower(fn(&Decoded) -> bool),
    /// Rejected as a whole: the last good version holds, or nothing does and all is denied.
    Rejected(&'static str),
}

type Case = (fn(&mut v1::Inbound), Outcome);

#[test]
fn whatever_is_not_understood_denies() {
    use Outcome::{AllDeny, Narrower, PolicyDenies, PortDenies, Rejected};
    let table: &[Case] = &[
        (|i| i.policies[0].action = 0, PolicyDenies("action")),
        (|i| i.policies[0].action = 4, PolicyDenies("action")),
        (|i| i.policies[0].origin = None, PolicyDenies("origin")),
        (|i| i.policies[0].origin.as_mut().unwrap().kind = 99, PolicyDenies("origin.kind")),
        (|i| from(i).identities.push("web".into()), PolicyDenies("rules[0].from[0].identities[1]")),
        (|i| from(i).namespaces.push("a/b".into()), PolicyDenies("rules[0].from[0].namespaces[1]")),
        (|i| from(i).cidrs.push("10.0.0.0/33".into()), PolicyDenies("rules[0].from[0].cidrs[1]")),
        (|i| from(i).cidrs.push("10.0.0.0".into()), PolicyDenies("rules[0].from[0].cidrs[1]")),
        (|i| to(i).methods.push("G T".into()), PolicyDenies("rules[0].to[0].methods[1]")),
        (|i| to(i).paths[0].kind = None, PolicyDenies("rules[0].to[0].paths[0]")),
        (|i| path(i, "["), PolicyDenies("rules[0].to[0].paths[0].regex")),
        (|i| path(i, &"a".repeat(1025)), PolicyDenies("rules[0].to[0].paths[0].regex")),
        (|i| to(i).headers[0].name = "\u{e9}".into(), PolicyDenies("rules[0].to[0].headers[0].name")),
        (|i| to(i).headers[0].values[0].kind = None, PolicyDenies("rules[0].to[0].headers[0].values[0]")),
        (|i| i.policies[0].not_understood = "jwt".into(), PolicyDenies("jwt")),
        (|i| i.ports[0].policy = None, PortDenies("is missing")),
        (|i| i.ports[0].policy.as_mut().unwrap().policies.push(7), PortDenies("there is no policy 7")),
        (|i| i.ports[0].policy.as_mut().unwrap().trust_domain = "A".into(), PortDenies("trust_domain")),
        (
            |i| i.ports[0].policy.as_mut().unwrap().mtls = 2,
            Narrower(|d| d.inbound.ports[0].policy.mtls == MtlsMode::Strict && d.not_understood.len() == 1),
        ),
        (
            |i| i.ports[0].protocol = 9,
            Narrower(|d| d.inbound.ports[0].protocol == AppProtocol::Opaque && d.not_understood.len() == 1),
        ),
        (|i| i.undeclared = None, Narrower(|d| d.inbound.undeclared.policies[0].not_understood.is_some())),
        (
            // A check that cannot be made keeps no policy from being enforced.
            |i| i.health[0].interval = Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            Narrower(|d| d.health.is_empty() && d.not_understood[0].path == "health[0].interval"),
        ),
        (|i| i.identity = "spiffe://weft.local".into(), Rejected("identity")),
        (|i| i.workload = None, Rejected("workload")),
        (|i| i.ports[0].number = 70_000, Rejected("ports[0].number")),
        (|i| i.ports.push(i.ports[0].clone()), Rejected("ports")),
        (|i| i.ports[0].address = "localhost".into(), Rejected("ports[0].address")),
        (|i| i.policies = vec![i.policies[0].clone(); 5000], Rejected("policies")),
        (|i| i.zone = "feature".into(), AllDeny("requires feature 7")),
    ];
    assert!(inbound(sound::inbound(), None).unwrap().not_understood.is_empty());
    for (index, (spoil, outcome)) in table.iter().enumerate() {
        let mut wire = sound::inbound();
        spoil(&mut wire);
        // One of the cases is about a feature: it is marked in the zone.
        let missing = (wire.zone == "feature").then_some(7);
        let decoded = inbound(wire, missing);
        let denial = |policies: &[Arc<weft_policy::authorize::AuthorizationPolicy>]| {
            let policy = policies.iter().find(|policy| policy.not_understood.is_some());
            policy.map(|policy| (policy.origin.to_string(), policy.not_understood.clone().unwrap()))
        };
        match outcome {
            Rejected(path) => assert_eq!(decoded.unwrap_err().path, *path, "{index}"),
            PolicyDenies(why) => {
                let decoded = decoded.unwrap();
                let (origin, said) = denial(&decoded.inbound.ports[0].policy.policies).expect(why);
                assert!(said.contains(why), "{index}: {said}");
                let named = ["AuthorizationPolicy shop/api", "Workload shop/api"].contains(&origin.as_str());
                assert!(named, "{index}: {origin}");
                assert!(decoded.inbound.undeclared.policies.is_empty(), "{index}: the rest stands");
            }
            PortDenies(why) => {
                let decoded = decoded.unwrap();
                let (origin, said) = denial(&decoded.inbound.ports[0].policy.policies).expect(why);
                assert!(said.contains(why) && origin == "Workload shop/api", "{index}: {origin}: {said}");
                assert!(decoded.not_understood[0].path.starts_with("ports[0].policy"), "{index}");
                assert!(decoded.inbound.undeclared.policies.is_empty(), "{index}: the rest stands");
            }
            AllDeny(why) => {
                let decoded = decoded.unwrap();
                for policy in [&decoded.inbound.ports[0].policy, &decoded.inbound.undeclared] {
                    assert!(denial(&policy.policies).expect(why).1.contains(why), "{index}");
                }
            }
            Narrower(holds) => assert!(holds(&decoded.unwrap()), "{index}"),
        }
    }

    fn from(i: &mut v1::Inbound) -> &mut v1::SourceMatch {
        &mut i.policies[0].rules[0].from[0]
    }
    fn to(i: &mut v1::Inbound) -> &mut v1::OperationMatch {
        &mut i.policies[0].rules[0].to[0]
    }
    fn path(i: &mut v1::Inbound, regex: &str) {
        to(i).paths[0].kind = Some(v1::path_pattern::Kind::Regex(regex.into()));
    }
}

#[test]
fn a_policy_of_tomorrow_denies_under_its_own_name() {
    let mut wire = sound::inbound();
    wire.policies[0].action = 9;
    wire.policies[0].origin.as_mut().unwrap().name = "tomorrow".into();
    let decoded = inbound(wire, None).unwrap();
    let policy = &decoded.inbound.ports[0].policy.policies[0];
    assert_eq!(policy.origin.to_string(), "AuthorizationPolicy shop/tomorrow");
    assert_eq!((policy.action, policy.rules.len()), (Action::Deny, 0));
    assert_eq!(decoded.not_understood[0].path, "policies[0].action");
}

#[test]
fn an_inbound_that_requires_what_this_build_lacks_holds_and_denies() {
    let mut wire =
        encode::named(&Key::parse(v1::Type::Inbound, "shop/api").unwrap(), encode::bytes(&sound::inbound()));
    wire.requires.push(99);
    let read = resource(&wire).unwrap();
    let Value::Inbound(enforced) = read.value else { panic!("{:?}", read.value) };
    assert!(
        enforced.inbound.undeclared.policies[0].not_understood.as_deref().unwrap().contains("feature 99")
    );
    assert_eq!(read.not_understood.len(), 1);
}

proptest! {
    /// The ports of a damaged message let in at most what those of the sound one did: where a policy was, there
    /// is one, or the damage was in what selects it.
    #[test]
    fn an_action_number_nobody_knows_denies_wherever_it_stands(
        enforced in arbitrary::enforced(), action in prop_oneof![Just(0), 4i32..], which in any::<Index>(),
    ) {
        let mut wire = encode::inbound(&enforced.inbound, &enforced.health);
        if wire.policies.is_empty() {
            return Ok(());
        }
        let which = which.index(wire.policies.len());
        wire.policies[which].action = action;
        let place = u32::try_from(which).unwrap();
        let applies: Vec<bool> = wire
            .ports
            .iter()
            .map(|port| port.policy.as_ref().unwrap())
            .chain(wire.undeclared.as_ref())
            .map(|policy| policy.policies.contains(&place))
            .collect();
        let decoded = inbound(wire, None).unwrap();
        let ports = decoded.inbound.ports.iter().map(|port| &port.policy).chain([&decoded.inbound.undeclared]);
        for (policy, applies) in ports.zip(applies) {
            let denies = policy.policies.iter().any(|p| p.not_understood.is_some() && p.rules.is_empty());
            prop_assert!(denies || !applies);
        }
    }
}
