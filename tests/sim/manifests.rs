//! What operators of a simulated mesh declare: a shop and a bank, in versions that can be told apart wherever they arrive.
//!
//! Everything that is published together carries the same mark: the Service as the name of its port, its routes in a
//! header, its endpoints as a weight. A proxy in whose snapshot they differ has seen half a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use weft_control_plane::source::Reading;
use weft_control_plane::source::memory::Memory;

/// What is declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Declared {
    /// The version.
    pub(crate) mark: u32,
    /// Endpoints of `shop/api` that have no proxy.
    pub(crate) statics: BTreeSet<u8>,
    /// Whether `shop/web` may call `shop/api`.
    pub(crate) web_may_call: bool,
    /// Whether there is a Service `shop/cart`.
    pub(crate) has_cart: bool,
    /// Whether a file has become something that nobody can read.
    pub(crate) broken: bool,
}

impl Declared {
    pub(crate) fn first() -> Self {
        Self { mark: 1, statics: [1, 2].into(), web_may_call: true, has_cart: true, broken: false }
    }

    /// As it is read. Reading is slow here, where nothing is optimised, and of the same files always the same: each is read
    /// once in a process.
    pub(crate) fn reading(&self) -> Reading {
        let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(self.clone()).or_insert_with(|| self.memory().reading()).clone()
    }

    /// As files.
    fn memory(&self) -> Memory {
        let Self { mark, .. } = self;
        let mut files = BTreeMap::new();
        files.insert("api.yaml".to_owned(), self.api());
        files.insert("workloads.yaml".to_owned(), self.workloads());
        let caller = if self.web_may_call { "shop/web" } else { "shop/nobody" };
        let authorization = format!(
            "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: callers, namespace: shop}}\n\
             spec: {{targetRefs: [{{kind: Service, name: api}}], action: Allow, \
             rules: [{{from: [{{serviceAccounts: [{caller}, shop/mark-{mark}]}}]}}]}}\n"
        );
        files.insert("authorization.yaml".to_owned(), authorization);
        if self.has_cart {
            let cart = service("cart", *mark);
            files.insert("cart.yaml".to_owned(), cart);
        }
        let mut memory = Memory::default();
        for (name, text) in files {
            memory = memory.with(&name, &text);
        }
        if self.broken {
            memory = memory.with("broken.yaml", "{ this is : [ not yaml");
        }
        memory
    }

    fn api(&self) -> String {
        let mark = self.mark;
        let route = |namespace: &str, class: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                 metadata: {{name: api, namespace: {namespace}}}\n\
                 spec: {{parentRefs: [{{group: \"\", kind: Service, name: api, namespace: shop}}], rules: [{{\
                 filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [\
                 {{name: x-mark, value: mark-{mark}-h}}, {{name: x-class, value: class-{class}}}]}}}}], \
                 backendRefs: [{{name: api, namespace: shop, port: 80}}]}}]}}\n"
            )
        };
        [service("api", mark), route("shop", "shop"), route("bank", "bank")].join("---\n")
    }

    fn workloads(&self) -> String {
        let mut all = vec![workload("shop", "web", "web", 1, 1), workload("bank", "teller", "teller", 2, 1)];
        for number in &self.statics {
            all.push(workload("shop", &format!("static-{number}"), "api", 100 + number, self.mark));
        }
        all.join("---\n")
    }
}

fn service(name: &str, mark: u32) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{selector: {{app: {name}}}, ports: [{{name: mark-{mark}-p, port: 80, targetPort: 8080, \
         appProtocol: http}}]}}\n"
    )
}

fn workload(namespace: &str, name: &str, app: &str, host: u8, weight: u32) -> String {
    format!(
        "apiVersion: weft.mesh/v1alpha1\nkind: Workload\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}\n\
         spec: {{address: 10.1.0.{host}, ports: [{{name: http, port: 8080}}], serviceAccount: {app}, weight: {weight}}}\n"
    )
}

static READ: Mutex<BTreeMap<Declared, Reading>> = Mutex::new(BTreeMap::new());

/// The mark in whatever is shown with `{:?}`.
pub(crate) fn mark_in(shown: &str) -> Option<u32> {
    let (_, rest) = shown.split_once("mark-")?;
    rest.split_once('-')?.0.parse().ok()
}

/// How callers know the Services.
pub(crate) const API: &str = "api.shop.svc.cluster.local";
pub(crate) const CART: &str = "cart.shop.svc.cluster.local";
pub(crate) const NOWHERE: &str = "nowhere.shop.svc.cluster.local";
