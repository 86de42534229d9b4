//! What is refused, and by which field; what denies; and that nothing breaks the reader.

use proptest::prelude::*;
use proptest::sample::Index;
use weft_policy::authorize::{Action, MtlsMode};

use super::routes::path_prefix;
use super::*;
use crate::{arbitrary, encode};

mod golden;
mod security;
mod sound;

/// A table of ways to spoil a sound message, each with the path of the field that is blamed.
type Spoils<M> = &'static [(fn(&mut M), &'static str)];

#[track_caller]
fn each_is_refused<M: Clone, T: std::fmt::Debug>(
    sound: &M,
    decode: impl Fn(M) -> Result<T, Rejected>,
    spoils: Spoils<M>,
) {
    decode(sound.clone()).expect("the sound message is sound");
    for (index, (spoil, path)) in spoils.iter().enumerate() {
        let mut spoiled = sound.clone();
        spoil(&mut spoiled);
        let rejected = decode(spoiled).expect_err(path);
        assert_eq!(rejected.path, *path, "entry {index}: {rejected}");
        assert!(!rejected.detail.is_empty() && rejected.detail.len() <= 512);
    }
}

#[test]
fn a_service_is_refused_by_the_field_that_is_wrong() {
    const SPOILS: Spoils<v1::Service> = &[
        (|s| s.name = None, "name"),
        (|s| s.name.as_mut().unwrap().namespace = "a/b".into(), "name.namespace"),
        (|s| s.vips.push("10.0.0".into()), "vips[1]"),
        (|s| s.hosts.push("API".into()), "hosts[1]"),
        (|s| s.hosts.push("api:80".into()), "hosts[1]"),
        (|s| s.hosts = vec!["a".into(); 5000], "hosts"),
        (|s| s.ports[0].number = 0, "ports[0].number"),
        (|s| s.ports[0].number = 65_536, "ports[0].number"),
        (|s| s.ports.push(s.ports[0].clone()), "ports"),
        (|s| s.ports[0].name = "x".repeat(9000), "ports[0].name"),
        (|s| s.ports[0].protocol = 17, "ports[0].protocol"),
        (|s| s.ports[0].traffic = None, "ports[0].traffic"),
        (|s| traffic(s).origin.as_mut().unwrap().kind = 99, "ports[0].traffic.origin.kind"),
        (|s| traffic(s).balance = None, "ports[0].traffic.balance"),
        (|s| traffic(s).balance = Some(v1::Balance { kind: None }), "ports[0].traffic.balance"),
        (|s| ring(s, None), "ports[0].traffic.balance.ring_hash"),
        (|s| ring(s, Some("no name")), "ports[0].traffic.balance.ring_hash.header"),
        (|s| waits(s).request = time(-1, 0), "ports[0].traffic.timeouts.request"),
        (|s| waits(s).backend_request = time(0, -5), "ports[0].traffic.timeouts.backend_request"),
        (|s| waits(s).request = time(i64::MAX, 0), "ports[0].traffic.timeouts.request"),
        (|s| again(s).statuses.push(200), "ports[0].traffic.retry.statuses[1]"),
        (|s| again(s).statuses.push(70_000), "ports[0].traffic.retry.statuses[1]"),
        (|s| again(s).grpc_codes.push(17), "ports[0].traffic.retry.grpc_codes[0]"),
        (|s| again(s).backoff = None, "ports[0].traffic.retry.backoff"),
        (|s| traffic(s).budget = None, "ports[0].traffic.budget"),
        (|s| rate(s, f64::NAN), "ports[0].traffic.breaker.min_success_rate"),
        (|s| rate(s, -0.1), "ports[0].traffic.breaker.min_success_rate"),
        (|s| rate(s, f64::INFINITY), "ports[0].traffic.breaker.min_success_rate"),
        (|s| traffic(s).limits = None, "ports[0].traffic.limits"),
    ];
    fn traffic(s: &mut v1::Service) -> &mut v1::Traffic {
        s.ports[0].traffic.as_mut().unwrap()
    }
    fn waits(s: &mut v1::Service) -> &mut v1::Timeouts {
        traffic(s).timeouts.as_mut().unwrap()
    }
    fn again(s: &mut v1::Service) -> &mut v1::Retry {
        traffic(s).retry.as_mut().unwrap()
    }
    fn rate(s: &mut v1::Service, rate: f64) {
        traffic(s).breaker.as_mut().unwrap().min_success_rate = rate;
    }
    fn ring(s: &mut v1::Service, header: Option<&str>) {
        let key = header.map(|name| v1::ring_hash::Key::Header(name.into()));
        traffic(s).balance =
            Some(v1::Balance { kind: Some(v1::balance::Kind::RingHash(v1::RingHash { key })) });
    }
    fn time(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos })
    }
    each_is_refused(&sound::service(), service, SPOILS);
}

#[test]
fn routes_are_refused_by_the_field_that_is_wrong() {
    use v1::r#match::Path;
    const SPOILS: Spoils<v1::Routes> = &[
        (|r| r.service = None, "service"),
        (|r| r.ports[0].port = 0, "ports[0].port"),
        (|r| r.ports[0].kind = 0, "ports[0].kind"),
        (|r| r.ports[0].kind = 3, "ports[0].kind"),
        (|r| r.ports.push(r.ports[0].clone()), "ports"),
        (|r| r.ports[0].routes = vec![r.ports[0].routes[0].clone(); 2], "ports[0].routes"),
        (|r| r.ports[0].routes[0].origin = None, "ports[0].routes[0].origin"),
        (|r| r.ports[0].routes[0].hosts.push("a.*.b".into()), "ports[0].routes[0].hosts[1]"),
        (|r| r.ports[0].routes[0].hosts.push("*".into()), "ports[0].routes[0].hosts[1]"),
        (|r| r.ports[0].routes[0].hosts.push(String::new()), "ports[0].routes[0].hosts[1]"),
        (|r| rule(r).matches[0].path = None, "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| path(r, Path::Prefix("v1".into())), "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| path(r, Path::Regex("(".into())), "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| path(r, Path::Regex("a".repeat(1025))), "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| path(r, Path::Regex("(a{1000}){1000}".into())), "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| path(r, Path::Exact("/".repeat(9000))), "ports[0].routes[0].rules[0].matches[0].path"),
        (|r| rule(r).matches[0].method = "G ET".into(), "ports[0].routes[0].rules[0].matches[0].method"),
        (
            |r| rule(r).matches[0].headers[0].name = "a b".into(),
            "ports[0].routes[0].rules[0].matches[0].headers[0].name",
        ),
        (
            |r| rule(r).matches[0].headers[0].value = None,
            "ports[0].routes[0].rules[0].matches[0].headers[0].value",
        ),
        (
            |r| rule(r).matches[0].query[0].value = Some(v1::StringMatch { kind: None }),
            "ports[0].routes[0].rules[0].matches[0].query[0].value",
        ),
        (|r| rule(r).filters[0].kind = None, "ports[0].routes[0].rules[0].filters[0]"),
        (
            |r| edit(r).set[0].name = String::new(),
            "ports[0].routes[0].rules[0].filters[0].request_headers.set[0].name",
        ),
        (
            |r| edit(r).add[0].value = b"a\r\nx-evil: 1".to_vec(),
            "ports[0].routes[0].rules[0].filters[0].request_headers.add[0].value",
        ),
        (|r| redirect(r).scheme = "file".into(), "ports[0].routes[0].rules[0].filters[1].redirect.scheme"),
        (|r| redirect(r).host = "a@b".into(), "ports[0].routes[0].rules[0].filters[1].redirect.host"),
        (|r| redirect(r).host = "a:80".into(), "ports[0].routes[0].rules[0].filters[1].redirect.host"),
        (|r| redirect(r).port = 70_000, "ports[0].routes[0].rules[0].filters[1].redirect.port"),
        (|r| redirect(r).status = 200, "ports[0].routes[0].rules[0].filters[1].redirect.status"),
        (|r| redirect(r).path = full("a b"), "ports[0].routes[0].rules[0].filters[1].redirect.path.full"),
        (|r| redirect(r).path = full("/a\r\n"), "ports[0].routes[0].rules[0].filters[1].redirect.path.full"),
        (|r| redirect(r).path = full("/a#b"), "ports[0].routes[0].rules[0].filters[1].redirect.path.full"),
        (
            |r| redirect(r).path = Some(v1::PathEdit { kind: None }),
            "ports[0].routes[0].rules[0].filters[1].redirect.path",
        ),
        (|r| rule(r).backends[0].to = None, "ports[0].routes[0].rules[0].backends[0].to"),
        (|r| rule(r).backends[0].weight = u32::MAX, "ports[0].routes[0].rules[0].backends"),
        (|r| why(r, 0), "ports[0].routes[0].rules[0].backends[1].invalid.why"),
        (|r| why(r, 9), "ports[0].routes[0].rules[0].backends[1].invalid.why"),
        (
            |r| rule(r).retry.as_mut().unwrap().max_backoff = None,
            "ports[0].routes[0].rules[0].retry.max_backoff",
        ),
    ];
    fn rule(r: &mut v1::Routes) -> &mut v1::Rule {
        &mut r.ports[0].routes[0].rules[0]
    }
    fn path(r: &mut v1::Routes, path: Path) {
        rule(r).matches[0].path = Some(path);
    }
    fn edit(r: &mut v1::Routes) -> &mut v1::HeaderEdit {
        match rule(r).filters[0].kind.as_mut() {
            Some(v1::filter::Kind::RequestHeaders(edit)) => edit,
            other => panic!("{other:?}"),
        }
    }
    fn redirect(r: &mut v1::Routes) -> &mut v1::Redirect {
        match rule(r).filters[1].kind.as_mut() {
            Some(v1::filter::Kind::Redirect(redirect)) => redirect,
            other => panic!("{other:?}"),
        }
    }
    fn full(path: &str) -> Option<v1::PathEdit> {
        Some(v1::PathEdit { kind: Some(v1::path_edit::Kind::Full(path.into())) })
    }
    fn why(r: &mut v1::Routes, why: i32) {
        let to = v1::InvalidBackend { name: "x".into(), why };
        rule(r).backends[1].to = Some(v1::backend::To::Invalid(to));
    }
    each_is_refused(&sound::routes(), routes, SPOILS);
}

#[test]
fn endpoints_are_refused_by_the_field_that_is_wrong() {
    const SPOILS: Spoils<v1::Endpoints> = &[
        (|e| e.of = None, "of"),
        (|e| e.of.as_mut().unwrap().port = 65_536, "of.port"),
        (|e| e.groups[0].identity = "spiffe://weft.local/../x".into(), "groups[0].identity"),
        (|e| e.groups[0].target_port = 0, "groups[0].target_port"),
        (|e| e.groups[0].endpoints[1].addr = vec![10, 0, 0, 1], "groups[0].endpoints[1].addr"),
        (|e| e.groups[0].endpoints[1].addr = vec![10, 0, 0, 1, 0, 0], "groups[0].endpoints[1].addr"),
        (|e| e.groups[0].endpoints[1].addr = vec![0; 19], "groups[0].endpoints[1].addr"),
        (|e| e.groups[0].endpoints[1].addr = vec![1], "groups[0].endpoints[1].addr"),
        (|e| e.groups[0].endpoints[1].weight = 0, "groups[0].endpoints[1].weight"),
        (|e| e.groups[0].endpoints[1].health = 4, "groups[0].endpoints[1].health"),
        (|e| e.groups[0].endpoints[1].weight = u32::MAX, "groups"),
        (|e| e.groups[0].endpoints[1] = e.groups[0].endpoints[0].clone(), "groups"),
        (|e| e.groups.push(e.groups[0].clone()), "groups"),
    ];
    each_is_refused(&sound::endpoints(), endpoints, SPOILS);
}

#[test]
fn trust_is_refused_by_the_field_that_is_wrong() {
    const SPOILS: Spoils<v1::Trust> = &[
        (|t| t.trust_domain = String::new(), "trust_domain"),
        (|t| t.trust_domain = "Weft".into(), "trust_domain"),
        (|t| t.anchor_der.push(vec![]), "anchor_der[1]"),
        (|t| t.anchor_der.push(vec![0; 100_000]), "anchor_der[1]"),
        (|t| t.denied_serial.push(vec![0; 65]), "denied_serial[1]"),
        // Skipping it would let it in.
        (|t| t.denied_identity.push("spiffe:x".into()), "denied_identity[1]"),
        (|t| t.denied_serial = vec![vec![1]; 5000], "denied_serial"),
    ];
    each_is_refused(&sound::trust(), trust, SPOILS);
}

#[test]
fn a_resource_is_what_its_name_version_and_features_say() {
    let body = || encode::bytes(&sound::service());
    let sound = encode::named(&Key::parse(v1::Type::Service, "shop/api").unwrap(), body());
    assert!(resource(&sound).is_ok());
    let refused = |spoil: fn(&mut v1::Resource), want: &str| {
        let mut spoiled = sound.clone();
        spoil(&mut spoiled);
        let rejected = resource(&spoiled).unwrap_err().to_string();
        assert!(rejected.contains(want), "{rejected}");
    };
    refused(|r| r.version ^= 1, "its body's");
    refused(|r| r.r#type = 0, "type");
    refused(|r| r.r#type = 77, "77 is not a resource type");
    refused(|r| r.name = "shop/web".into(), "says it is shop/api");
    refused(|r| r.name = "shop".into(), "namespace/name");
    refused(|r| r.requires.push(4711), "requires feature 4711");
    refused(
        |r| {
            r.body = vec![0x0a, 0xff].into();
            r.version = version::of(&r.body);
        },
        "cannot be read",
    );
    refused(
        |r| {
            r.body = vec![0; MAX_BODY + 1].into();
            r.version = version::of(&r.body);
        },
        "are allowed",
    );
}

#[test]
fn a_resource_has_a_bounded_number_of_patterns_and_says_each_once() {
    let with = |count: usize, distinct: bool| {
        let mut wire = sound::routes();
        let regex = |n: usize| {
            let text = if distinct { format!("p{n}") } else { "same".into() };
            v1::Match { path: Some(v1::r#match::Path::Regex(text)), ..v1::Match::default() }
        };
        wire.ports[0].routes[0].rules[0].matches = (0..count).map(regex).collect();
        routes(wire)
    };
    assert!(with(MAX_PATTERNS, true).is_ok());
    assert!(with(MAX_PATTERNS * 4, false).is_ok());
    let rejected = with(MAX_PATTERNS + 1, true).unwrap_err();
    assert_eq!(rejected.path, format!("ports[0].routes[0].rules[0].matches[{MAX_PATTERNS}].path"));
    // Over all rules, too: a million matches are not a route.
    let mut wire = sound::routes();
    let route = &mut wire.ports[0].routes[0];
    let one = v1::Match { path: Some(v1::r#match::Path::Exact("/".into())), ..v1::Match::default() };
    route.rules = vec![v1::Rule { matches: vec![one; 4000], ..v1::Rule::default() }; 17];
    assert_eq!(routes(wire).unwrap_err().path, "ports[0].routes[0].rules[16].matches");
}

#[test]
fn a_prefix_is_kept_without_its_trailing_slash() {
    for (wire, want) in [("/", ""), ("", ""), ("/v2", "/v2"), ("/v2/", "/v2")] {
        assert_eq!(&*path_prefix(wire).unwrap(), want);
    }
}

#[test]
fn ten_thousand_levels_of_nesting_are_an_error_and_not_a_stack_overflow() {
    // Unknown groups within unknown groups: the only nesting a message without recursion can be made to skip.
    let start = [0x7b_u8]; // field 15, start group
    let mut bytes = start.repeat(10_000);
    bytes.extend([0x7c].repeat(10_000));
    let error = message::<v1::Service>(&bytes).unwrap_err().to_string();
    assert!(error.contains("recursion"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(
        kind in 0..8i32,
        name in prop::sample::select(&["shop/api", "shop/api:80", "td", "", "/"][..]),
        body in prop::collection::vec(any::<u8>(), 0..300),
        requires in prop::collection::vec(any::<u32>(), 0..2),
    ) {
        let version = version::of(&body);
        let _ = resource(&v1::Resource { r#type: kind, name: name.into(), version, body: body.into(), requires });
    }

    /// Most mutations of a sound message are sound protobuf: they reach the checks behind it.
    #[test]
    fn no_damage_to_a_sound_message_breaks_the_reader(
        value in arbitrary::value(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let mut wire = encode::resource(&value);
        let mut body = wire.body.to_vec();
        for (index, byte, how) in damage {
            if body.is_empty() {
                break;
            }
            let index = index.index(body.len());
            match how {
                0 => body[index] = byte,
                1 => body.insert(index, byte),
                _ => drop(body.remove(index)),
            }
        }
        wire.body = body.into();
        wire.version = version::of(&wire.body);
        if let Ok(read) = resource(&wire) {
            // What is accepted is canonical from here on.
            let again = encode::resource(&read.value);
            if read.not_understood.is_empty() {
                let back = resource(&again).map_err(|rejected| TestCaseError::fail(rejected.to_string()))?;
                prop_assert_eq!(back.value, read.value);
            }
        }
    }
}
