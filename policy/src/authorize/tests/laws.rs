//! Laws over generated policies and calls, among them that a second evaluator, written the other way round,
//! agrees.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::route::path::has_prefix;

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
        let decoded = path.replace("%40", "@").replace("%20", " ");
        let of_path = |pattern: &PathPattern| match pattern {
            _ if [";", "//", "%2F", "%252e"].iter().any(|odd| path.contains(odd)) => None,
            PathPattern::Exact(exact) => Some(**exact == decoded),
            PathPattern::Prefix(prefix) => Some(has_prefix(&decoded, prefix)),
            PathPattern::Regex(regex) => {
                (regex.matches(path) == regex.matches(&decoded)).then(|| regex.matches(path))
            }
        };
        all([
            field(&wanted.methods, |name| {
                // The same in another case: cannot say.
                let alike = name.to_uppercase() == method.as_str().to_uppercase();
                (!alike || **name == *method.as_str()).then_some(alike)
            }),
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
    let to = words(
        &[
            "M:GET",
            "M:POST",
            "/a",
            "=/a/b",
            "=/a@",
            "~/a.*",
            "~/[a-z@]*",
            "h:r=x",
            "h:r=~x.*",
            "h:r=x|y",
            "h:s=x+y",
        ],
        3,
    );
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
        word(&["GET", "POST", "get"]),
        word(&["/", "/a", "/a/b", "/ab", "/a@", "/a%40", "/a%40/b", "/a%2Fb", "/a;b", "/a//b", "/a/%252e"]),
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

#[test]
fn a_second_evaluator_agrees() {
    let calls = prop::collection::vec(a_call(), 4..8);
    let [pairs, allowed] = [(); 2].map(|()| Cell::new(0_usize));
    let agrees = |(port, calls): (PortPolicy, Vec<String>)| {
        for line in calls {
            let call = Call::new(&line);
            let verdict = authorize(&port, &call.facts());
            prop_assert_eq!(verdict.is_allowed(), naive::allows(&port, &call), "{} {:?}", line, verdict);
            prop_assert_eq!(verdict.refusal().is_none(), verdict.is_allowed());
            let ambiguous = call.request.as_ref().is_some_and(|(_, path, _)| canonical::is_ambiguous(path));
            let said = matches!(verdict, Verdict::DenyAmbiguousPath { .. });
            prop_assert!(ambiguous || !said, "{} {:?}", line, verdict);
            pairs.set(pairs.get() + 1);
            allowed.set(allowed.get() + usize::from(verdict.is_allowed()));
        }
        Ok(())
    };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(5000));
    runner.run(&(a_port(), calls), agrees).unwrap_or_else(|failure| panic!("{failure}"));
    let (pairs, allowed) = (pairs.get(), allowed.get());
    assert!(
        pairs / 10 < allowed && allowed < pairs / 10 * 9,
        "{allowed} of {pairs} are allowed: too few of a kind"
    );
    let ours = format!("{pairs} pairs of policies and calls ({allowed} allowed), 0 differences");
    println!("scorecard: {{\"row\":8,\"ours\":\"{ours}\",\"pass\":true}}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

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
