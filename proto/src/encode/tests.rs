//! Laws of the border: what goes out comes back, and equal values are equal bytes.

use proptest::prelude::*;
use weft_policy::endpoint::EndpointSet;

use super::*;
use crate::{arbitrary, decode};

proptest! {
    #[test]
    fn what_goes_out_comes_back(value in arbitrary::value()) {
        let wire = resource(&value);
        let back = decode::resource(&wire).map_err(|rejected| TestCaseError::fail(rejected.to_string()))?;
        prop_assert_eq!(&back.value, &value);
        prop_assert_eq!(back.not_understood, vec![]);
        // And what came back goes out as the same bytes, under the same version.
        prop_assert_eq!(resource(&back.value), wire);
    }

    #[test]
    fn the_order_in_which_a_set_was_built_does_not_show(
        set in arbitrary::endpoints(), service_ in arbitrary::service(), enforced in arbitrary::enforced(),
        routes_ in arbitrary::routes(), trust_ in arbitrary::trust(), twist in any::<u64>(),
    ) {
        let mut shuffled = set.endpoints().to_vec();
        shuffle(&mut shuffled, twist);
        let other = EndpointSet::new(set.of.clone(), shuffled);
        prop_assert_eq!(bytes(&endpoints(&set)), bytes(&endpoints(&other)));

        let mut other = service_.clone();
        shuffle(&mut other.vips, twist);
        shuffle(&mut other.hosts, twist);
        shuffle(&mut other.ports, twist);
        other.hosts.extend(service_.hosts.first().cloned());
        prop_assert_eq!(bytes(&service(&service_)), bytes(&service(&other)));

        let mut other = (*enforced.inbound).clone();
        shuffle(&mut other.ports, twist);
        for port in &mut other.ports {
            shuffle(&mut port.policy.policies, twist);
            // Equal policies are one policy, shared or not.
            for policy in &mut port.policy.policies {
                *policy = (**policy).clone().into();
            }
        }
        let mut health = enforced.health.clone();
        shuffle(&mut health, twist);
        prop_assert_eq!(bytes(&inbound(&enforced.inbound, &enforced.health)), bytes(&inbound(&other, &health)));

        let mut other = routes_.clone();
        shuffle(&mut other.ports, twist);
        prop_assert_eq!(bytes(&routes(&routes_)), bytes(&routes(&other)));

        let mut other = trust_.clone();
        shuffle(&mut other.anchors, twist);
        shuffle(&mut other.denied_serials, twist);
        shuffle(&mut other.denied_identities, twist);
        prop_assert_eq!(bytes(&trust(&trust_)), bytes(&trust(&other)));
    }

    #[test]
    fn an_address_that_stands_there_twice_is_sent_once(set in arbitrary::endpoints(), twist in any::<u64>()) {
        let mut twice = set.endpoints().to_vec();
        for endpoint in set.endpoints() {
            let mut twin = endpoint.clone();
            twin.name = "zz".into();
            twin.zone = Some("zz".into());
            twice.push(twin);
        }
        let other = EndpointSet::new(set.of.clone(), twice.clone());
        shuffle(&mut twice, twist);
        let shuffled = EndpointSet::new(set.of.clone(), twice);
        prop_assert_eq!(endpoints(&other), endpoints(&shuffled));
        let back = decode::endpoints(endpoints(&other)).unwrap();
        prop_assert_eq!(back.endpoints().len(), set.endpoints().len());
    }
}

#[test]
fn minus_zero_is_zero_on_the_wire() {
    let traffic = |min_success_rate| weft_policy::snapshot::Traffic {
        breaker: weft_policy::breaker::BreakerConfig { min_success_rate, ..Default::default() },
        ..Default::default()
    };
    let service = |rate| weft_policy::snapshot::Service {
        name: ServiceName::new("shop", "api"),
        vips: Vec::new(),
        hosts: Vec::new(),
        ports: vec![weft_policy::snapshot::Port {
            number: 80,
            name: "".into(),
            protocol: AppProtocol::Detect,
            traffic: traffic(rate).into(),
        }],
        pod: None,
    };
    assert_eq!(bytes(&super::service(&service(0.0))), bytes(&super::service(&service(-0.0))));
}

#[test]
fn a_doubt_without_a_name_is_still_a_doubt_on_the_other_side() {
    let policy = |not_understood: Option<&str>| weft_policy::authorize::AuthorizationPolicy {
        origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", "open"),
        action: weft_policy::authorize::Action::Allow,
        rules: Vec::new(),
        not_understood: not_understood.map(Into::into),
    };
    let inbound_with = |policy: weft_policy::authorize::AuthorizationPolicy| weft_policy::snapshot::Inbound {
        workload: ObjectRef::new(Kind::Workload, "shop", "web"),
        identity: "spiffe://td/ns/shop/sa/web".parse().unwrap(),
        zone: None,
        ports: Vec::new(),
        undeclared: weft_policy::authorize::PortPolicy {
            mtls: Default::default(),
            mtls_origin: None,
            trust_domain: "td".parse().unwrap(),
            policies: vec![policy.into()],
        },
    };
    let back = decode::inbound(inbound(&inbound_with(policy(Some(""))), &[]), None).unwrap();
    assert!(back.inbound.undeclared.policies[0].not_understood.is_some());
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut draw = weft_policy::draw::Draw::from_seed(seed);
    for last in (1..items.len()).rev() {
        let other = usize::try_from(draw.below(last as u64 + 1)).unwrap();
        items.swap(last, other);
    }
}
