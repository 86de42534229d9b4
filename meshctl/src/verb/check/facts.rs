//! What is asked of a cluster before anything is judged. Every answer is kept as it came, a refusal too: what cannot be
//! seen is not known to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};
use weft_manifests::check::refused_object;
use weft_manifests::crd::{GROUP, VERSION};
use weft_manifests::inject::INJECT;
use weft_proto::v1;

use crate::cluster::{ApiError, Cluster, items, name};

pub(super) type Answer = Result<Value, ApiError>;

/// All answers.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The namespace that Weft is installed in.
    pub(super) mesh: String,
    pub(super) version: Answer,
    pub(super) kinds: Answer,
    pub(super) namespaces: Answer,
    pub(super) mutating: Answer,
    pub(super) validating: Answer,
    /// What of [`TO_INSTALL`] may not be made.
    pub(super) forbidden: Result<Vec<String>, ApiError>,
    pub(super) deployments: Answer,
    pub(super) leases: Answer,
    /// The metadata of the Secret; never what is in it.
    pub(super) identity: Answer,
    pub(super) control_planes: Answer,
    /// Of namespaces with the label.
    pub(super) pods: Vec<(String, Answer)>,
    /// A pod in one of them, by a dry run; `None`: there is no such namespace.
    pub(super) injected: Option<Answer>,
    /// A policy that nobody could act by, by a dry run.
    pub(super) validated: Answer,
    pub(super) status: Result<v1::StatusReply, String>,
    /// Which pod has an address of somebody who calls in plaintext.
    pub(super) callers: BTreeMap<String, String>,
}

impl Facts {
    /// Asks for what is judged before an installation.
    pub(super) async fn before(cluster: &Cluster) -> Self {
        let not_asked = || Err(ApiError::Away { why: "not asked".to_owned() });
        let (version, kinds, namespaces, mutating, validating, forbidden) = tokio::join!(
            cluster.get("/version"),
            cluster.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
            cluster.list("/api/v1/namespaces"),
            cluster.list("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
            cluster.list("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
            forbidden(cluster),
        );
        Self {
            mesh: cluster.namespace.clone(),
            version,
            kinds,
            namespaces,
            mutating,
            validating,
            forbidden,
            deployments: not_asked(),
            leases: not_asked(),
            identity: not_asked(),
            control_planes: not_asked(),
            pods: Vec::new(),
            injected: None,
            validated: not_asked(),
            status: Err("not asked".to_owned()),
            callers: BTreeMap::new(),
        }
    }

    /// Asks for everything.
    pub(super) async fn all(cluster: &Cluster) -> Self {
        let before = Self::before(cluster).await;
        let mesh = &cluster.namespace;
        let (deployments, leases, identity, control_planes) = (
            format!(
                "/apis/apps/v1/namespaces/{mesh}/deployments?labelSelector=app.kubernetes.io/part-of=weft"
            ),
            format!("/apis/coordination.k8s.io/v1/namespaces/{mesh}/leases"),
            format!("/api/v1/namespaces/{mesh}/secrets/weft-identity"),
            cluster.path_of_control_planes(),
        );
        let (tried, to_refuse) = (format!("{}?dryRun=All", policies(mesh)), refused_object(mesh));
        let (deployments, leases, identity, control_planes, validated, status) = tokio::join!(
            cluster.list(&deployments),
            cluster.list(&leases),
            cluster.metadata(&identity),
            cluster.list(&control_planes),
            cluster.post(&tried, &to_refuse),
            async {
                match cluster.asked().await {
                    Ok(asked) => asked.status().await.map_err(|error| format!("{error:#}")),
                    Err(error) => Err(format!("{error:#}")),
                }
            },
        );
        let labelled = before.namespaces.as_ref().map(|all| labelled(all, mesh)).unwrap_or_default();
        let mut pods = Vec::with_capacity(labelled.len());
        for namespace in &labelled {
            pods.push((
                namespace.clone(),
                cluster.list(&format!("/api/v1/namespaces/{namespace}/pods")).await,
            ));
        }
        let injected = match labelled.first() {
            Some(namespace) => {
                Some(cluster.post(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), &pod()).await)
            }
            None => None,
        };
        let callers = match &status {
            Ok(status) => callers(cluster, status).await,
            Err(_) => BTreeMap::new(),
        };
        Self {
            deployments,
            leases,
            identity,
            control_planes,
            pods,
            injected,
            validated,
            status,
            callers,
            ..before
        }
    }
}

/// Of each address from which somebody calls in plaintext, the pod that has it, as far as that can be seen.
async fn callers(cluster: &Cluster, status: &v1::StatusReply) -> BTreeMap<String, String> {
    let reports = status.proxies.iter().filter_map(|proxy| proxy.report.as_ref());
    let addresses: BTreeSet<&str> =
        reports.flat_map(|report| &report.plaintext).map(|caller| caller.address.as_str()).collect();
    let mut callers = BTreeMap::new();
    for address in addresses.into_iter().filter(|it| it.parse::<IpAddr>().is_ok()).take(LOOKED_UP) {
        let path = format!("/api/v1/pods?fieldSelector=status.podIP%3D{}", address.replace(':', "%3A"));
        let Ok(pods) = cluster.list(&path).await else { break };
        let named =
            |pod: &Value| Some(format!("{}/{}", pod.pointer("/metadata/namespace")?.as_str()?, name(pod)?));
        // Those of a node's network share its address.
        let pods = items(&pods).filter(|pod| pod.pointer("/spec/hostNetwork") != Some(&json!(true)));
        if let Some(pod) = pods.filter_map(named).next() {
            callers.insert(address.to_owned(), pod);
        }
    }
    callers
}

/// So many addresses are looked up: enough to begin with.
const LOOKED_UP: usize = 20;

/// Namespaces whose pods get a proxy, by the chart's own selector.
pub(super) fn labelled(namespaces: &Value, mesh: &str) -> Vec<String> {
    let has_label = |namespace: &&Value| {
        let labels = namespace.pointer("/metadata/labels");
        labels.and_then(|labels| labels.get(INJECT)).is_some_and(|it| it == "enabled")
    };
    let names = items(namespaces).filter(has_label).filter_map(name);
    names.filter(|name| ![mesh, "kube-system", "kube-node-lease"].contains(name)).map(str::to_owned).collect()
}

/// Asks of each thing that is installed whether it may be made.
async fn forbidden(cluster: &Cluster) -> Result<Vec<String>, ApiError> {
    let mut forbidden = Vec::new();
    for (group, resource, is_in_namespace) in TO_INSTALL {
        let namespace = if is_in_namespace { cluster.namespace.as_str() } else { "" };
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes":
                {"group": group, "resource": resource, "verb": "create", "namespace": namespace}}});
        let answer = cluster.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        if answer.pointer("/status/allowed") != Some(&json!(true)) {
            forbidden.push(format!("create {resource}"));
        }
    }
    Ok(forbidden)
}

fn policies(namespace: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/authorizationpolicies")
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "weft-check"}, "spec": {"containers": [
        {"name": "weft-check", "image": "weft/check", "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}})
}

/// Group and resource, and whether it is one of the mesh's namespace.
const TO_INSTALL: [(&str, &str, bool); 12] = [
    ("", "namespaces", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", false),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", false),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("apps", "deployments", true),
    ("", "services", true),
    ("", "serviceaccounts", true),
    ("networking.k8s.io", "networkpolicies", true),
];
