//! What a real collector's endpoint receives, and what happens without one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{HeaderMap, Method};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

use super::super::metrics::{Metrics, SeriesLimit};
use super::super::trace::Bits;
use super::*;

/// Passes on what it is sent.
struct Collector(Mutex<UnboundedSender<ExportTraceServiceRequest>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().unwrap().send(request.into_inner()).unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

/// A collector, and what it receives.
async fn collector() -> (String, UnboundedReceiver<ExportTraceServiceRequest>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sent, received) = unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(Mutex::new(sent))))
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    });
    (endpoint, received, tasks)
}

fn settings(endpoint: &str, capacity: usize) -> ExportSettings {
    ExportSettings {
        endpoint: endpoint.to_owned(),
        service: "cart".to_owned(),
        resource: vec![("service.namespace".to_owned(), "shop".to_owned())],
        capacity,
    }
}

fn dropped() -> Count {
    Metrics::new(SeriesLimit::default(), &[]).dropped("spans")
}

fn span(sampled: bool) -> Span {
    let mut headers = HeaderMap::new();
    let flags = if sampled { "01" } else { "00" };
    let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
    headers.insert("traceparent", parent.parse().unwrap());
    Span {
        trace: Trace::begin(&headers, Bits { trace: 1, span: 0xabc }, false),
        direction: Direction::Outbound,
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        took: Duration::from_millis(3),
        method: Method::GET,
        path: "/cart/1".to_owned(),
        server_address: Some("cart.shop".into()),
        server_port: Some(80),
        peer: Some("10.0.0.7:8080".parse().unwrap()),
        status: Some(200),
        grpc_status: None,
        service: Some("shop/cart".into()),
        route: Some("HTTPRoute shop/split".into()),
        backend: Some("shop/cart-v1".into()),
        peer_identity: None,
        refusal: None,
        resends: 0,
    }
}

fn plain(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

#[tokio::test]
async fn a_collector_receives_sampled_spans_in_the_words_of_the_conventions() {
    let (endpoint, mut received, _collector) = collector().await;
    let (spans, export) = Spans::to_collector(&settings(&endpoint, 100), dropped()).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(export.run());
    assert!(spans.wants(&span(true).trace) && !spans.wants(&span(false).trace));
    spans.finish(span(false));
    spans.finish(span(true));
    spans.finish(Span {
        direction: Direction::Inbound,
        status: Some(503),
        refusal: Some("no-endpoint"),
        method: Method::from_bytes(b"BREW").unwrap(),
        resends: 2,
        ..span(true)
    });
    drop(spans);

    let request = received.recv().await.unwrap();
    let [resource] = request.resource_spans.as_slice() else { panic!("{request:?}") };
    let of_whom = plain(&resource.resource.as_ref().unwrap().attributes);
    assert_eq!((of_whom["service.name"].as_str(), of_whom["service.namespace"].as_str()), ("cart", "shop"));
    let [first, second] = resource.scope_spans[0].spans.as_slice() else { panic!("{resource:?}") };

    assert_eq!(first.name, "GET HTTPRoute shop/split");
    assert_eq!(
        first.trace_id,
        u128::from_str_radix("4bf92f3577b34da6a3ce929d0e0e4736", 16).unwrap().to_be_bytes()
    );
    assert_eq!(
        (first.span_id.as_slice(), first.parent_span_id.as_slice()),
        (&0xabc_u64.to_be_bytes()[..], &0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()[..])
    );
    assert_eq!(first.end_time_unix_nano - first.start_time_unix_nano, 3_000_000);
    assert_eq!(first.kind, 3, "a client's");
    let attributes = plain(&first.attributes);
    for (name, want) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/cart/1"),
        ("server.address", "cart.shop"),
        ("server.port", "80"),
        ("network.peer.address", "10.0.0.7"),
        ("network.peer.port", "8080"),
        ("weft.backend", "shop/cart-v1"),
    ] {
        assert_eq!(attributes.get(name).map(String::as_str), Some(want), "{name}");
    }
    assert!(!attributes.contains_key("error.type"));

    assert_eq!((second.kind, second.name.as_str()), (2, "HTTP HTTPRoute shop/split"));
    let attributes = plain(&second.attributes);
    assert_eq!(attributes["http.request.method"], "_OTHER");
    assert_eq!(attributes["http.request.method_original"], "BREW");
    assert_eq!(attributes["http.request.resend_count"], "2");
    assert_eq!(attributes["error.type"], "no-endpoint");
    assert_eq!(second.status.as_ref().unwrap().code, 2, "an error");
}

#[test]
fn a_grpc_call_fails_by_its_code_and_not_by_its_http_status() {
    use opentelemetry::trace::Status;
    // (direction, code) -> whether the span is an error ("gRPC Status": a server is not to blame for all of them).
    for (direction, code, want) in [
        (Direction::Outbound, 0, false),
        (Direction::Outbound, 5, true),
        (Direction::Outbound, 14, true),
        (Direction::Inbound, 0, false),
        (Direction::Inbound, 5, false),
        (Direction::Inbound, 7, false),
        (Direction::Inbound, 14, true),
        (Direction::Inbound, 17, true),
        (Direction::Inbound, 999, true),
    ] {
        let told = convert::to_span_data(&Span { direction, grpc_status: Some(code), ..span(true) });
        assert_eq!(matches!(told.status, Status::Error { .. }), want, "{direction:?} {code}");
        let named = |name: &str| {
            told.attributes.iter().find(|one| one.key.as_str() == name).map(|one| one.value.to_string())
        };
        assert_eq!(named("rpc.grpc.status_code"), Some(code.to_string()));
        assert_eq!(named("error.type"), want.then(|| code.to_string()));
    }
}

#[tokio::test]
async fn without_a_collector_spans_are_counted_as_lost_and_the_export_ends() {
    let lost = dropped();
    // A port that nobody is given.
    let (spans, export) = Spans::to_collector(&settings("http://127.0.0.1:1", 2), lost.clone()).unwrap();
    for _ in 0..5 {
        spans.finish(span(true));
    }
    assert_eq!(lost.value(), 3, "beyond the capacity");
    drop(spans);
    export.run().await;
    assert_eq!(lost.value(), 5);
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_named_in_the_error() {
    let error = Spans::to_collector(&settings("no url at all", 1), dropped()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no url at all"), "{error}");
}

#[test]
fn spans_that_are_off_are_wanted_by_nobody() {
    assert!(!Spans::off().wants(&span(true).trace));
    Spans::off().finish(span(true));
}
