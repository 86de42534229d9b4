//! What one Envoy is told, as the JSON that it reads like YAML.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Place;
use crate::way::certificates::{Certificates, identity};
use crate::way::{Between, Change, GENERATION, Handshake};

/// One Envoy's.
pub(super) struct Config<'c> {
    pub(super) place: Place,
    pub(super) between: Between,
    pub(super) listen: SocketAddr,
    /// One or more, of which it takes the less loaded of two.
    pub(super) next: Vec<SocketAddr>,
    pub(super) certificates: &'c Certificates,
    /// The file that its routes are in, if it follows one.
    pub(super) routes: Option<String>,
}

impl Config<'_> {
    /// The whole of it: one listener, one cluster.
    ///
    /// # Errors
    /// If an identity cannot be written down.
    pub(super) fn to_json(&self) -> anyhow::Result<Value> {
        let mut chain = json!({ "filters": [self.filter()] });
        let endpoint = |at: &SocketAddr| json!({ "endpoint": { "address": address(*at) } });
        let endpoints: Vec<Value> = self.next.iter().map(endpoint).collect();
        let mut cluster = json!({
            "name": "next",
            "type": "STATIC",
            "lb_policy": if self.next.len() > 1 { "LEAST_REQUEST" } else { "ROUND_ROBIN" },
            "connect_timeout": "5s",
            "circuit_breakers": { "thresholds": [{
                "max_connections": 100_000,
                "max_pending_requests": 100_000,
                "max_requests": 100_000,
                "max_retries": 100_000,
            }]},
            "load_assignment": { "cluster_name": "next", "endpoints": [{ "lb_endpoints": endpoints }]},
        });
        if self.is_http2_onwards() {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
        }
        if self.place == Place::BesideApplication {
            chain["transport_socket"] = self.tls("Downstream", "api", "web")?;
        }
        if self.place == Place::BesideCaller {
            cluster["transport_socket"] = self.tls("Upstream", "web", "api")?;
        }
        let listener = json!({ "name": "in", "address": address(self.listen), "filter_chains": [chain] });
        Ok(json!({ "static_resources": { "listeners": [listener], "clusters": [cluster] } }))
    }

    fn filter(&self) -> Value {
        if matches!(self.between, Between::Tcp(_)) {
            return json!({
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "in",
                    "cluster": "next",
                },
            });
        }
        let mut filters = vec![json!({ "name": "envoy.filters.http.router", "typed_config": {
            "@type": format!("{EXTENSIONS}.http.router.v3.Router"),
            "dynamic_stats": false,
            "suppress_envoy_headers": true,
        }})];
        if let (Between::Rules(rules), Place::BesideApplication) = (self.between, self.place) {
            filters.insert(0, who_may_call(rules));
        }
        let codec = if self.is_http2_inwards() { "HTTP2" } else { "HTTP1" };
        let mut manager = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "in",
                "codec_type": codec,
                "generate_request_id": false,
                "http_filters": filters,
            },
        });
        if let Some(path) = &self.routes {
            let source = json!({ "path_config_source": { "path": path }, "resource_api_version": "V3" });
            manager["typed_config"]["rds"] = json!({ "route_config_name": ROUTES, "config_source": source });
        } else {
            manager["typed_config"]["route_config"] = json!({ "virtual_hosts": [self.host()] });
        }
        manager
    }

    /// The host and its routes: one for all, or a look into a map of paths, which costs less than a list of routes.
    fn host(&self) -> Value {
        let route = json!({ "match": { "prefix": "/" }, "route": { "cluster": "next" } });
        match self.between {
            Between::One { routes: 2.. } => {
                let mut route = route;
                route["@type"] = "type.googleapis.com/envoy.config.route.v3.Route".into();
                let action = json!({ "action": { "name": "route", "typed_config": route } });
                let map: Map<String, Value> =
                    self.between.paths().into_iter().map(|path| (path, action.clone())).collect();
                json!({ "name": "next", "domains": ["*"], "matcher": { "matcher_tree": {
                    "input": { "name": "path", "typed_config": {
                        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                        "header_name": ":path",
                    }},
                    "exact_match_map": { "map": map },
                }}})
            }
            _ => json!({ "name": "next", "domains": ["*"], "routes": [route] }),
        }
    }

    /// Whether its client speaks HTTP/2.
    fn is_http2_inwards(&self) -> bool {
        match self.place {
            Place::Alone => false,
            Place::BesideCaller => self.between.is_http2(),
            Place::BesideApplication => self.is_http2_between(),
        }
    }

    /// Whether it speaks HTTP/2 to the next one.
    fn is_http2_onwards(&self) -> bool {
        match self.place {
            Place::Alone => false,
            Place::BesideCaller => self.is_http2_between(),
            Place::BesideApplication => self.between.is_http2(),
        }
    }

    /// Between the two: costs it less than HTTP/1.1, whatever the size of the answers.
    const fn is_http2_between(&self) -> bool {
        matches!(self.between, Between::Mesh(_) | Between::Rules(_) | Between::Changing)
    }

    fn tls(&self, side: &str, account: &str, peer: &str) -> anyhow::Result<Value> {
        let certificates = self.certificates;
        let mut common = json!({
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [{
                "certificate_chain": { "filename": certificates.chain(account) },
                "private_key": { "filename": certificates.key(account) },
            }],
            "validation_context": {
                "trusted_ca": { "filename": certificates.root() },
                "match_typed_subject_alt_names": [
                    { "san_type": "URI", "matcher": { "exact": identity(peer)?.as_str() } },
                ],
            },
        });
        if self.is_http2_between() {
            common["alpn_protocols"] = json!(["h2"]);
        }
        let full = self.between == Between::Tcp(Handshake::Full);
        let mut context = json!({
            "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"),
            "common_tls_context": common,
        });
        if side == "Downstream" {
            context["require_client_certificate"] = true.into();
            context["disable_stateless_session_resumption"] = full.into();
        } else {
            // One for each of the connections that are made at the same time.
            context["max_session_keys"] = if full { 0 } else { 64 }.into();
        }
        Ok(json!({ "name": "envoy.transport_sockets.tls", "typed_config": context }))
    }
}

/// So many rules, of which the last lets the caller in: a look into a map of identities, which costs less than a list of
/// policies (at 1000 rules 118 CPU-s for 100 000 requests).
fn who_may_call(rules: usize) -> Value {
    let allow = json!({ "action": { "name": "allow", "typed_config": {
        "@type": "type.googleapis.com/envoy.config.rbac.v3.Action",
        "name": "allow",
        "action": "ALLOW",
    }}});
    let caller = |n| if n + 1 == rules { "web".to_owned() } else { format!("caller-{n}") };
    let identity = |n| format!("spiffe://weft.local/ns/shop/sa/{}", caller(n));
    let map: Map<String, Value> = (0..rules).map(|n| (identity(n), allow.clone())).collect();
    json!({ "name": "envoy.filters.http.rbac", "typed_config": {
        "@type": format!("{EXTENSIONS}.http.rbac.v3.RBAC"),
        "matcher": { "matcher_tree": {
            "input": { "name": "envoy.matching.inputs.uri_san", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput",
            }},
            "exact_match_map": { "map": map },
        }},
    }})
}

/// Routes that it follows in a file, which is written here for the first time.
///
/// # Errors
/// If it cannot be.
pub(super) fn change(dir: &Path) -> anyhow::Result<Change> {
    let header = json!({ "header": { "key": GENERATION, "value": "{{generation}}" } });
    let routes = json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{ "name": "next", "domains": ["*"], "routes": [{
            "match": { "prefix": "/" },
            "route": { "cluster": "next" },
            "response_headers_to_add": [header],
        }]}],
    }]});
    let change = Change { file: dir.join("routes.json"), template: routes.to_string() };
    change.write(0)?;
    Ok(change)
}

const ROUTES: &str = "routes";

fn address(addr: SocketAddr) -> Value {
    json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } })
}

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters";
