//! Requests that somebody might make, of a shop with rules of every kind.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use weft_policy::draw::Draw;
use weft_tests::call;

pub(super) const RULES: &str = "
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
  - name: inner
    matches: [{path: {type: PathPrefix, value: /outer}}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /cart}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-inner, value: 'yes'}]}}
    backendRefs: [{name: api-v1, port: 80}, {name: api-v2, port: 80}]
  - matches: [{path: {type: RegularExpression, value: '/item/[0-9]+'}}, {queryParams: [{name: item, value: '1'}]}]
    backendRefs: [{name: api-v1, port: 80, weight: 1}, {name: api-v2, port: 80, weight: 1}]
---
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: reads, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: api-v2}]
  action: Allow
  rules: [{to: [{methods: [GET, HEAD]}, {headers: [{name: x-inner, values: ['yes']}]}]}]
---
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: no-batch, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: api-v2}]
  action: Deny
  rules: [{from: [{serviceAccounts: [shop/batch]}], to: [{methods: [GET]}]}]
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
pub(super) struct Asked {
    /// The workload.
    pub(super) caller: &'static str,
    pub(super) host: &'static str,
    pub(super) method: Method,
    /// As it is written, which need not be its one form.
    pub(super) path: &'static str,
    pub(super) query: &'static str,
    pub(super) headers: HeaderMap,
    /// By which both proxies' records are found.
    pub(super) trace: String,
}

impl Asked {
    pub(super) fn generate(number: usize, dice: &mut Draw) -> Self {
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
            "/outer",
            "/outer/secret/x",
            "/item/17",
            "/item/x",
            "/nowhere",
            // Other spellings of the same, and what is no path at all.
            "/%63art/%73ecret/x",
            "/cart/./1/../secret/x",
            "/cart//1",
            "/cart/a%2Fb",
            "/cart;v=1/secret/x",
            "/nowhere%2F..%2Fcart",
            "/../cart",
            "/cart/%00",
        ];
        let methods = [Method::GET, Method::GET, Method::POST, Method::HEAD, Method::DELETE];
        let mut headers = HeaderMap::new();
        if dice.below(4) == 0 {
            let value = one(&["yes", "no"], dice);
            headers.insert(HeaderName::from_static("x-beta"), HeaderValue::from_static(value));
        }
        Self {
            caller: one(&["shop/web", "shop/web", "shop/batch"], dice),
            host: one(&["api.shop", "api.shop", "api.shop", "api", "api-v1.shop", "api-v2.shop.mesh"], dice),
            method: one(&methods, dice),
            path: one(&paths, dice),
            query: one(&["", "", "item=1", "item=2"], dice),
            headers,
            trace: format!("{:032x}", number + 1),
        }
    }

    pub(super) fn path_and_query(&self) -> String {
        let question = if self.query.is_empty() { "" } else { "?" };
        format!("{}{question}{}", self.path, self.query)
    }

    pub(super) fn request(&self) -> call::Request {
        let url = format!("http://{}{}", self.host, self.path_and_query());
        let mut request = call::request(self.method.clone(), &url, "");
        request.headers_mut().extend(self.headers.clone());
        call::with(request, "traceparent", &format!("00-{}-00000000000000aa-00", self.trace))
    }
}
