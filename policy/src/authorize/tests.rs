//! Who may call: tables, and laws over generated policies, among them that a second evaluator, written the other
//! way round, agrees.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::facts::{Destination, Request, Source};
use crate::object::Kind;
use crate::route::path::{Pattern, has_prefix};

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
        // Opaque bytes have no path: no allow that asks for one, every deny that does (row 48).
        (&["a allow: -> /admin"], WEB, "deny, 1 allow"),
        (&["a deny: -> /admin"], WEB, "deny a/0"),
        (&["a deny: -> M:DELETE"], WEB, "deny a/0"),
        (&["a deny: ns:x -> /admin"], WEB, "allow"),
        // Methods and paths.
        (&["a allow: -> M:GET M:HEAD /a"], "id:weft.local/shop/web HEAD /a/b", "allow a/0"),
        (&["a allow: -> M:GET"], "id:weft.local/shop/web get /", "deny, 1 allow"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /admin", "deny a/0"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /admin/x", "deny a/0"),
        (&["a deny: -> /admin"], "id:weft.local/shop/web GET /administrator", "allow"),
        (&["a deny: -> =/admin"], "id:weft.local/shop/web GET /admin/", "allow"),
        (&["a deny: -> ~/v[0-9]+/keys"], "id:weft.local/shop/web GET /v12/keys", "deny a/0"),
        (&["a deny: -> ~/v[0-9]+"], "id:weft.local/shop/web GET /v12/keys", "allow"),
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

/// The second evaluator: answers every question with yes, no or "cannot say" first, and takes sides only at the
/// end.
mod naive {
    use super::*;

    type Answer = Option<bool>;

    fn all(answers: impl IntoIterator<Item = Answer>) -> Answer {
        let answers: Vec<Answer> = answers.into_iter().collect();
        if answers.contains(&Some(false)) {
            Some(false)
        } else {
            answers.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
        }
    }

    fn any(answers: impl IntoIterator<Item = Answer>) -> Answer {
        all(answers.into_iter().map(|answer| answer.map(|yes| !yes))).map(|none| !none)
    }

    fn field<T>(wanted: &[T], ask: impl Fn(&T) -> Answer) -> Answer {
        if wanted.is_empty() { Some(true) } else { any(wanted.iter().map(ask)) }
    }

    fn from(wanted: &SourceMatch, call: &Call) -> Answer {
        all([
            field(&wanted.identities, |id| call.identity.as_ref().map(|is| is.as_str() == id.as_str())),
            field(&wanted.namespaces, |name| {
                let identity = call.identity.as_ref()?;
                let same = identity.as_str().split('/').nth(4)? == &**name;
                // The same name elsewhere: cannot say.
                if same && identity.trust_domain() != OURS { None } else { Some(same) }
            }),
            field(&wanted.cidrs, |net| {
                let addr = match call.addr? {
                    IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
                    v4 => v4,
                };
                Some(net.contains(&addr))
            }),
        ])
    }

    fn header(wanted: &HeaderCondition, headers: &HeaderMap) -> Answer {
        let lines: Vec<&HeaderValue> = headers.get_all(&wanted.name).iter().collect();
        if lines.is_empty() {
            return Some(false);
        }
        let good = |value: &str| wanted.values.iter().any(|wanted| wanted.matches(value));
        let exactly = |value: &str| {
            wanted
                .values
                .iter()
                .any(|wanted| matches!(wanted, StringMatch::Exact(exact) if &**exact == value))
        };
        let of_line = |line: &&HeaderValue| {
            let Ok(line) = line.to_str() else { return None };
            let values: Vec<&str> = line.split(',').map(str::trim).collect();
            if exactly(line) || values.iter().all(|value| good(value)) {
                Some(true)
            } else if good(line) || values.iter().any(|value| good(value)) {
                None
            } else {
                Some(false)
            }
        };
        let answers: Vec<Answer> = lines.iter().map(of_line).collect();
        match (answers.iter().all(|answer| *answer == Some(true)), answers.iter().all(|a| *a == Some(false)))
        {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None, // some values do, some do not
        }
    }

    fn to(wanted: &OperationMatch, call: &Call) -> Answer {
        let Some((method, path, headers)) = &call.request else {
            let nothing = wanted.methods.is_empty() && wanted.paths.is_empty() && wanted.headers.is_empty();
            return nothing.then_some(true);
        };
        let of_path = |pattern: &PathPattern| {
            Some(match pattern {
                PathPattern::Exact(exact) => **exact == **path,
                PathPattern::Prefix(prefix) => has_prefix(path, prefix),
                PathPattern::Regex(regex) => regex.matches(path),
            })
        };
        all([
            field(&wanted.methods, |name| Some(**name == *method.as_str())),
            field(&wanted.paths, of_path),
            all(wanted.headers.iter().map(|wanted| header(wanted, headers))),
        ])
    }

    fn answer(policy: &AuthorizationPolicy, call: &Call) -> Answer {
        any(policy.rules.iter().map(|rule| {
            all([field(&rule.from, |wanted| from(wanted, call)), field(&rule.to, |wanted| to(wanted, call))])
        }))
    }

    pub(super) fn allows(port: &PortPolicy, call: &Call) -> bool {
        let of = |action| port.policies.iter().filter(move |policy| policy.action == action);
        if call.identity.is_none() && port.mtls == MtlsMode::Strict {
            return false;
        }
        if port.policies.iter().any(|policy| policy.not_understood.is_some()) {
            return false;
        }
        if of(Action::Deny).any(|policy| answer(policy, call) != Some(false)) {
            return false;
        }
        if of(Action::Allow).count() > 0 {
            return of(Action::Allow).any(|policy| answer(policy, call) == Some(true));
        }
        call.identity.as_ref().is_none_or(|identity| identity.trust_domain() == OURS)
    }
}

fn words(from: &'static [&'static str], up_to: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(from), 0..=up_to).prop_map(|words| words.join(" "))
}

fn a_policy() -> impl Strategy<Value = String> {
    let from = words(
        &[
            "id:weft.local/shop/web",
            "id:weft.local/shop/cart",
            "id:evil.io/shop/web",
            "ns:shop",
            "ns:ops",
            "net:10.0.0.0/8",
            "net:fd00::/8",
        ],
        2,
    );
    let to =
        words(&["M:GET", "M:POST", "/a", "=/a/b", "~/a.*", "h:r=x", "h:r=~x.*", "h:r=x|y", "h:s=x+y"], 3);
    let list =
        |item: BoxedStrategy<String>| prop::collection::vec(item, 0..3).prop_map(|items| items.join(","));
    let rule = (list(from.boxed()), list(to.boxed())).prop_map(|(from, to)| format!("{from}->{to}"));
    let action = prop::sample::select(vec!["allow", "allow", "allow", "deny", "deny", "audit", "allow?"]);
    (action, prop::collection::vec(rule, 0..3), 0..100)
        .prop_map(|(action, rules, n)| format!("p{n} {action}:{}", rules.join(";")))
}

fn a_call() -> impl Strategy<Value = String> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let identity = word(&[
        "",
        "id:weft.local/shop/web",
        "id:weft.local/shop/cart",
        "id:weft.local/ops/web",
        "id:evil.io/shop/web",
    ]);
    let addr = word(&["", "at:10.0.0.1", "at:::ffff:10.0.0.1", "at:fd00::1", "at:192.0.2.1"]);
    let request = (
        word(&["GET", "POST"]),
        word(&["/", "/a", "/a/b", "/ab"]),
        words(&["r=x", "r=y", "r=x,y", "r=x,_z", "r=é", "s=x", "s=x,y", "R=xx"], 2),
    )
        .prop_map(|(method, path, headers)| format!("{method} {path} {headers}"));
    (identity, addr, prop_oneof![1 => Just(String::new()), 3 => request])
        .prop_map(|(identity, addr, request)| format!("{identity} {addr} {request}"))
}

fn a_port() -> impl Strategy<Value = PortPolicy> {
    let mode = prop::sample::select(vec![MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Permissive]);
    (mode, prop::collection::vec(a_policy(), 0..4))
        .prop_map(|(mode, lines)| port(mode, &lines.iter().map(String::as_str).collect::<Vec<_>>()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_second_evaluator_agrees(port in a_port(), calls in prop::collection::vec(a_call(), 4..8)) {
        for line in calls {
            let call = Call::new(&line);
            let verdict = authorize(&port, &call.facts());
            prop_assert_eq!(verdict.is_allowed(), naive::allows(&port, &call), "{} {:?}", line, verdict);
            prop_assert_eq!(verdict.refusal().is_none(), verdict.is_allowed());
        }
    }

    #[test]
    fn adding_a_deny_never_allows_and_dropping_one_never_denies(
        port in a_port(), more in a_policy(), at in any::<prop::sample::Index>(), call in a_call(),
    ) {
        let call = Call::new(&call);
        let before = authorize(&port, &call.facts()).is_allowed();
        let mut added = port.clone();
        let mut deny = (*policy(&more)).clone();
        deny.action = Action::Deny;
        added.policies.insert(at.index(port.policies.len() + 1), Arc::new(deny));
        let after = authorize(&added, &call.facts()).is_allowed();
        prop_assert!(before || !after);
    }

    #[test]
    fn adding_a_rule_to_an_allow_never_denies_and_to_a_deny_never_allows(
        port in a_port(), more in a_policy(), at in any::<prop::sample::Index>(), call in a_call(),
    ) {
        if port.policies.is_empty() {
            return Ok(());
        }
        let call = Call::new(&call);
        let before = authorize(&port, &call.facts()).is_allowed();
        let mut wider = port.clone();
        let at = at.index(port.policies.len());
        let mut changed = (*wider.policies[at]).clone();
        changed.rules.extend(policy(&more).rules.iter().cloned());
        let action = changed.action;
        wider.policies[at] = Arc::new(changed);
        let after = authorize(&wider, &call.facts()).is_allowed();
        match action {
            Action::Allow => prop_assert!(after || !before),
            Action::Deny => prop_assert!(before || !after),
            Action::Audit => prop_assert_eq!(before, after, "an audit changes nothing"),
        }
    }

    #[test]
    fn the_order_of_policies_does_not_matter(port in a_port(), by in any::<prop::sample::Index>(), call in a_call()) {
        if port.policies.is_empty() {
            return Ok(());
        }
        let call = Call::new(&call);
        let mut turned = port.clone();
        turned.policies.rotate_left(by.index(port.policies.len()));
        let (one, other) = (authorize(&port, &call.facts()), authorize(&turned, &call.facts()));
        prop_assert_eq!(one.is_allowed(), other.is_allowed());
    }

    #[test]
    fn strict_never_lets_in_what_permissive_keeps_out(port in a_port(), call in a_call()) {
        let call = Call::new(&call);
        let with = |mtls| authorize(&PortPolicy { mtls, ..port.clone() }, &call.facts()).is_allowed();
        prop_assert!(with(MtlsMode::Permissive) || !with(MtlsMode::Strict));
    }
}
