//! A whole control plane, on loopback, spoken to as proxies and operators do.

mod astray;
mod proxy;
mod standing;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tonic::Code;
use weft_policy::endpoint::Health;
use weft_policy::object::ServicePort;
use weft_proto::held::Held;
use weft_proto::name::WorkloadName;
use weft_proto::v1;
use weft_proto::v1::Type;

use super::*;
use proxy::{Enrolled, Operator, PATIENCE, Proxy, connect};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
";

fn workload(name: &str, app: &str, address: &str) -> String {
    format!(
        "
---
apiVersion: weft.mesh/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{address: {address}, ports: [{{name: http, port: 8080}}], serviceAccount: {app}}}
"
    )
}

/// Two directories and what runs on them.
struct Mesh {
    root: TempDir,
    running: Running,
    operator: Operator,
}

impl Mesh {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("config")).unwrap();
        std::fs::write(root.path().join("config/api.yaml"), SERVICE).unwrap();
        let people = workload("web-1", "web", "127.0.0.2") + &workload("api-1", "api", "127.0.0.3");
        std::fs::write(root.path().join("config/workloads.yaml"), people).unwrap();
        let mut config = config(root.path());
        adjust(&mut config);
        let running = ControlPlane::start(config).await.unwrap();
        let operator = Operator::of(&running).await;
        Self { root, running, operator }
    }

    async fn restart(mut self) -> Self {
        self.running.shutdown().await;
        self.running = ControlPlane::start(config(self.root.path())).await.unwrap();
        self.operator = Operator::of(&self.running).await;
        self
    }

    async fn enrol(&mut self, workload: &str) -> Enrolled {
        let token = self.operator.token(workload).await;
        Enrolled::with(self.running.grpc_addr, &token, workload).await
    }

    async fn attach(&mut self, workload: &str) -> Proxy {
        let who = self.enrol(workload).await;
        Proxy::attach(self.running.grpc_addr, &who, workload).await.unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.path().join("config").join(name), text).unwrap();
    }
}

fn config(root: &Path) -> Config {
    Config { paranoid: true, ..Config::on_free_ports(&root.join("config"), &root.join("state")) }
}

fn api() -> ServicePort {
    ServicePort::new("shop", "api", 80)
}

fn addresses(held: &Held) -> Vec<String> {
    let set = held.snapshot().endpoints.get(&api());
    set.map(|set| set.endpoints().iter().map(|one| one.addr.ip().to_string()).collect()).unwrap_or_default()
}

#[tokio::test]
async fn a_proxy_is_told_what_it_asks_for_and_then_every_change_of_it() {
    let mut mesh = Mesh::start().await;
    let mut web = mesh.attach("shop/web-1").await;
    web.ask(&[(Type::Trust, "weft.local"), (Type::Inbound, "shop/web-1"), (Type::Service, "host/api")]).await;
    web.until(|held| !addresses(held).is_empty()).await;
    assert!(web.held.snapshot().inbound.is_some());
    assert!(web.held.trust(&"weft.local".parse().unwrap()).is_some());
    assert_eq!(addresses(&web.held), ["127.0.0.3"]);

    mesh.write("more.yaml", &workload("api-2", "api", "127.0.0.4"));
    web.until(|held| addresses(held).len() == 2).await;
    let status = mesh.operator.status(1, PATIENCE).await;
    let [row] = &status.proxies[..] else { panic!("{:?}", status.proxies) };
    assert!(row.attached && row.current && row.applied_revision > 0, "{row:?}");
}

/// Everything that `shop/web-1` starts with, applied.
async fn web(mesh: &mut Mesh) -> Proxy {
    let mut web = mesh.attach("shop/web-1").await;
    web.ask(&[(Type::Trust, "weft.local"), (Type::Inbound, "shop/web-1"), (Type::Service, "host/api")]).await;
    web.until(|held| !addresses(held).is_empty()).await;
    web
}

#[tokio::test]
async fn who_somebody_is_comes_from_the_certificate_and_from_nothing_else() {
    let mut mesh = Mesh::start().await;
    let addr = mesh.running.grpc_addr;
    let who = mesh.enrol("shop/web-1").await;
    let mut proxy = Proxy::attach(addr, &who, "shop/web-1").await.unwrap();
    for (workload, code) in [
        ("shop/api-1", Code::PermissionDenied),
        ("shop/nobody", Code::PermissionDenied),
        ("bank/web-1", Code::PermissionDenied),
        ("web-1", Code::InvalidArgument),
    ] {
        let held = Held::new(WorkloadName::parse("shop/web-1").unwrap());
        let hello = v1::Hello { workload: workload.to_owned(), ..v1::Hello::default() };
        let refused = Proxy::attach_saying(addr, &who, held, hello).await.err().map(|status| status.code());
        assert_eq!(refused, Some(code), "{workload}");
    }
    // Without a certificate there is nothing but enrolment.
    let nobody = Enrolled { config: Arc::clone(&who.anonymous), ..who.clone() };
    let refused = Proxy::attach(addr, &nobody, "shop/web-1").await.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::Unauthenticated));
    // What a workload enforces is shown to its own proxy only …
    proxy.ask(&[(Type::Inbound, "shop/api-1")]).await;
    let taken = proxy.apply().await;
    assert_eq!((taken.puts(), taken.gone()), (vec![], vec!["shop/api-1".to_owned()]));
    assert_eq!(taken.updates[0].gone[0].why(), v1::tombstone::Why::Forbidden);
    // … and what is asked about the mesh is answered to its operator only.
    let channel = connect(addr, Arc::clone(&who.config)).await;
    let refused =
        v1::inspect_client::InspectClient::new(channel.clone()).status(v1::StatusRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let refused = v1::admin_client::AdminClient::new(channel).apply(v1::ApplyRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_answered_and_led_somewhere_once_there_is_a_service() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    web.ask(&[(Type::Service, "host/cart"), (Type::Service, "ip/192.0.2.1"), (Type::Service, "host/a:b")])
        .await;
    let mut gone = web.apply().await.gone();
    gone.sort();
    assert_eq!(gone, ["host/a:b", "host/cart", "ip/192.0.2.1"]);
    mesh.write("cart.yaml", &SERVICE.replace("name: api", "name: cart"));
    web.until(|held| held.snapshot().hosts.contains_key("cart")).await;
    assert_eq!(web.held.snapshot().absent.len(), 1, "the address still leads nowhere");
    // And nowhere again.
    std::fs::remove_file(mesh.root.path().join("config/cart.yaml")).unwrap();
    web.until(|held| !held.snapshot().hosts.contains_key("cart")).await;
}

#[tokio::test]
async fn what_is_no_longer_asked_for_is_taken_away_and_not_told_any_more() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    web.state(&[], &[(Type::Service, "host/api")], Vec::new()).await;
    let taken = web.apply().await;
    let mut gone = taken.gone();
    gone.sort();
    assert_eq!(gone, ["shop/api", "shop/api", "shop/api:80"], "routes, service, endpoints");
    assert_eq!(web.held.len(), 2, "trust and its own policy are left");
    let revision = mesh.operator.apply("more.yaml", &workload("api-2", "api", "127.0.0.4")).await.revision;
    let status = mesh.operator.status(revision, PATIENCE).await;
    assert!(status.proxies[0].current && status.proxies[0].applied_revision < revision, "{status:?}");
}

#[tokio::test]
async fn one_bad_object_freezes_itself_and_no_other() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    // The Service becomes unreadable, in a file in which another object is new.
    let bad = SERVICE.replace("ports: [", "ports: {") + &workload("api-2", "api", "127.0.0.4");
    mesh.write("api.yaml", &bad);
    web.until(|held| addresses(held).len() == 2).await;
    assert!(
        web.held.snapshot().services.values().any(|service| &*service.name.name == "api"),
        "the last good one"
    );
    let revision = mesh.operator.apply("more.yaml", &workload("api-3", "api", "127.0.0.5")).await.revision;
    web.until(|held| addresses(held).len() == 3).await;
    let status = mesh.operator.status(revision, PATIENCE).await;
    let object = |name: &str| status.objects.iter().find(|object| object.object == name).unwrap();
    let condition = |name: &str, kind: &str| {
        object(name).conditions.iter().find(|condition| condition.r#type == kind).unwrap().clone()
    };
    let accepted = condition("Service shop/api", "Accepted");
    assert!(!accepted.status && accepted.message.contains("last good"), "{accepted:?}");
    assert!(condition("Workload shop/api-2", "Accepted").status);
    assert!(condition("Workload shop/api-3", "Programmed").status);
    assert_eq!(object("Workload shop/api-3").file, "more.yaml");
}

#[tokio::test]
async fn applying_checks_everything_first_and_names_the_revision_to_wait_for() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let before = mesh.operator.status(0, Duration::ZERO).await.now.unwrap().revision;
    let bad = mesh
        .operator
        .apply("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: 7\n")
        .await;
    assert!(!bad.applied && bad.revision == before, "{bad:?}");
    assert!(
        bad.findings.iter().any(|finding| finding.severity == "error" && finding.file == "bad.yaml"),
        "{bad:?}"
    );
    assert!(!mesh.root.path().join("config/bad.yaml").exists());
    for name in ["../out.yaml", "/etc/out.yaml", ".hidden.yaml", "a/./b.yaml", "a.txt", "", "a\n.yaml"] {
        let file = v1::apply_request::File { name: name.to_owned(), text: b"x".to_vec() };
        let request = v1::ApplyRequest { files: vec![file], dry_run: false };
        let refused = mesh.operator.admin.apply(request).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument, "{name:?}");
    }

    let good = mesh.operator.apply("dir/more.yaml", &workload("api-2", "api", "127.0.0.4")).await;
    assert!(good.applied && good.revision > before, "{good:?}");
    // Whoever has not confirmed it is named …
    let taken = web.take().await.unwrap();
    let status = mesh.operator.status(good.revision, Duration::from_millis(50)).await;
    assert!(!status.proxies[0].current && status.proxies[0].applied_revision < good.revision, "{status:?}");
    let programmed = |status: &v1::StatusReply| {
        let object = status.objects.iter().find(|object| object.object == "Workload shop/api-2").unwrap();
        object.conditions.iter().find(|condition| condition.r#type == "Programmed").unwrap().clone()
    };
    assert_eq!(programmed(&status).reason, "Pending");
    // … until it has.
    web.acknowledge(taken.committed.ack).await;
    let status = mesh.operator.status(good.revision, PATIENCE).await;
    assert!(status.proxies[0].current && status.proxies[0].applied_revision == good.revision, "{status:?}");
    assert!(programmed(&status).status);
    // Nothing changes, nothing is waited for.
    let again = mesh.operator.apply("dir/more.yaml", &workload("api-2", "api", "127.0.0.4")).await;
    assert_eq!((again.applied, again.revision), (true, good.revision));
    let gone = mesh.operator.apply("dir/more.yaml", "").await;
    assert!(gone.applied && gone.revision > good.revision);
    web.until(|held| addresses(held).len() == 1).await;
}

#[tokio::test]
async fn a_rejected_version_is_shown_and_not_sent_again() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    mesh.operator.apply("more.yaml", &workload("api-2", "api", "127.0.0.4")).await;
    let taken = web.take().await.unwrap();
    let version =
        taken.updates[0].patch.first().map_or_else(|| taken.updates[0].put[0].version, |patch| patch.version);
    let rejection = v1::Rejection {
        r#type: Type::Endpoints.into(),
        name: "shop/api:80".to_owned(),
        version,
        path: "groups[0]".to_owned(),
        detail: "too many\u{1b}[31m".to_owned(),
    };
    web.acknowledge(v1::Ack { rejected: vec![rejection], ..taken.committed.ack }).await;
    // The proxy loses count, and asks for everything again: all it gets is what it has not rejected.
    let resync = ["shop/api:80", "shop/api"].map(|name| {
        let kind = if name.contains(':') { Type::Endpoints } else { Type::Service };
        proxy::selector(kind, name)
    });
    let resync = v1::Resync { names: resync.to_vec() };
    web.to.send(proxy::said(v1::client_frame::Kind::Resync(resync))).await.unwrap();
    assert_eq!(web.apply().await.puts(), ["shop/api"]);
    let status = mesh.operator.status(0, Duration::ZERO).await;
    assert_eq!(status.proxies[0].rejected[0].detail, "too many[31m");
    let object = status.objects.iter().find(|object| object.object == "Workload shop/api-2").unwrap();
    let programmed = object.conditions.iter().find(|condition| condition.r#type == "Programmed").unwrap();
    assert_eq!((programmed.status, programmed.reason.as_str()), (false, "RejectedByProxies"));
    assert!(programmed.message.contains("shop/web-1"), "{programmed:?}");
    // The next version is another one.
    mesh.operator.apply("more.yaml", &workload("api-2", "api", "127.0.0.5")).await;
    let taken = web.apply().await;
    assert_eq!(taken.puts(), ["shop/api:80"], "in full: what the proxy holds is not known");
    mesh.operator
        .inspect
        .status(v1::StatusRequest { revision: taken.updates[0].revision, wait_millis: 20_000 })
        .await
        .unwrap();
    assert!(mesh.operator.status(0, Duration::ZERO).await.proxies[0].rejected.is_empty());
}

#[tokio::test]
async fn a_restarted_control_plane_empties_no_service_and_tells_nobody_what_they_know() {
    let mut mesh = Mesh::start().await;
    // One who is declared nowhere.
    let laptop = mesh.laptop("laptop").await;
    let laptop = mesh.attach_laptop(&laptop, "laptop", Some(standing::claim())).await.unwrap();
    let who = mesh.enrol("shop/web-1").await;
    let mut web = Proxy::attach(mesh.running.grpc_addr, &who, "shop/web-1").await.unwrap();
    let wanted = [(Type::Trust, "weft.local"), (Type::Inbound, "shop/web-1"), (Type::Service, "host/api")];
    web.ask(&wanted).await;
    web.until(|held| addresses(held).len() == 2).await;
    let revision = web.held.seen().unwrap().revision;
    drop(laptop);
    web.until(|held| {
        let endpoints = &held.snapshot().endpoints[&api()].endpoints();
        endpoints.iter().any(|one| one.health == Health::Unconfirmed)
    })
    .await;

    // While it is away, somebody makes a mistake.
    mesh.write("api.yaml", &SERVICE.replace("ports: [", "ports: {"));
    let mesh = mesh.restart().await;
    let held = web.hang_up();
    let mut web = Proxy::attach_holding(mesh.running.grpc_addr, &who, held, "shop/web-1").await.unwrap();
    assert!(web.welcome.now.as_ref().unwrap().revision > revision, "the revision goes on");
    let verdicts: Vec<_> = web.welcome.resume.iter().map(v1::Resume::verdict).collect();
    assert!(verdicts.iter().all(|verdict| *verdict == v1::resume::Verdict::NeedDetail), "{verdicts:?}");
    let kinds = web.welcome.resume.iter().map(v1::Resume::r#type);
    let detail = kinds.map(|kind| web.held.detail(kind)).collect();
    web.state(&wanted, &[], detail).await;
    let mut synced = 0;
    while synced < wanted.len() {
        let taken = web.apply().await;
        assert_eq!(
            (taken.puts(), taken.gone()),
            (vec![], vec![]),
            "versions are hashes, and nothing has changed"
        );
        synced += taken.committed.synced.len();
    }
    assert_eq!(addresses(&web.held).len(), 2);

    // A stream that was lost, and nothing else: the replica remembers.
    let held = web.hang_up();
    let mut web = Proxy::attach_holding(mesh.running.grpc_addr, &who, held, "shop/web-1").await.unwrap();
    for _ in 0..1000 {
        if web.welcome.resume.iter().all(|resume| resume.verdict() == v1::resume::Verdict::Exact) {
            break;
        }
        // It may not have noticed yet that the last one is gone.
        let held = web.hang_up();
        web = Proxy::attach_holding(mesh.running.grpc_addr, &who, held, "shop/web-1").await.unwrap();
    }
    let exact = web.welcome.resume.iter().all(|resume| resume.verdict() == v1::resume::Verdict::Exact);
    assert!(exact, "{:?}", web.welcome.resume);
    web.ask(&wanted).await;
    let mut synced = 0;
    while synced < wanted.len() {
        let taken = web.apply().await;
        assert_eq!((taken.puts(), taken.gone()), (vec![], vec![]));
        synced += taken.committed.synced.len();
    }
}

#[tokio::test]
async fn health_that_a_proxy_reports_reaches_the_others_and_a_workload_that_goes_leaves_service() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let api_1 = mesh.attach("shop/api-1").await;
    let health = |held: &Held| held.snapshot().endpoints[&api()].endpoints()[0].health;
    let serving = v1::report::Phase::Serving.into();
    api_1
        .report(v1::Report {
            phase: serving,
            application: v1::Health::Unhealthy.into(),
            ..Default::default()
        })
        .await;
    web.until(|held| health(held) == Health::Unhealthy).await;
    api_1.report(v1::Report { phase: serving, ..Default::default() }).await;
    web.until(|held| health(held) == Health::Healthy).await;
    api_1.report(v1::Report { phase: v1::report::Phase::Going.into(), ..Default::default() }).await;
    web.until(|held| health(held) == Health::Draining).await;
}

#[tokio::test]
async fn a_workload_that_becomes_somebody_elses_loses_its_stream() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let people = workload("web-1", "thief", "127.0.0.2") + &workload("api-1", "api", "127.0.0.3");
    mesh.write("workloads.yaml", &people);
    assert_eq!(web.end().await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn an_explanation_holds_the_bodies_that_proxies_hold() {
    let mut mesh = Mesh::start().await;
    let web = web(&mut mesh).await;
    let request = v1::ExplainRequest { from: "shop/web-1".to_owned(), to: "api".to_owned(), port: 80 };
    let reply = mesh.operator.inspect.explain(request).await.unwrap().into_inner();
    let held: Vec<_> = [Type::Endpoints, Type::Service, Type::Routes]
        .into_iter()
        .flat_map(|kind| {
            web.held.detail(kind).held.into_iter().map(move |held| (kind, held.name, held.version))
        })
        .collect();
    let told: Vec<_> = reply.outbound.iter().map(|r| (r.r#type(), r.name.clone(), r.version)).collect();
    assert_eq!(told, held);
    assert_eq!(reply.inbound.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["shop/api-1"]);
    assert_eq!(reply.from_identity, "spiffe://weft.local/ns/shop/sa/web");
    let nowhere = v1::ExplainRequest { from: "shop/web-1".to_owned(), to: "cart".to_owned(), port: 80 };
    let reply = mesh.operator.inspect.explain(nowhere).await.unwrap().into_inner();
    assert_eq!(reply.gone[0].name, "host/cart");
    let reply = mesh.operator.inspect.endpoints(v1::EndpointsRequest::default()).await.unwrap().into_inner();
    assert_eq!(reply.endpoints.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["shop/api:80"]);
}

#[tokio::test]
async fn the_admin_port_says_whether_it_is_ready_and_counts() {
    let mut mesh = Mesh::start().await;
    let _web = web(&mut mesh).await;
    let addr = mesh.running.admin_addr;
    let ask = |path: &'static str| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("/live").await.starts_with("HTTP/1.1 200"));
    assert!(ask("/ready").await.starts_with("HTTP/1.1 200"));
    assert!(ask("/nothing").await.starts_with("HTTP/1.1 404"));
    let metrics = ask("/metrics").await;
    for line in [
        "weft_control_plane_proxies 1",
        "weft_control_plane_attached_total 1",
        "weft_control_plane_convergence",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_root_is_rotated_when_every_proxy_has_said_that_it_trusts_the_next_and_then_they_are_asked_to_renew()
 {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let domain = "weft.local".parse().unwrap();
    let step = |step: &str| v1::RotateRootRequest { step: step.to_owned() };
    let prepared = mesh.operator.admin.rotate_root(step("prepare")).await.unwrap().into_inner();
    assert_eq!(
        (prepared.phase.as_str(), &prepared.waiting_for[..]),
        ("prepared", &["shop/web-1".to_owned()][..])
    );
    let early = mesh.operator.admin.rotate_root(step("activate")).await;
    assert_eq!(early.unwrap_err().code(), Code::FailedPrecondition);
    web.until(|held| held.trust(&domain).is_some_and(|trust| trust.anchors.len() == 2)).await;
    let trust_sequence = web.held.trust(&domain).unwrap().sequence;
    web.report(v1::Report { trust_sequence, ..v1::Report::default() }).await;
    let mut activated = mesh.operator.admin.rotate_root(step("activate")).await;
    for _ in 0..1000 {
        if activated.is_ok() {
            break;
        }
        // The report is on its way.
        tokio::task::yield_now().await;
        activated = mesh.operator.admin.rotate_root(step("activate")).await;
    }
    assert_eq!(activated.unwrap().into_inner().phase, "active");
    assert_eq!(web.notice().await, v1::notice::Kind::RenewNow);
    let unknown = mesh.operator.admin.rotate_root(step("explode")).await;
    assert_eq!(unknown.unwrap_err().code(), Code::InvalidArgument);
}
