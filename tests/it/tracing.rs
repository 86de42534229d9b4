//! Spans as a real OTLP receiver decodes them: over three sidecars and an application between them, in the words of
//! the caller.

use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use weft_tests::call;
use weft_tests::collector::{Collector, Span};
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};
use weft_tests::sidecar::Sidecar;

/// web → front → back, each with a sidecar. `front` passes on what it was told of the trace, as an application does
/// that makes no spans of its own.
struct Chain {
    _mesh: Mesh,
    collector: Collector,
    web: Sidecar,
    _front: (Origin, Sidecar),
    back: (Origin, Sidecar),
}

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop},
 spec: {selector: {app: front}, ports: [{port: 80, targetPort: http, appProtocol: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: back, namespace: shop},
 spec: {selector: {app: back}, ports: [{port: 80, targetPort: http, appProtocol: http}]}}
";

const HEADERS: [&str; 8] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];

impl Chain {
    /// `share` of the traces that begin here are kept.
    async fn forge(share: &str) -> Self {
        let mesh = Mesh::start(SERVICES).await;
        let collector = Collector::start().await;
        let beside = |workload: &str| {
            mesh.beside(workload).set("WEFT_OTLP", &collector.url()).set("WEFT_TRACE_SHARE", share)
        };
        let (front, back) = (Origin::start("front").await, Origin::start("back").await);
        let front_sidecar = beside("shop/front-1").http(front.addr).start().await;
        let back_sidecar = beside("shop/back-1").http(back.addr).start().await;
        let web = beside("shop/web").start().await;
        front.always(Answer::Ask {
            proxy: front_sidecar.outbound,
            url: "http://back/deep".to_owned(),
            passing: HEADERS.to_vec(),
        });
        mesh.serves("shop/front", 80, 1).await;
        mesh.serves("shop/back", 80, 1).await;
        let (front, back) = ((front, front_sidecar), (back, back_sidecar));
        Self { _mesh: mesh, collector, web, _front: front, back }
    }

    /// Calls `front` with these headers; what `back` saw of them.
    async fn call(&self, headers: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        let request = call::request(Method::GET, "http://front/shallow", "");
        let add = |request, (name, value): &(&'static str, String)| call::with(request, name, value);
        let reply = self.web.send(headers.iter().fold(request, add)).await;
        assert_eq!((reply.status.as_u16(), reply.origin().as_str()), (200, "back"), "{reply:?}");
        let seen = self.back.0.seen().pop().unwrap().headers;
        let value = |name| Some((name, seen.get(name)?.to_str().ok()?.to_owned()));
        HEADERS.into_iter().filter_map(value).collect()
    }
}

/// The spans in the order of cause and effect, from the one whose parent is `root`; each is a child of the one before.
fn line(mut spans: Vec<Span>, root: &str) -> Vec<Span> {
    let mut line: Vec<Span> = Vec::new();
    while !spans.is_empty() {
        let parent = line.last().map_or(root, |last| &last.id);
        let next = spans.iter().position(|span| span.parent == parent);
        let next =
            next.unwrap_or_else(|| panic!("nobody is a child of {parent:?}: {spans:#?}, after {line:#?}"));
        line.push(spans.swap_remove(next));
    }
    line
}

fn sides(line: &[Span]) -> Vec<(&str, SpanKind)> {
    line.iter().map(|span| (span.service.as_str(), span.kind)).collect()
}

const ALL_SIDES: [(&str, SpanKind); 4] = [
    ("shop/web", SpanKind::Client),
    ("shop/front-1", SpanKind::Server),
    ("shop/front-1", SpanKind::Client),
    ("shop/back-1", SpanKind::Server),
];

#[tokio::test]
async fn a_trace_over_three_sidecars_is_one_line_from_the_caller_to_the_last_application() {
    let chain = Chain::forge("0").await;
    let (short, span) = ("a3ce929d0e0e4736", "00f067aa0ba902b7");
    let id = |n: u8| format!("{n:02x}f7651916cd43dd8448eb211c80319c");
    let of_short = format!("{}{short}", "0".repeat(16));
    // What the caller says, the trace as the collector knows it, and what the last application hears: `S` is the
    // span that it was caused by, `P` that one's parent.
    let multi = |trace: &str, decided: (&'static str, &str)| {
        vec![
            ("x-b3-traceid", trace.to_owned()),
            ("x-b3-spanid", span.to_owned()),
            (decided.0, decided.1.to_owned()),
        ]
    };
    let heard = |trace: &str, decided: (&'static str, &str)| {
        vec![
            ("x-b3-traceid", trace.to_owned()),
            ("x-b3-spanid", "S".to_owned()),
            ("x-b3-parentspanid", "P".to_owned()),
            (decided.0, decided.1.to_owned()),
        ]
    };
    let table = [
        (
            vec![("traceparent", format!("00-{}-{span}-01", id(1))), ("tracestate", "a=b".to_owned())],
            id(1),
            vec![("traceparent", format!("00-{}-S-01", id(1))), ("tracestate", "a=b".to_owned())],
        ),
        (vec![("b3", format!("{}-{span}-1", id(2)))], id(2), vec![("b3", format!("{}-S-1-P", id(2)))]),
        (vec![("b3", format!("{}-{span}-d", id(3)))], id(3), vec![("b3", format!("{}-S-d-P", id(3)))]),
        (multi(&id(4), ("x-b3-sampled", "1")), id(4), heard(&id(4), ("x-b3-sampled", "1"))),
        (multi(&id(5), ("x-b3-flags", "1")), id(5), heard(&id(5), ("x-b3-flags", "1"))),
        // Half as long, as B3 allows: it stays so for those who know it so.
        (multi(short, ("x-b3-sampled", "1")), of_short, heard(short, ("x-b3-sampled", "1"))),
        (
            vec![("traceparent", format!("00-{}-{span}-01", id(7))), ("b3", format!("{}-{span}-1", id(7)))],
            id(7),
            vec![("traceparent", format!("00-{}-S-01", id(7))), ("b3", format!("{}-S-1-P", id(7)))],
        ),
    ];
    for (said, trace, heard) in table {
        let got = chain.call(&said).await;
        let line = line(chain.collector.trace(&trace, 4).await, span);
        assert_eq!(sides(&line), ALL_SIDES, "{said:?}: {line:#?}");
        let (last, before) = (&line[3].id, &line[2].id);
        let whole =
            |(name, value): (&'static str, String)| (name, value.replace('S', last).replace('P', before));
        assert_eq!(got, heard.into_iter().map(whole).collect::<Vec<_>>(), "{said:?}");
    }
}

#[tokio::test]
async fn spans_say_what_was_asked_of_whom_and_what_came_of_it() {
    let chain = Chain::forge("1").await;
    chain.back.0.next([Answer::Status(503)]);
    let reply = chain.web.get("http://front/shallow?secret=1").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    let root = eventually("the root is told", async || {
        chain.collector.spans().into_iter().find(|span| span.parent.is_empty())
    })
    .await;
    // Nobody came with a trace: it begins at the first sidecar, and is one line from there.
    let line = line(chain.collector.trace(&root.trace, 4).await, "");
    assert_eq!(sides(&line), ALL_SIDES, "{line:#?}");
    let said = |nth: usize, name: &str| line[nth].attributes.get(name).map_or("", String::as_str);
    for (nth, name, value) in [
        (0, "http.request.method", "GET"),
        (0, "url.path", "/shallow"),
        (0, "http.response.status_code", "503"),
        (0, "weft.service", "shop/front"),
        (1, "weft.peer", "spiffe://weft.local/ns/shop/sa/web"),
        (2, "url.path", "/deep"),
        (3, "weft.peer", "spiffe://weft.local/ns/shop/sa/front"),
        (3, "http.response.status_code", "503"),
    ] {
        assert_eq!(said(nth, name), value, "{name} of {:#?}", line[nth]);
    }
    assert!(!format!("{line:?}").contains("secret"), "{line:#?}");
}

#[tokio::test]
async fn what_the_caller_decided_not_to_keep_is_not_kept_and_passes_as_it_came() {
    let chain = Chain::forge("1").await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    for said in [
        vec![("traceparent", format!("00-{trace}-{span}-00"))],
        vec![("b3", format!("{trace}-{span}-0"))],
        vec![("b3", "0".to_owned())],
        vec![
            ("x-b3-traceid", trace.to_owned()),
            ("x-b3-spanid", span.to_owned()),
            ("x-b3-sampled", "0".to_owned()),
        ],
        vec![("x-b3-sampled", "0".to_owned())],
    ] {
        assert_eq!(chain.call(&said).await, said);
    }
    // Whatever would have been told of them comes before what is told of this one.
    let kept = format!("00-{}-{span}-01", trace.replace('0', "1"));
    chain.call(&[("traceparent", kept)]).await;
    chain.collector.trace(&trace.replace('0', "1"), 4).await;
    let others: Vec<_> = chain.collector.spans().into_iter().filter(|span| span.trace == trace).collect();
    assert_eq!(chain.collector.spans().len(), 4, "{others:#?}");
}

#[tokio::test]
async fn a_collector_that_goes_costs_spans_that_are_counted_and_nothing_else() {
    let mut chain = Chain::forge("1").await;
    chain.call(&[]).await;
    eventually("the collector hears", async || (chain.collector.spans().len() >= 4).then_some(())).await;
    chain.collector = Collector::start().await;
    for _ in 0..20 {
        chain.call(&[]).await;
    }
    eventually("what nobody took is counted", async || {
        let lost = chain.web.counter("weft_telemetry_dropped_total", &["spans"]).await;
        (lost >= 1.0).then_some(())
    })
    .await;
    assert_eq!(chain.collector.spans().len(), 0, "it is another one, at another address");
}
