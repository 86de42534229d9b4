//! A trace over three hops, web → a → b → c, of applications that only pass on what they were told; as a receiver by other
//! people's library decodes it. `tests/it/tracing.rs` has what a span says, and what is not kept.

use std::collections::BTreeMap;

use serde_json::Value;
use weft_tests::eventually::eventually;

use crate::lab::{BRIDGE, Family, Lab, Plan, Port, Way, program_file};

const HOSTS: &[(&str, &[Port])] = &[
    ("web", &[]),
    ("a", &[Port("a", 80, 8080, Some("http"))]),
    ("b", &[Port("b", 80, 8080, Some("http"))]),
    ("c", &[Port("c", 80, 8080, None)]),
];
/// Nothing is kept but what the caller has decided to keep.
const SETTINGS: &[(&str, &str)] = &[("WEFT_OTLP", "http://HUB:4317"), ("WEFT_TRACE_SHARE", "0")];
type Fields = Vec<(&'static str, &'static str)>;
const SPAN: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn a_trace_over_three_hops_is_one_line_from_the_client_to_the_last_in_w3c_and_in_b3() {
    for family in Family::BOTH {
        let needs = &["python:grpc", "python:opentelemetry.proto.trace.v1.trace_pb2"];
        let plan = Plan::pair("traces", needs, HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(Plan { settings: SETTINGS, ..plan }).await else { return };
        lab.start(BRIDGE, "otlp", &format!("PYTHON {} HUB:4317", program_file("otlp.py")));
        for (host, next) in [("a", "http://b.shop.mesh"), ("b", "http://c.shop.mesh"), ("c", "")] {
            let name = ["hop-a", "hop-b", "hop-c"].into_iter().find(|name| name.ends_with(host)).unwrap();
            lab.start(host, name, &format!("PYTHON {} 8080 {next}", program_file("hop.py")));
            lab.listens(host, 8080).await;
        }
        for (nth, way) in [Way::ByName, Way::HttpProxy].into_iter().enumerate() {
            if way == Way::HttpProxy {
                // Nobody is redirected any more, nor is anything that comes to them.
                HOSTS.iter().for_each(|(host, _)| lab.clear(host));
            }
            for (word, (said, heard)) in words().into_iter().enumerate() {
                traced(&lab, way, &format!("7{nth}{word}"), &said, &heard).await;
            }
        }
    }
}

/// What the client says and what the last application hears: `T` is the trace, `S` the span that it was caused by, `P` that
/// one's parent.
fn words() -> Vec<(Vec<String>, Fields)> {
    let of = |lines: &[&str]| lines.iter().map(|line| line.replace('S', SPAN)).collect::<Vec<_>>();
    vec![
        (
            of(&["traceparent: 00-T-S-01", "tracestate: a=b"]),
            vec![("traceparent", "00-T-S-01"), ("tracestate", "a=b")],
        ),
        (of(&["b3: T-S-1"]), vec![("b3", "T-S-1-P")]),
        (
            of(&["x-b3-traceid: T", "x-b3-spanid: S", "x-b3-sampled: 1"]),
            vec![
                ("x-b3-traceid", "T"),
                ("x-b3-spanid", "S"),
                ("x-b3-parentspanid", "P"),
                ("x-b3-sampled", "1"),
            ],
        ),
    ]
}

async fn traced(lab: &Lab, way: Way, number: &str, said: &[String], heard: &[(&str, &str)]) {
    let trace = format!("{number:0>32}").replacen('0', "a", 1);
    let headers: String =
        said.iter().map(|line| format!(" --header '{}'", line.replace('T', &trace))).collect();
    let path = if way == Way::HttpProxy { "proxy" } else { "" };
    let line = lab.placed(
        "a",
        way,
        &format!("curl --silent --show-error --max-time 20{headers} http://a.shop.mesh/{path}"),
    );
    let got: BTreeMap<String, String> = read(&lab.said("web", &line));
    let spans = eventually(format!("six spans of {trace} are told: {line}\n{}", lab.told()), async || {
        let text = std::fs::read_to_string(lab.path("otlp.said")).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let of_it = |span: &Value| span["trace"] == *trace;
        let spans: Vec<Value> =
            whole.lines().map(|line| serde_json::from_str(line).unwrap()).filter(of_it).collect();
        (spans.len() == 6).then_some(spans)
    })
    .await;
    let chain = chain(spans);
    let sides: Vec<_> =
        chain.iter().map(|span| format!("{} {}", span["service"], span["kind"]).replace('"', "")).collect();
    let (client, server) = ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER");
    let wanted = [("web", client), ("a", server), ("a", client), ("b", server), ("b", client), ("c", server)];
    assert_eq!(sides, wanted.map(|(host, kind)| format!("shop/{host}-1 {kind}")), "{way:?} {said:?}");
    let id = |nth: usize| chain[nth]["id"].as_str().unwrap();
    let whole = |text: &str| text.replace('T', &trace).replace('S', id(5)).replace('P', id(4));
    let wanted = heard.iter().map(|(name, value)| ((*name).to_owned(), whole(value))).collect();
    assert_eq!(got, wanted, "{way:?} {said:?}");
}

fn read(answer: &str) -> BTreeMap<String, String> {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// In the order of cause and effect, from the client's own span: each is a child of the one before.
fn chain(mut spans: Vec<Value>) -> Vec<Value> {
    let mut chain: Vec<Value> = Vec::new();
    while !spans.is_empty() {
        let parent = chain.last().map_or(SPAN, |last| last["id"].as_str().unwrap());
        let next = spans.iter().position(|span| span["parent"] == *parent);
        let next =
            next.unwrap_or_else(|| panic!("nobody is a child of {parent}: {spans:#?}, after {chain:#?}"));
        chain.push(spans.swap_remove(next));
    }
    chain
}
