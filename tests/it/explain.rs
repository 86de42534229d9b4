//! What `explain` says of a request is what the proxies did with it: a thousand requests by two callers, each
//! explained with the draw that the caller's proxy wrote down, and compared with what both proxies recorded of that
//! very request.

mod asked;
mod told;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value as Json;
use weft_policy::draw::Draw;
use weft_tests::program;

use crate::shop::Shop;
use asked::{Asked, RULES};
use told::{Done, Judged, Told};

/// One line of each log, by the trace that ties them together.
fn by_trace(lines: Vec<Json>) -> BTreeMap<String, Json> {
    let count = lines.len();
    let by_trace: BTreeMap<_, _> =
        lines.into_iter().map(|line| (line["trace_id"].as_str().unwrap().to_owned(), line)).collect();
    assert_eq!(by_trace.len(), count, "no request is recorded twice");
    by_trace
}

/// The shop, a second caller, and what came of a thousand requests: each with the line of its caller's proxy.
struct Recorded {
    shop: Shop,
    requests: Vec<(Asked, Json)>,
    /// What the proxies of the endpoints wrote.
    arrived: BTreeMap<String, Json>,
}

impl Recorded {
    async fn of(count: usize) -> Self {
        let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], RULES).await;
        let batch = shop.mesh.beside("shop/batch").start().await;
        let mut dice = Draw::from_seed(20_260_101);
        let asked: Vec<Asked> = (0..count).map(|number| Asked::generate(number, &mut dice)).collect();
        for asked in &asked {
            let sidecar = if asked.caller == "shop/batch" { &batch } else { &shop.web };
            sidecar.send(asked.request()).await;
        }
        let outbound = |line: &Json| line["direction"] == "outbound";
        let by_batch = asked.iter().filter(|asked| asked.caller == "shop/batch").count();
        let mut left = shop.web.logged(count - by_batch, outbound).await;
        left.extend(batch.logged(by_batch, outbound).await);
        let mut left = by_trace(left);
        let requests: Vec<_> = asked
            .into_iter()
            .map(|asked| {
                let line = left.remove(&asked.trace).unwrap_or_else(|| panic!("{asked:?} is not recorded"));
                (asked, line)
            })
            .collect();
        assert!(left.is_empty(), "recorded, but asked by nobody: {left:#?}");
        let sent = |sidecar: usize| {
            let addr = shop.servers[sidecar].inbound.to_string();
            requests.iter().filter(|(_, line)| line["endpoint"] == addr.as_str()).count()
        };
        let mut arrived = Vec::new();
        for (nth, server) in shop.servers.iter().enumerate() {
            arrived.extend(server.logged(sent(nth), |line| line["direction"] == "inbound").await);
        }
        let arrived = by_trace(arrived);
        Self { shop, requests, arrived }
    }

    async fn told(&self, caller: &str, host: &str) -> Told {
        Told::read(&self.shop.mesh.operator().explain(caller, host, 80).await.unwrap())
    }
}

fn draw(line: &Json) -> u64 {
    u64::from_str_radix(line["draw"].as_str().unwrap(), 16).unwrap()
}

#[tokio::test]
async fn a_thousand_explanations_are_what_both_proxies_recorded_of_those_very_requests() {
    let recorded = Recorded::of(1000).await;
    let mut told = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut judged = 0;
    for (asked, line) in &recorded.requests {
        assert_eq!((&line["method"], &line["path"]), (&asked.method.as_str().into(), &asked.path.into()));
        let told: &Told = match told.entry((asked.caller, asked.host)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(recorded.told(asked.caller, asked.host).await),
        };
        let (explained, at_endpoint) = told.explain(asked, draw(line));
        assert_eq!(explained, Done::recorded(line), "{asked:#?}\n{line:#}");
        // What the endpoint's proxy made of it, and because of which policy; nothing, where it never got there.
        let arrived = recorded.arrived.get(&asked.trace);
        assert_eq!(at_endpoint, arrived.map(Judged::recorded), "{asked:#?}\n{line:#}\n{arrived:#?}");
        judged += usize::from(at_endpoint.is_some());
        let by = at_endpoint.and_then(|judged| judged.policy).unwrap_or_default();
        *kinds.entry(format!("{} {by}", explained.status.unwrap())).or_default() += 1;
    }
    assert_eq!(judged, recorded.arrived.len(), "whatever arrived was explained to arrive");
    // Every kind of answer was among them, so that the comparison is of something.
    for kind in [
        "200 ",
        "200 AuthorizationPolicy shop/reads",
        "302 ",
        "400 ",
        "400 AuthorizationPolicy shop/no-secrets",
        "403 ",
        "403 AuthorizationPolicy shop/no-batch",
        "403 AuthorizationPolicy shop/no-secrets",
        "404 ",
        "500 ",
    ] {
        assert!(kinds.contains_key(kind), "{kind:?} is not in {kinds:#?}");
    }
}

#[tokio::test]
async fn meshctl_says_of_a_request_what_the_proxies_did_with_it() {
    let Some(meshctl) = program::ours("meshctl", "explanations of meshctl") else { return };
    let recorded = Recorded::of(100).await;
    let state = recorded.shop.mesh.scratch().join("state");
    for (asked, line) in &recorded.requests {
        let mut command = tokio::process::Command::new(&meshctl);
        command.arg("--state-dir").arg(&state).args(["-o", "json", "explain"]);
        command.args(["--from", asked.caller, "--to", asked.host, "--draw", line["draw"].as_str().unwrap()]);
        command.args([asked.method.as_str(), &asked.path_and_query()]);
        for (name, value) in &asked.headers {
            command.args(["-H", &format!("{name}:{}", value.to_str().unwrap())]);
        }
        let output = command.output().await.unwrap();
        let said: Json = match serde_json::from_slice(&output.stdout) {
            Ok(said) => said,
            // A path that is none is refused by a sentence.
            Err(_) => {
                assert_eq!((&line["status"], &line["refusal"]), (&400.into(), &"bad_request".into()));
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(text.contains("400"), "{asked:?}: {text}");
                continue;
            }
        };
        let arrived = recorded.arrived.get(&asked.trace);
        let refusal = [arrived, Some(line)].into_iter().flatten().find_map(|line| line["refusal"].as_str());
        assert_eq!(said["refusal"]["error"].as_str(), refusal, "{asked:#?}\n{line:#}\n{said:#}");
        assert_eq!(said["delivered"], refusal.is_none(), "{said:#}");
        assert_eq!(output.status.code(), Some(i32::from(refusal.is_some())), "1 says: a problem was found");
        if said["to"].is_object() {
            assert_eq!(
                (&said["to"]["backend"], &said["to"]["address"]),
                (&line["backend"], &line["endpoint"])
            );
        }
        if let Some(route) = line["route"].as_str() {
            let steps = said["outbound"].as_array().unwrap();
            assert!(steps.iter().any(|step| step["object"] == route), "{route}: {said:#}");
        }
        if let Some(policy) = arrived.and_then(|line| line["policy"].as_str()) {
            let steps = said["inbound"].as_array().unwrap();
            assert!(steps.iter().any(|step| step["outcome"].as_str().unwrap().contains(policy)), "{said:#}");
        }
    }
}

#[tokio::test]
async fn a_denied_request_is_recorded_with_its_policy_by_the_proxy_that_denied_it() {
    let shop = Shop::open_with(&["api-v1-1"], RULES).await;
    let reply = shop.get("/cart/secret/x").await;
    assert!(reply.status == 403 || reply.refusal() == "no_endpoint", "{reply:?}");
    let reply = shop.web.get("http://api-v1/cart/secret/x").await;
    assert_eq!(reply.header("weft-error"), "denied; AuthorizationPolicy shop/no-secrets");
    let lines = shop.servers[0].logged(1, |line| line["path"] == "/cart/secret/x").await;
    let line = lines.last().unwrap();
    assert_eq!((&line["refusal"], &line["status"]), (&"denied".into(), &403.into()), "{line}");
    assert_eq!(line["policy"], "AuthorizationPolicy shop/no-secrets");
}
