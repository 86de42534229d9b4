//! Who may call, by row, in a small language for policies and calls.

mod laws;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::facts::{Destination, Request, Source};
use crate::object::Kind;
use crate::route::path::Pattern;

const OURS: &str = "weft.local";

fn id(short: &str) -> SpiffeId {
    let (domain, path) = short.split_once('/').unwrap();
    let (namespace, account) = path.split_once('/').unwrap();
    SpiffeId::workload(&domain.parse().unwrap(), namespace, account).unwrap()
}

/// A source match, in words: `id:domain/namespace/account`, `ns:name`, `net:cidr`.
fn source(text: &str) -> SourceMatch {
    let mut from = SourceMatch::default();
    for word in text.split_whitespace() {
        match word.split_once(':').unwrap() {
            ("id", value) => from.identities.push(id(value)),
            ("ns", value) => from.namespaces.push(value.into()),
            (_, value) => from.cidrs.push(value.parse().unwrap()),
        }
    }
    from
}

/// An operation match, in words: `M:GET`, `=/exact`, `/prefix`, `~regex`, `h:name=value|value`, `h:name=~regex`; `+` is a
/// comma.
fn operation(text: &str) -> OperationMatch {
    let mut to = OperationMatch::default();
    for word in text.split_whitespace() {
        if let Some(method) = word.strip_prefix("M:") {
            to.methods.push(method.into());
        } else if let Some(pair) = word.strip_prefix("h:") {
            let (name, value) = pair.split_once('=').unwrap();
            let values = value.split('|').map(|value| match value.strip_prefix('~') {
                Some(regex) => StringMatch::Regex(Pattern::new(regex).unwrap()),
                None => StringMatch::Exact(value.replace('+', ",").into()),
            });
            to.headers.push(HeaderCondition { name: name.parse().unwrap(), values: values.collect() });
        } else if let Some(exact) = word.strip_prefix('=') {
            to.paths.push(PathPattern::Exact(exact.into()));
        } else if let Some(regex) = word.strip_prefix('~') {
            to.paths.push(PathPattern::Regex(Pattern::new(regex).unwrap()));
        } else {
            to.paths.push(PathPattern::Prefix(word.trim_end_matches('/').into()));
        }
    }
    to
}

/// A policy in one line: `name action: from, from -> to, to; …`, an action of `allow`, `deny`, `audit`, with `?` if
/// something in it is not understood.
fn policy(line: &str) -> Arc<AuthorizationPolicy> {
    let (head, rules) = line.split_once(':').unwrap();
    let (name, action) = head.split_once(' ').unwrap();
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    let rule = |text: &str| {
        let (from, to) = text.split_once("->").unwrap();
        AuthorizationRule {
            from: list(from).iter().map(|text| source(text)).collect(),
            to: list(to).iter().map(|text| operation(text)).collect(),
        }
    };
    Arc::new(AuthorizationPolicy {
        origin: ObjectRef::new(Kind::AuthorizationPolicy, "shop", name),
        action: match action.trim_end_matches('?') {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            _ => Action::Audit,
        },
        rules: rules.split(';').filter(|text| text.contains("->")).map(rule).collect(),
        not_understood: action.ends_with('?').then(|| "spec.rules[0].from[0].country".into()),
    })
}

fn port(mtls: MtlsMode, lines: &[&str]) -> PortPolicy {
    PortPolicy {
        mtls,
        mtls_origin: None,
        trust_domain: OURS.parse().unwrap(),
        policies: lines.iter().map(|line| policy(line)).collect(),
    }
}

/// A caller in words: `id:…` or nothing for plaintext, `at:10.0.0.1`, then `METHOD /path name=value` or nothing
/// for opaque bytes.
struct Call {
    identity: Option<SpiffeId>,
    addr: Option<IpAddr>,
    request: Option<(Method, String, HeaderMap)>,
}

impl Call {
    fn new(line: &str) -> Self {
        let mut call = Self { identity: None, addr: None, request: None };
        for word in line.split_whitespace() {
            if let Some(short) = word.strip_prefix("id:") {
                call.identity = Some(id(short));
            } else if let Some(addr) = word.strip_prefix("at:") {
                call.addr = Some(addr.parse().unwrap());
            } else if let Some((name, value)) = word.split_once('=') {
                let headers = &mut call.request.as_mut().unwrap().2;
                let value = HeaderValue::from_bytes(value.replace('_', " ").as_bytes());
                headers.append(name.parse::<HeaderName>().unwrap(), value.unwrap());
            } else if word.starts_with('/') {
                call.request.as_mut().unwrap().1 = word.to_owned();
            } else {
                call.request = Some((word.parse().unwrap(), "/".to_owned(), HeaderMap::new()));
            }
        }
        call
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            source: Source { identity: self.identity.as_ref(), addr: self.addr },
            destination: Destination::Addr(SocketAddr::from(([10, 0, 0, 9], 8080))),
            request: self.request.as_ref().map(|(method, path, headers)| Request {
                method,
                host: "api.shop",
                path,
                query: None,
                headers,
                grpc: false,
            }),
        }
    }
}

/// What became of it, in a word, with the policy that decided.
fn told(verdict: &Verdict<'_>) -> String {
    let by = verdict.by().map_or(String::new(), |by| format!(" {}", by.name));
    match verdict {
        Verdict::Allow { rule, .. } => format!("allow{by}/{rule}"),
        Verdict::AllowByDefault => "allow".into(),
        Verdict::Deny { rule: Some(rule), .. } => format!("deny{by}/{rule}"),
        Verdict::Deny { rule: None, .. } => format!("deny{by}/?"),
        Verdict::DenyByDefault { considered } => format!("deny, {considered} allow"),
        Verdict::DenyPlaintext { .. } => "plaintext".into(),
        Verdict::DenyForeign => "foreign".into(),
        Verdict::DenyAmbiguousPath { .. } => format!("ambiguous{by}"),
    }
}

const WEB: &str = "id:weft.local/shop/web at:10.1.0.1";

#[test]
fn the_default_posture_lets_the_trust_domain_call_and_plaintext_where_it_is_permitted() {
    use MtlsMode::{Permissive, Strict};
    for (mode, call, want) in [
        (Strict, WEB, "allow"),
        (Strict, "id:weft.local/other/x", "allow"),
        (Strict, "at:10.0.0.1", "plaintext"),
        (Strict, "id:evil.io/shop/web", "foreign"),
        (Permissive, "at:10.0.0.1", "allow"),
        (Permissive, "id:evil.io/shop/web", "foreign"),
    ] {
        assert_eq!(told(&authorize(&port(mode, &[]), &Call::new(call).facts())), want, "{mode:?} {call}");
    }
}

#[test]
fn policies_decide_by_row() {
    // (policies, a call, what becomes of it), plaintext permitted
    let table: &[(&[&str], &str, &str)] = &[
        // Deny wins, then allow; where an allow applies, one must match.
        (&["a allow: id:weft.local/shop/web ->"], WEB, "allow a/0"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weft.local/shop/cart", "deny, 1 allow"),
        (&["a allow: ->", "b deny: ns:shop ->"], WEB, "deny b/0"),
        (&["a allow: ns:x ->; ns:shop ->"], WEB, "allow a/1"),
        (&["a allow: ns:x ->", "b allow: ns:shop ->"], WEB, "allow b/0"),
        (&["a allow:"], WEB, "deny, 1 allow"), // no rules let nobody in
        (&["a deny:"], WEB, "allow"),
        (&["a audit: ->"], WEB, "allow"),
        // What is not understood denies, whatever it was meant to do.
        (&["a allow?: ->"], WEB, "deny a/?"),
        (&["a deny?: ns:x ->"], WEB, "deny a/?"),
        (&["a audit?: ->"], WEB, "deny a/?"),
        // Within a field any, across fields all.
        (&["a allow: ns:shop ns:x net:10.0.0.0/8 ->"], WEB, "allow a/0"),
        (&["a allow: ns:shop net:11.0.0.0/8 ->"], WEB, "deny, 1 allow"),
        (&["a allow: ns:x, ns:shop ->"], WEB, "allow a/0"),
        // Plaintext has no identity: no allow that asks for one, every deny that does.
        (&["a allow: ns:shop ->"], "at:10.0.0.1", "deny, 1 allow"),
        (&["a allow: net:10.0.0.0/8 ->"], "at:10.0.0.1", "allow a/0"),
        (&["a allow: ->"], "at:10.0.0.1", "allow a/0"),
        (&["a deny: id:weft.local/shop/cart ->"], "at:10.0.0.1", "deny a/0"),
        (&["a deny: ns:x ->"], "at:10.0.0.1", "deny a/0"),
        (&["a deny: net:10.0.0.0/8 ->"], "id:weft.local/shop/web", "deny a/0"), // no address
        // Another trust domain: only what names it lets it in, and its namespaces are not ours.
        (&["a allow: id:evil.io/shop/web ->"], "id:evil.io/shop/web", "allow a/0"),
        (&["a allow: ns:shop ->"], "id:evil.io/shop/web", "deny, 1 allow"),
        (&["a deny: ns:shop ->"], "id:evil.io/shop/web", "deny a/0"),
        // Catalogue row 47: parsed identities, compared exactly.
        (&["a allow: id:weft.local/shop/w.b ->"], WEB, "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weft.local/shop/web2", "deny, 1 allow"),
        (&["a allow: ns:sho ->"], WEB, "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weft.local/shop/wxb", "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/w.b ->"], "id:weft.local/shop/wxb", "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weftxlocal/shop/web", "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weft.local.evil.io/shop/web", "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:local/shop/web", "deny, 1 allow"),
        (&["a allow: id:weft.local/shop/web ->"], "id:weft.local/shop-x/web", "deny, 1 allow"),
        (&["a allow: ns:shop ->"], "id:weft.local/shop-x/web", "deny, 1 allow"),
        (&["a allow: ns:shop ->"], "id:weft.local/x/shop", "deny, 1 allow"),
        (&["a deny: id:weft.local/shop/web ->"], "id:weft.local/shop/web.x", "allow"),
        // Opaque bytes have no path: no allow that asks for one, every deny that does (row 48).
        (&["a allow: -> /admin"], WEB, "deny, 1 allow"),
        (&["a deny: -> /admin"], WEB, "deny a/0"),
        (&["a deny: -> M:DELETE"], WEB, "deny a/0"),
        (&["a deny: ns:x -> /admin"], WEB, "allow"),
        (&["a deny: -> h:role=admin"], WEB, "deny a/0"),
        (&["a allow: -> h:role=~.*"], WEB, "deny, 1 allow"),
        (&["a allow: -> M:GET"], WEB, "deny, 1 allow"),
        // Each missing for itself: a deny asks for all of them, and each is in doubt.
        (&["a deny: id:weft.local/x/y net:10.0.0.0/8 -> M:GET /a h:r=x"], "", "deny a/0"),
        (&["a allow: id:weft.local/x/y ns:x net:10.0.0.0/8 -> M:GET /a h:r=x"], "", "deny, 1 allow"),
        // What is known and does not fit settles it, whatever is missing besides.
        (&["a deny: id:weft.local/x/y net:10.0.0.0/8 ->"], "at:11.0.0.1", "allow"),
        (&["a deny: net:10.0.0.0/8 -> M:POST"], "at:10.0.0.1 GET /", "allow"),
        // Methods and paths.
        (&["a allow: -> M:GET M:HEAD /a"], "id:weft.local/shop/web HEAD /a/b", "allow a/0"),
        (&["a allow: -> M:GET"], "id:weft.local/shop/web get /", "deny, 1 allow"),
        (&["a deny: -> M:DELETE"], "id:weft.local/shop/web delete /", "deny a/0"),
        (&["a deny: -> M:DELETE"], "id:weft.local/shop/web GET /", "allow"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /admin", "deny a/0"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /admin/x", "deny a/0"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /administrator", "allow"),
        (&["a deny: -> =/admin"], "id:weft.local/shop/web GET /admin/", "allow"),
        (&["a deny: -> ~/v[0-9]+/keys"], "id:weft.local/shop/web GET /v12/keys", "deny a/0"),
        (&["a deny: -> ~/v[0-9]+"], "id:weft.local/shop/web GET /v12/keys", "allow"),
        // Row 45: what servers read in different ways is under every path of a deny and under none of an allow.
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /x%2Fy", "ambiguous a"),
        (&["a deny: -> =/admin"], "id:weft.local/shop/web GET /x//y", "ambiguous a"),
        (&["a deny: -> ~/admin"], "id:weft.local/shop/web GET /x;y", "ambiguous a"),
        (&["a deny: ns:ops -> /admin"], "id:weft.local/shop/web GET /x%2Fy", "allow"),
        (&["a deny: -> M:POST /admin"], "id:weft.local/shop/web GET /x%2Fy", "allow"),
        (&["a deny: -> /admin, M:GET"], "id:weft.local/shop/web GET /x%2Fy", "deny a/0"),
        (&["a deny: -> M:GET"], "id:weft.local/shop/web GET /x%2Fy", "deny a/0"),
        (&["a allow: -> /public"], "id:weft.local/shop/web GET /public/..%2Fadmin", "ambiguous a"),
        (&["a allow: -> ~.*"], "id:weft.local/shop/web GET /x%2Fy", "ambiguous a"),
        (&["a allow: -> M:GET"], "id:weft.local/shop/web GET /x%2Fy", "allow a/0"),
        (&["a allow: -> M:POST"], "id:weft.local/shop/web GET /x%2Fy", "deny, 1 allow"),
        (&["a allow: -> /public", "b allow: ns:shop ->"], "id:weft.local/shop/web GET /x%2Fy", "allow b/0"),
        (&["a audit: -> /public"], "id:weft.local/shop/web GET /x%2Fy", "allow"),
        (&[], "id:weft.local/shop/web GET /x%2Fy", "allow"),
        // An escape is the character it stands for, in the path and in the policy.
        (&["a deny: -> =/joe@x"], "id:weft.local/shop/web GET /joe%40x", "deny a/0"),
        (&["a deny: -> =/joe%40x"], "id:weft.local/shop/web GET /joe@x", "deny a/0"),
        (&["a deny: -> /joe@x"], "id:weft.local/shop/web GET /joe%40x/y", "deny a/0"),
        (&["a allow: -> =/caf%C3%A9"], "id:weft.local/shop/web GET /caf%C3%A9", "allow a/0"),
        (&["a allow: -> =/café"], "id:weft.local/shop/web GET /caf%C3%A9", "allow a/0"),
        (&["a deny: -> ~/joe@x"], "id:weft.local/shop/web GET /joe%40x", "deny a/0"),
        (&["a deny: -> ~/[^@]+"], "id:weft.local/shop/web GET /joe%40x", "deny a/0"),
        (&["a allow: -> ~/[^@]+"], "id:weft.local/shop/web GET /joe%40x", "deny, 1 allow"),
        (&["a allow: -> ~/[a-z%0-9]+"], "id:weft.local/shop/web GET /joe%40x", "allow a/0"),
        // Row 46: a deny matches if any value does, an allow only if all do.
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=user role=admin", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=user,_admin", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / Role=admin", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=Admin", "allow"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=é", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET /", "allow"), // it has no value
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user role=admin", "deny, 1 allow"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user,admin", "deny, 1 allow"),
        (&["a allow: -> h:role=~user.*"], "id:weft.local/shop/web GET / role=user,admin", "deny, 1 allow"),
        (
            &["a allow: -> h:role=user|dev"],
            "id:weft.local/shop/web GET / role=user,_dev role=dev",
            "allow a/0",
        ),
        (&["a allow: -> h:role=user+dev"], "id:weft.local/shop/web GET / role=user,dev", "allow a/0"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=é", "deny, 1 allow"),
        (&["a allow: -> h:role=~.*"], "id:weft.local/shop/web GET /", "deny, 1 allow"),
        (
            &["a deny: -> h:role=admin"],
            "id:weft.local/shop/web GET / role=user role=user,_x,admin_",
            "deny a/0",
        ),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=,admin", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=user role=\u{fe}", "deny a/0"),
        (&["a deny: -> h:role=~.*dm.*"], "id:weft.local/shop/web GET / role=user,admin", "deny a/0"),
        (&["a deny: -> h:role=user+admin"], "id:weft.local/shop/web GET / role=user,admin", "deny a/0"),
        (&["a deny: -> h:role=admin"], "id:weft.local/shop/web GET / role=administrator", "allow"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user,", "deny, 1 allow"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user role=", "deny, 1 allow"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user role=user", "allow a/0"),
        (&["a allow: -> h:role=user"], "id:weft.local/shop/web GET / role=user role=\u{fe}", "deny, 1 allow"),
        (&["a allow: -> h:role=~.*"], "id:weft.local/shop/web GET / role=\u{fe}", "deny, 1 allow"),
        (&["a allow: -> h:a=1 h:b=2"], "id:weft.local/shop/web GET / a=1", "deny, 1 allow"),
        // IPv4 in its IPv6 form is the same address.
        (&["a deny: net:10.0.0.0/8 ->"], "id:weft.local/shop/web at:::ffff:10.0.0.1", "deny a/0"),
        (&["a deny: net:::ffff:10.0.0.0/104 ->"], WEB, "deny a/0"),
        (&["a deny: net:fd00::/8 ->"], WEB, "allow"),
    ];
    for (policies, call, want) in table {
        let port = port(MtlsMode::Permissive, policies);
        assert_eq!(told(&authorize(&port, &Call::new(call).facts())), *want, "{policies:?} {call}");
    }
}

#[test]
fn strict_is_strict_whatever_allows() {
    let port = port(MtlsMode::Strict, &["a allow: net:0.0.0.0/0 ->", "b allow: ->"]);
    let verdict = authorize(&port, &Call::new("at:10.0.0.1 GET /").facts());
    assert_eq!((told(&verdict), verdict.refusal()), ("plaintext".into(), Some(Refusal::PlaintextDenied)));
}

#[test]
fn audits_show_what_the_same_rule_would_deny() {
    let rules = "ns:shop -> /admin; -> h:role=admin";
    let audited =
        port(MtlsMode::Permissive, &[&format!("a audit: {rules}"), "b audit: ns:x ->", "c deny: ns:y ->"]);
    let denied = port(MtlsMode::Permissive, &[&format!("a deny: {rules}")]);
    for call in
        [WEB, "at:10.0.0.1 GET /admin", "id:weft.local/shop/web GET /", "at:10.0.0.1 GET / role=admin"]
    {
        let call = Call::new(call);
        let found = audits(&audited, &call.facts()).find(|(by, _)| &*by.name == "a").map(|(_, rule)| rule);
        let would = match authorize(&denied, &call.facts()) {
            Verdict::Deny { rule, .. } => rule,
            _ => None,
        };
        assert_eq!(found, would);
    }
}

#[test]
fn the_narrowest_mode_wins_and_silence_is_strict() {
    use MtlsMode::{Permissive, Strict};
    let table = [
        ([None, None, None, None], Strict),
        ([Some(Permissive), None, None, None], Permissive),
        ([Some(Permissive), Some(Strict), None, None], Strict),
        ([Some(Strict), None, Some(Permissive), None], Permissive),
        ([Some(Permissive), Some(Permissive), Some(Permissive), Some(Strict)], Strict),
    ];
    for (levels, want) in table {
        assert_eq!(MtlsMode::narrowest(levels), want, "{levels:?}");
    }
    assert_eq!(Permissive.strictest(Strict), Strict);
    assert_eq!(Permissive.strictest(Permissive), Permissive);
}
