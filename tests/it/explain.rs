//! What `explain` says of a request is what the proxies did with it: a thousand requests, each explained with the
//! draw that the proxy wrote down.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value as Json;
use weft_policy::decide::Outbound;
use weft_policy::draw::Draw;
use weft_policy::explain;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::identity::SpiffeId;
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::snapshot::{Inbound, Snapshot};
use weft_proto::decode;
use weft_proto::v1::ExplainReply;
use weft_proto::value::Value;
use weft_tests::call;

use crate::shop::Shop;

const RULES: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: shop}
spec:
  parentRefs: [{kind: Service, group: '', name: api}]
  rules:
  - name: beta
    matches: [{headers: [{name: x-beta, value: 'yes'}]}]
    backendRefs: [{name: api-v2, port: 80}]
  - name: cart
    matches: [{path: {type: PathPrefix, value: /cart}, method: GET}]
    backendRefs: [{name: api-v1, port: 80, weight: 7}, {name: api-v2, port: 80, weight: 3}]
  - matches: [{path: {type: Exact, value: /half}}]
    backendRefs: [{name: api-v1, port: 80}, {name: nobody, port: 80}]
  - matches: [{path: {type: Exact, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 302}}]
  - matches: [{path: {type: RegularExpression, value: '/item/[0-9]+'}}, {queryParams: [{name: item, value: '1'}]}]
    backendRefs: [{name: api-v1, port: 80, weight: 1}, {name: api-v2, port: 80, weight: 1}]
---
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: reads, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: api-v2}]
  action: Allow
  rules: [{to: [{methods: [GET, HEAD]}]}]
---
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: api-v1}]
  action: Deny
  rules: [{to: [{paths: [/cart/secret/*]}]}]
";

/// A request that somebody might make.
#[derive(Debug)]
struct Asked {
    method: Method,
    path: &'static str,
    query: &'static str,
    headers: HeaderMap,
}

impl Asked {
    fn generate(dice: &mut Draw) -> Self {
        fn one<T: Clone>(of: &[T], dice: &mut Draw) -> T {
            of[usize::try_from(dice.below(of.len() as u64)).unwrap()].clone()
        }
        let paths = [
            "/",
            "/cart",
            "/cart/1",
            "/cart/secret/x",
            "/carts",
            "/half",
            "/old",
            "/item/17",
            "/item/x",
            "/nowhere",
        ];
        let methods = [Method::GET, Method::GET, Method::POST, Method::HEAD, Method::DELETE];
        let mut headers = HeaderMap::new();
        if dice.below(4) == 0 {
            let value = one(&["yes", "no"], dice);
            headers.insert(HeaderName::from_static("x-beta"), HeaderValue::from_static(value));
        }
        Self {
            method: one(&methods, dice),
            path: one(&paths, dice),
            query: one(&["", "", "item=1", "item=2"], dice),
            headers,
        }
    }

    fn request(&self) -> call::Request {
        let question = if self.query.is_empty() { "" } else { "?" };
        let url = format!("http://api.shop{}{question}{}", self.path, self.query);
        let mut request = call::request(self.method.clone(), &url, "");
        request.headers_mut().extend(self.headers.clone());
        request
    }

    fn facts<'a>(&'a self, caller: &'a SpiffeId, host: &'a str) -> Facts<'a> {
        Facts {
            source: Source { identity: Some(caller), addr: Some([127, 0, 0, 1].into()) },
            destination: Destination::Name { host, port: 80 },
            request: Some(Request {
                method: &self.method,
                host,
                path: self.path,
                query: Some(self.query).filter(|query| !query.is_empty()),
                headers: &self.headers,
                grpc: false,
            }),
        }
    }
}

/// What the control plane would tell the proxies concerned.
struct Told {
    caller: Snapshot,
    callees: BTreeMap<String, Arc<Inbound>>,
    identity: SpiffeId,
}

impl Told {
    fn read(reply: &ExplainReply) -> Self {
        let mut caller = Snapshot::default();
        let mut callees = BTreeMap::new();
        for resource in reply.outbound.iter().chain(&reply.inbound) {
            match decode::resource(resource).unwrap().value {
                Value::Trust(_) => {}
                Value::Inbound(enforced) => {
                    callees.insert(resource.name.clone(), Arc::clone(&enforced.inbound));
                }
                Value::Endpoints(set) => drop(caller.endpoints.insert(set.of.clone(), set)),
                Value::Routes(routes) => drop(caller.routes.insert(routes.service.clone(), routes)),
                Value::Service(service) => {
                    for host in &service.hosts {
                        caller.hosts.insert(Arc::clone(host), service.name.clone());
                    }
                    caller.services.insert(service.name.clone(), service);
                }
            }
        }
        Self { caller, callees, identity: reply.from_identity.parse().unwrap() }
    }
}

/// What is compared: by the same names in the explanation and in the line of the log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    route: Option<String>,
    rule: Option<String>,
    backend: Option<String>,
    refusal: Option<String>,
    status: Option<u64>,
}

impl Done {
    fn explained(told: &Told, asked: &Asked, draw: u64) -> Self {
        let facts = asked.facts(&told.identity, "api.shop");
        let mut draw = Draw::from_seed(draw);
        let explained = explain::outbound(&told.caller, &Nothing, &facts, Moment::START, &mut draw);
        let matched = match &explained.verdict {
            Outbound::Forward(forward) => forward.matched,
            Outbound::Redirect { matched, .. } => Some(*matched),
            Outbound::Refuse { matched, .. } => *matched,
            Outbound::Unknown => None,
        };
        let mut done = Self {
            route: matched.map(|matched| matched.route.origin.to_string()),
            rule: matched.map(|matched| match &matched.rule.name {
                Some(name) => name.to_string(),
                None => matched.rule_index.to_string(),
            }),
            ..Self::default()
        };
        match &explained.verdict {
            Outbound::Forward(forward) => {
                done.backend = Some(forward.to.to_string());
                // Each backend has one endpoint, so which one was picked needs no experience to tell.
                let endpoint = explained.pick.unwrap().unwrap().endpoint;
                let inbound = Some(Arc::clone(
                    &told.callees[&format!("shop/{}", endpoint.name.rsplit('/').next().unwrap())],
                ));
                let snapshot = Snapshot { inbound, ..Snapshot::default() };
                let verdict = explain::inbound(&snapshot, &facts, endpoint.target_port).verdict;
                done.status = Some(if verdict.is_allowed() { 200 } else { 403 });
            }
            Outbound::Redirect { to, .. } => done.status = Some(to.status.as_u16().into()),
            Outbound::Refuse { refusal, .. } => {
                done.refusal = Some(refusal.answer().token.to_owned());
                done.status = Some(refusal.answer().status.as_u16().into());
            }
            Outbound::Unknown => {}
        }
        done
    }

    fn recorded(line: &Json) -> Self {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        Self {
            route: text("route"),
            rule: text("rule"),
            backend: text("backend"),
            refusal: text("refusal"),
            status: line["status"].as_u64(),
        }
    }
}

#[tokio::test]
async fn a_thousand_explanations_are_what_the_proxies_recorded_of_those_very_requests() {
    let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], RULES).await;
    let mut dice = Draw::from_seed(20_260_101);
    let asked: Vec<Asked> = (0..1000).map(|_| Asked::generate(&mut dice)).collect();
    let mut client = shop.web.client().await;
    for asked in &asked {
        client.send(asked.request()).await;
    }
    let lines = shop.web.logged(asked.len(), |line| line["direction"] == "outbound").await;
    let told = Told::read(&shop.mesh.operator().explain("shop/web", "api.shop", 80).await.unwrap());
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (asked, line) in asked.iter().zip(&lines) {
        assert_eq!(
            (line["method"].as_str(), line["path"].as_str()),
            (Some(asked.method.as_str()), Some(asked.path))
        );
        let draw = u64::from_str_radix(line["draw"].as_str().unwrap(), 16).unwrap();
        let (explained, recorded) = (Done::explained(&told, asked, draw), Done::recorded(line));
        assert_eq!(explained, recorded, "{asked:?}\n{line}");
        *kinds.entry(format!("{:?} {:?}", recorded.backend, recorded.status)).or_default() += 1;
    }
    // Every kind of answer was among them, so that the comparison is of something.
    let [v1, v2] = ["shop/api-v1:80", "shop/api-v2:80"].map(|backend| Some(backend.to_owned()));
    for kind in [(&v1, 200), (&v2, 200), (&v1, 403), (&v2, 403), (&None, 302), (&None, 404), (&None, 500)] {
        assert!(
            kinds.contains_key(&format!("{:?} {:?}", kind.0, Some(kind.1))),
            "{kind:?} is not in {kinds:#?}"
        );
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
