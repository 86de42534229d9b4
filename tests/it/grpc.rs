//! gRPC between programs that use tonic: routes of the Gateway API, retries by code, every shape of call, and what
//! becomes of errors and of calls that are given up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::iter;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::grpc::{Caller, Rpc, Turn, rest};
use weft_tests::mesh::Mesh;
use weft_tests::sidecar::Sidecar;

/// web → `rpc`, behind which two versions may stand.
struct Calls {
    mesh: Mesh,
    web: Sidecar,
    servers: Vec<Sidecar>,
    rpcs: Vec<Rpc>,
}

const WORKLOADS: [&str; 2] = ["rpc-v1-1", "rpc-v2-1"];

fn services() -> String {
    let service = |name: &str, selector: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}},
              spec: {{selector: {{{selector}}},
                     ports: [{{name: grpc, port: 90, targetPort: grpc, appProtocol: kubernetes.io/h2c}}]}}}}"
        )
    };
    [
        service("rpc", "speaks: grpc"),
        service("rpc-v1", "app: rpc-v1"),
        service("rpc-v2", "app: rpc-v2"),
        service("nobody", "app: nobody"),
    ]
    .join("\n---\n")
}

impl Calls {
    async fn open(servers: usize, manifests: &str) -> Self {
        let mesh = Mesh::start(&format!("{}\n---\n{manifests}", services())).await;
        let (mut sidecars, mut rpcs) = (Vec::new(), Vec::new());
        for name in &WORKLOADS[..servers] {
            let rpc = Rpc::start(name).await;
            let beside = mesh.beside(&format!("shop/{name}")).label("speaks", "grpc");
            sidecars.push(beside.port("grpc", rpc.addr).start().await);
            rpcs.push(rpc);
        }
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=rpc.shop:90").start().await;
        mesh.serves("shop/rpc", 90, servers).await;
        Self { mesh, web, servers: sidecars, rpcs }
    }

    async fn client(&self) -> Caller {
        Caller::connect(self.web.outbound, "rpc.shop:90").await
    }
}

/// A GRPCRoute of `rpc` with these rules.
fn route(rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: calls, namespace: shop}},
          spec: {{parentRefs: [{{kind: Service, group: '', name: rpc}}], rules: [{rules}]}}}}"
    )
}

/// A TrafficPolicy of `rpc`.
fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: rpc, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: rpc}}], circuitBreaking: {{consecutiveFailures: 0}}, {spec}}}}}"
    )
}

const V1: &str = "backendRefs: [{name: rpc-v1, port: 90}]";
const V2: &str = "backendRefs: [{name: rpc-v2, port: 90}]";

#[tokio::test]
async fn a_method_or_a_header_says_where_a_call_goes_and_what_no_rule_matches_is_unimplemented() {
    let rules = format!(
        "{{name: list, matches: [{{method: {{service: shop.Cart, method: Sum}}}}], {V2}}},
         {{name: beta, matches: [{{method: {{service: shop.Cart}}, headers: [{{name: x-beta, value: 'yes'}}]}}], {V2}}},
         {{name: stock, matches: [{{method: {{type: RegularExpression, service: 'shop\\.St.*', method: 'G.t'}}}}], {V2}}},
         {{name: cart, matches: [{{method: {{service: shop.Cart}}}}], {V1}}}"
    );
    let calls = Calls::open(2, &route(&rules)).await;
    let client = calls.client().await;
    for (path, metadata, want) in [
        ("/shop.Cart/Get", &[][..], Ok("rpc-v1-1: x")),
        ("/shop.Cart/Get", &[("x-beta", "yes")], Ok("rpc-v2-1: x")),
        ("/shop.Cart/Get", &[("x-beta", "no")], Ok("rpc-v1-1: x")),
        ("/shop.Cart/Sum", &[], Ok("rpc-v2-1: x")),
        ("/shop.Stock/Get", &[], Ok("rpc-v2-1: x")),
        ("/shop.Stock/Sum", &[], Err(Code::Unimplemented)),
        ("/shop.Other/Get", &[], Err(Code::Unimplemented)),
        ("/shop.Cart2/Get", &[], Err(Code::Unimplemented)),
    ] {
        let got = client.unary(path, "x", metadata).await;
        let got = got.as_ref().map(|answer| answer.get_ref().as_str()).map_err(Status::code);
        assert_eq!(got, want, "{path} {metadata:?}");
    }
    let lines = calls.web.logged(8, |_| true).await;
    let told: Vec<_> = lines.iter().map(|line| line["rule"].as_str().unwrap_or("-")).collect();
    assert_eq!(told, ["cart", "beta", "cart", "list", "stock", "-", "-", "-"]);
}

#[tokio::test]
async fn calls_on_one_connection_are_split_by_weight() {
    let rules = "{backendRefs: [{name: rpc-v1, port: 90, weight: 80}, {name: rpc-v2, port: 90, weight: 20}]}";
    let calls = Calls::open(2, &route(rules)).await;
    let client = calls.client().await;
    let mut counts = BTreeMap::new();
    for _ in 0..500 {
        let answer = client.get("x").await.unwrap().into_inner();
        *counts.entry(answer).or_insert(0) += 1;
    }
    // Five standard deviations of a binomial with n = 500, p = 0.2.
    assert!((56..=144).contains(&counts["rpc-v2-1: x"]), "{counts:?}");
    assert_eq!(counts["rpc-v1-1: x"] + counts["rpc-v2-1: x"], 500);
}

#[tokio::test]
async fn a_code_is_retried_where_the_policy_names_it_and_that_the_method_may_run_twice() {
    let both = "attempts: 3, backoff: 1ms, grpcCodes: [UNAVAILABLE, ABORTED], nonIdempotent: true";
    // The retries, what the server says, what the client hears, how often the server was called.
    let table = [
        (both, vec![Code::Unavailable, Code::Aborted], Code::Ok, 3),
        (both, vec![Code::Internal], Code::Internal, 1),
        (both, vec![Code::Unavailable; 5], Code::Unavailable, 4),
        // Every call is a POST: without the second name nothing that may have been processed is sent again.
        ("attempts: 3, grpcCodes: [UNAVAILABLE]", vec![Code::Unavailable], Code::Unavailable, 1),
        ("attempts: 3, nonIdempotent: true", vec![Code::Unavailable], Code::Unavailable, 1),
        (
            "attempts: 0, grpcCodes: [UNAVAILABLE], nonIdempotent: true",
            vec![Code::Unavailable],
            Code::Unavailable,
            1,
        ),
    ];
    let calls = Calls::open(1, "").await;
    for (retries, said, heard, sent) in table {
        calls.mesh.apply("retries.yaml", &policy(&format!("retries: {{{retries}}}"))).await;
        let before = calls.rpcs[0].heard().len();
        calls.rpcs[0].next(said.iter().map(|code| Turn::Fail(Status::new(*code, "not now"))));
        let answer = calls.client().await.get("x").await;
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        assert_eq!((code, calls.rpcs[0].heard().len() - before), (heard, sent), "{retries}: {answer:?}");
        // What is left of the turns belongs to nobody.
        for _ in sent..said.len() {
            let _ = calls.client().await.get("x").await;
        }
    }
}

#[tokio::test]
async fn a_code_after_a_message_is_the_clients_to_hear_whatever_the_policy_says() {
    let retries = "retries: {attempts: 3, grpcCodes: [UNAVAILABLE], nonIdempotent: true}";
    let calls = Calls::open(1, &policy(retries)).await;
    calls.rpcs[0].next([Turn::FailAfter(2, Status::unavailable("half way"))]);
    let mut list = calls.client().await.list(9).await.unwrap().into_inner();
    let (messages, status) = rest(&mut list).await;
    assert_eq!(messages, ["rpc-v1-1: 0", "rpc-v1-1: 1"]);
    let status = status.unwrap();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "half way"));
    assert_eq!(calls.rpcs[0].heard().len(), 1);
}

#[tokio::test]
async fn a_call_whose_time_is_up_is_deadline_exceeded_and_the_server_learns_that_nobody_waits() {
    let calls = Calls::open(1, &policy("timeouts: {request: 1s}")).await;
    calls.rpcs[0].next([Turn::Silence]);
    let status = calls.client().await.get("x").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(status.metadata().get("weft-error").unwrap(), "request_timeout", "{status:?}");
    calls.rpcs[0].has_lost(1).await;
    // A caller's own deadline travels with the call, for the server to hear.
    let client = calls.client().await;
    client.unary("Get", "x", &[("grpc-timeout", "20S")]).await.unwrap();
    let last = calls.rpcs[0].heard().pop().unwrap();
    assert_eq!(last.metadata.get("grpc-timeout").unwrap(), "20S");
}

#[tokio::test]
async fn calls_of_every_shape_pass_by_every_way_in() {
    let calls = Calls::open(1, "").await;
    let proxy = calls.web.outbound;
    let tunnel = move || async move {
        let mut client = call::http1_on(call::connect(proxy).await).await;
        let request = http::Request::builder().method(http::Method::CONNECT).uri("rpc.shop:90");
        let request = request.body(Full::default()).map_err(std::io::Error::other)?;
        let response = client.send_request(request).await.map_err(std::io::Error::other)?;
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(std::io::Error::other)
    };
    let ways = [
        ("by its authority", calls.client().await),
        ("a fixed local port", Caller::connect(calls.web.fixed[0], "rpc.shop:90").await),
        ("CONNECT", Caller::on("rpc.shop:90", tunnel).await),
    ];
    for (how, client) in ways {
        assert_eq!(client.get("one").await.unwrap().into_inner(), "rpc-v1-1: one", "{how}");

        let mut list = client.list(1000).await.unwrap().into_inner();
        let (messages, status) = rest(&mut list).await;
        assert_eq!((messages.len(), status.map(|status| status.code())), (1000, None), "{how}");
        assert_eq!(messages[999], "rpc-v1-1: 999", "{how}");

        let numbers = iter((0..1000).map(|n| n.to_string()));
        let sum = client.sum(numbers).await.unwrap().into_inner();
        assert!(sum.starts_with("rpc-v1-1: 0+1+2") && sum.ends_with("+999"), "{how}: {sum}");

        // A turn each: neither direction waits for the end of the other.
        let (say, said) = mpsc::channel(1);
        say.send("0".to_owned()).await.unwrap();
        let mut chat = client.chat(ReceiverStream::new(said)).await.unwrap().into_inner();
        for n in 0..100 {
            let answer = soon("an answer", chat.message()).await.unwrap();
            assert_eq!(answer, Some(format!("rpc-v1-1: {n}")), "{how}");
            say.send((n + 1).to_string()).await.unwrap();
        }
        drop(say);
        assert_eq!(rest(&mut chat).await.0, ["rpc-v1-1: 100"], "{how}");
    }
    let paths: Vec<_> = calls.rpcs[0].heard().into_iter().map(|heard| heard.path).collect();
    assert_eq!(paths.len(), 3 * 4, "{paths:?}");
    let identity = calls.rpcs[0].heard().pop().unwrap().metadata;
    assert_eq!(identity.get("weft-client-id").unwrap(), "spiffe://weft.local/ns/shop/sa/web");
}

#[tokio::test]
async fn an_error_arrives_with_its_message_details_and_trailers() {
    let calls = Calls::open(1, "").await;
    let client = calls.client().await;
    let details = Bytes::from_static(b"\x08\x05\x12\x05a b\xff\x00");
    let mut trailers = MetadataMap::new();
    trailers.insert("x-reason", "sold-out".parse().unwrap());
    trailers.insert_bin("x-proof-bin", tonic::metadata::MetadataValue::from_bytes(&[0, 1, 254, 255]));
    let error = |message: &str| {
        Status::with_details_and_metadata(
            Code::FailedPrecondition,
            message,
            details.clone(),
            trailers.clone(),
        )
    };
    let check = |status: &Status, message: &str| {
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, message));
        assert_eq!(status.details(), &details);
        assert_eq!(status.metadata().get("x-reason").unwrap(), "sold-out");
        let proof = status.metadata().get_bin("x-proof-bin").unwrap().to_bytes().unwrap();
        assert_eq!(&proof[..], [0, 1, 254, 255]);
    };
    // In the head, and in the trailers of a stream. A message may have any letters.
    let text = "nothing left: 100 % “ausverkauft”\n";
    calls.rpcs[0].next([Turn::Fail(error(text)), Turn::FailAfter(3, error(text))]);
    check(&client.get("x").await.unwrap_err(), text);
    let mut list = client.list(9).await.unwrap().into_inner();
    let (messages, status) = rest(&mut list).await;
    assert_eq!(messages.len(), 3);
    check(&status.unwrap(), text);
    // The proxies have counted what the call said, though HTTP said 200.
    for sidecar in [&calls.web, &calls.servers[0]] {
        eventually("both errors are counted by their code", async || {
            let count = sidecar.counter("weft_grpc_responses_total", &["grpc_status=\"9\""]).await;
            (count == 2.0).then_some(())
        })
        .await;
        for line in sidecar.logged(2, |_| true).await {
            assert_eq!((&line["status"], &line["grpc_status"]), (&200.into(), &9.into()), "{line}");
        }
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_is_given_up_at_the_server_and_its_connection_goes_on() {
    let calls = Calls::open(1, "").await;
    let (client, server) = (calls.client().await, &calls.rpcs[0]);

    server.next([Turn::Silence]);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("x").await.map(drop) }
    });
    server.has_heard(1).await;
    waiting.abort();
    server.has_lost(1).await;

    let mut list = client.list(usize::MAX).await.unwrap().into_inner();
    assert_eq!(soon("a message", list.message()).await.unwrap().unwrap(), "rpc-v1-1: 0");
    drop(list);
    server.has_lost(2).await;

    // While both directions are open; a tonic client does not reset such a stream, others do (grpc-go).
    let (h2, connection) = h2::client::handshake(call::connect(calls.web.outbound).await).await.unwrap();
    let _connection = tokio::spawn(connection);
    let chat = http::Request::post("http://rpc.shop:90/shop.Cart/Chat");
    let chat = chat.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap();
    let (response, mut say) = h2.ready().await.unwrap().send_request(chat, false).unwrap();
    say.send_data(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01!"), false).unwrap();
    let mut answers = soon("a head", response).await.unwrap().into_body();
    assert!(soon("an answer", answers.data()).await.unwrap().unwrap().ends_with(b"rpc-v1-1: !"));
    say.send_reset(h2::Reason::CANCEL);
    server.has_lost(3).await;

    assert_eq!(client.get("after all").await.unwrap().into_inner(), "rpc-v1-1: after all");
    eventually("nothing is under way any more", async || {
        (calls.web.counter("weft_requests_in_flight", &[]).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_says_goodbye_on_every_connection_costs_no_call() {
    let mesh = Mesh::start(&services()).await;
    let rpc = Rpc::start_aging("rpc-v1-1", Some(Duration::from_millis(20))).await;
    let beside = mesh.beside("shop/rpc-v1-1").label("speaks", "grpc");
    let _rpc = beside.port("grpc", rpc.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/rpc", 90, 1).await;
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let client = Caller::connect(web.outbound, "rpc.shop:90").await;
        callers.spawn(async move {
            for call in 0..250 {
                let answer = client.get("x").await;
                assert!(answer.is_ok(), "call {call} of {caller}: {answer:?}");
            }
        });
    }
    callers.join_all().await;
    assert_eq!(rpc.heard().len(), 1000, "each once");
}

#[tokio::test]
async fn what_a_proxy_answers_itself_is_a_status_with_a_code() {
    let deny = "{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {name: no-sums, namespace: shop},
        spec: {targetRefs: [{kind: Service, name: rpc}], action: Deny, rules: [{to: [{paths: [/shop.Cart/Sum]}]}]}}";
    let calls = Calls::open(1, deny).await;
    let denied = calls.client().await.sum(iter(["1".to_owned()])).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    let line = &calls.servers[0].logged(1, |_| true).await[0];
    assert_eq!((&line["refusal"], &line["grpc_status"]), (&"denied".into(), &7.into()), "{line}");
    let cause = denied.metadata().get("weft-error").unwrap();
    assert_eq!(cause, "denied; AuthorizationPolicy shop/no-sums");
    let nobody = Caller::connect(calls.web.outbound, "nobody.shop:90").await.get("x").await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable, "{nobody:?}");
    assert_eq!(nobody.metadata().get("weft-error").unwrap(), "no_endpoint");
    assert_eq!(calls.rpcs[0].heard().len(), 0);
}
