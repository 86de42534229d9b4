//! A whole control plane, on loopback, spoken to as proxies and operators do.

mod proxy;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tonic::Code;
use weft_policy::endpoint::Health;
use weft_policy::object::ServicePort;
use weft_proto::held::Held;
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
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("config")).unwrap();
        std::fs::write(root.path().join("config/api.yaml"), SERVICE).unwrap();
        let people = workload("web-1", "web", "127.0.0.2") + &workload("api-1", "api", "127.0.0.3");
        std::fs::write(root.path().join("config/workloads.yaml"), people).unwrap();
        let running = ControlPlane::start(config(root.path())).await.unwrap();
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
    Config { paranoid: true, ..Config::on_free_ports(root.join("config"), root.join("state")) }
}

fn api() -> ServicePort {
    ServicePort::new("shop", "api", 80)
}

fn addresses(held: &Held) -> Vec<String> {
    let set = held.snapshot().endpoints.get(&api());
    set.map(|set| set.endpoints.iter().map(|one| one.addr.ip().to_string()).collect()).unwrap_or_default()
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
