//! The proxy's own settings: read once, from an injected source, with all mistakes reported together.
//!
//! What the mesh decides is not here: that arrives in the snapshot and changes while the proxy runs.

mod listing;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weft_certs::verify::PinnedRoot;

use crate::kubelet::question::{Question, questions};
use crate::way_in::{BadFixedPort, FixedPort};

pub use listing::listing;

/// What an operator sets for one proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which workload this proxy stands beside: `namespace/name`.
    pub workload: String,
    /// Where the control plane's gRPC is: `host:port`.
    pub control_plane: String,
    /// A join token for the first certificate, or the file that holds it.
    pub token: Option<Secret>,
    /// The file of a projected service account token, for the first certificate of a pod. Read each time: the kubelet
    /// renews it.
    pub pod_token: Option<PathBuf>,
    /// With it, which control plane to trust: any of these pins, as the injector knows them.
    pub roots: Vec<PinnedRoot>,
    /// Where a certificate and key are kept between starts; `None`: in memory only.
    pub state_dir: Option<PathBuf>,
    /// Listener for calls into the application. Of this one, `outbound` and `dns`, one at 127.0.0.1 or 0.0.0.0 has a
    /// twin at ::1 or ::, where this host has IPv6.
    pub inbound: SocketAddr,
    /// Listener for the application's own calls, transparent or explicit. On whatever address: only connections from
    /// this host are served, because all of them go out as this workload's.
    pub outbound: SocketAddr,
    /// Health, metrics, snapshot. Loopback.
    pub admin: SocketAddr,
    /// Where the kubelet asks, on the pod's address; `None`: nowhere.
    pub probe_listen: Option<SocketAddr>,
    /// What it may ask of the application.
    pub probes: Vec<Question>,
    /// Somebody has seen to it that connections come here, by `weft-proxy redirect` with these arguments. Nothing is ready
    /// before it is true.
    pub redirected: Option<String>,
    /// DNS for mesh names; `None`: off.
    pub dns: Option<SocketAddr>,
    /// DNS servers that are asked about names outside the mesh; none: those of `/etc/resolv.conf`.
    pub dns_upstream: Vec<SocketAddr>,
    /// Fixed local ports: each connection to the left goes to the right. For this host only, as `outbound`.
    pub local_ports: Vec<FixedPort>,
    /// What this proxy says of its workload when it attaches; `None`: a manifest says it.
    pub register: Option<Register>,
    /// Address of the application, where it is not on loopback.
    pub application: IpAddr,
    /// Threads that carry requests; each owns its connections.
    pub workers: usize,
    /// How long requests under way have after SIGTERM.
    pub drain: Duration,
    /// Memory in bytes that the process may take; `None`: what its container may.
    pub memory_limit: Option<u64>,
    /// What happens to a call to somewhere outside the mesh.
    pub unknown: OnUnknown,
    /// How long a request may wait for the control plane to say where it goes.
    pub discovery_wait: Duration,
    /// OTLP/gRPC collector for spans, `http://host:port`; `None`: spans are not sent.
    pub otlp: Option<String>,
    /// The share of traces that begin here whose spans are kept, 0.0–1.0. A caller's own decision comes first.
    pub trace_share: f64,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// What is logged besides: `info`, `debug`, or per module.
    pub log: String,
    /// Changes that while the proxy runs; `None` where the log is not the proxy's own, as in a test.
    pub log_control: Option<LogControl>,
}

/// Changes what is logged.
#[derive(Clone)]
pub struct LogControl(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl LogControl {
    /// `set` takes a filter and says whether it is one.
    pub fn new(set: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(set))
    }

    /// Logs by `filter` from now on; `false` if it is none.
    #[must_use]
    pub fn set(&self, filter: &str) -> bool {
        (self.0)(filter)
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogControl")
    }
}

/// A value that never shows in a log.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for the one who sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a workload says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where other sidecars reach this one.
    pub address: IpAddr,
    /// `name=number`, or a bare number.
    pub ports: Vec<(String, u16)>,
    /// `key=value`
    pub labels: Vec<(String, String)>,
}

/// What happens to a call to somewhere outside the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Passed through as it is, and counted.
    PassThrough,
    /// Refused.
    Deny,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output, a JSON object a line.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

impl Config {
    /// Reads every setting through `get`: `std::env::var` in `main`, a map in tests.
    ///
    /// # Errors
    /// Every setting that is missing or wrong, not just the first.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<BadSetting>> {
        let mut settings = Reader { get, bad: Vec::new() };
        let config = Self {
            workload: settings.required("WEFT_WORKLOAD", workload),
            control_plane: settings.or("WEFT_CONTROL_PLANE", "127.0.0.1:15010".into(), host_and_port),
            token: settings.optional("WEFT_TOKEN", |value| Ok(Secret::new(value.to_owned()))),
            pod_token: settings.optional("WEFT_POD_TOKEN", path),
            roots: settings.list("WEFT_ROOTS", pin),
            state_dir: settings.optional("WEFT_IDENTITY_DIR", path),
            inbound: settings.or("WEFT_INBOUND", (Ipv4Addr::UNSPECIFIED, 15006).into(), addr),
            outbound: settings.or("WEFT_OUTBOUND", (Ipv4Addr::LOCALHOST, 15001).into(), addr),
            admin: settings.or("WEFT_ADMIN", (Ipv4Addr::LOCALHOST, 15020).into(), loopback),
            probe_listen: settings.optional("WEFT_PROBE_LISTEN", addr),
            probes: settings.or("WEFT_PROBES", Vec::new(), questions),
            redirected: settings.optional("WEFT_REDIRECTED", one_line),
            dns: settings.optional("WEFT_DNS", loopback),
            dns_upstream: settings.list("WEFT_DNS_UPSTREAM", dns_server),
            local_ports: settings.list("WEFT_LOCAL_PORTS", local_port),
            register: None,
            application: settings.or("WEFT_APPLICATION", Ipv4Addr::LOCALHOST.into(), ip),
            workers: settings.or("WEFT_WORKERS", 1, workers),
            drain: settings.or("WEFT_DRAIN_SECS", Duration::from_secs(30), seconds),
            memory_limit: settings.optional("WEFT_MEMORY_LIMIT", bytes),
            unknown: settings.or("WEFT_UNKNOWN", OnUnknown::PassThrough, on_unknown),
            discovery_wait: settings.or("WEFT_DISCOVERY_WAIT_SECS", Duration::from_secs(2), seconds),
            otlp: settings.optional("WEFT_OTLP", |value| Ok(value.to_owned())),
            trace_share: settings.or("WEFT_TRACE_SHARE", 0.01, share),
            access_log: settings.or("WEFT_ACCESS_LOG", AccessLog::Off, access_log),
            log: settings.or("WEFT_LOG", "info".into(), |value| Ok(value.to_owned())),
            log_control: None,
        };
        let register = settings.optional("WEFT_REGISTER_ADDRESS", ip).map(|address| Register {
            address,
            ports: settings.list("WEFT_REGISTER_PORTS", named_port),
            labels: settings.list("WEFT_REGISTER_LABELS", label),
        });
        settings.finish(Self { register, ..config })
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct BadSetting {
    name: &'static str,
    what: String,
}

struct Reader<G> {
    get: G,
    bad: Vec<BadSetting>,
}

impl<G: Fn(&str) -> Option<String>> Reader<G> {
    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.get)(name).filter(|value| !value.is_empty())?;
        parse(&value).map_err(|what| self.bad.push(BadSetting { name, what })).ok()
    }

    fn or<T>(&mut self, name: &'static str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    fn required(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<String, String>) -> String {
        if (self.get)(name).is_none_or(|value| value.is_empty()) {
            self.bad.push(BadSetting { name, what: "is required".into() });
        }
        self.or(name, String::new(), parse)
    }

    fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let all = |value: &str| value.split(',').map(|item| parse(item.trim())).collect();
        self.or(name, Vec::new(), all)
    }

    fn finish<T>(self, config: T) -> Result<T, Vec<BadSetting>> {
        if self.bad.is_empty() { Ok(config) } else { Err(self.bad) }
    }
}

fn addr(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| format!("{value} is not an address like 127.0.0.1:15001"))
}

fn loopback(value: &str) -> Result<SocketAddr, String> {
    let parsed = addr(value)?;
    if parsed.ip().is_loopback() {
        Ok(parsed)
    } else {
        Err(format!("{value} is not on loopback; admin and DNS are for this host alone"))
    }
}

/// `address`, or `address:port` where it is not 53.
fn dns_server(value: &str) -> Result<SocketAddr, String> {
    let plain = || value.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    let server = value.parse().ok().or_else(plain);
    server.ok_or_else(|| format!("{value} is not a DNS server's address like 10.0.0.2 or 10.0.0.2:5353"))
}

fn ip(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| format!("{value} is not an IP address"))
}

/// `<trust domain>:<SHA-256 of the root, in hex>`
fn pin(value: &str) -> Result<PinnedRoot, String> {
    let (domain, root) = value.split_once(':').ok_or("expected <trust domain>:<hash of the root>")?;
    let domain = domain.parse().map_err(|error| format!("`{domain}` is no trust domain: {error}"))?;
    let root = root.parse().map_err(|error| format!("`{root}` is no hash: {error}"))?;
    Ok(PinnedRoot { domain, root })
}

fn one_line(value: &str) -> Result<String, String> {
    if value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        Ok(value.to_owned())
    } else {
        Err("write the arguments of `weft-proxy redirect` in one line".into())
    }
}

fn path(value: &str) -> Result<PathBuf, String> {
    Ok(value.into())
}

fn workload(value: &str) -> Result<String, String> {
    match value.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(value.to_owned())
        }
        _ => Err(format!("{value} is not namespace/name")),
    }
}

fn host_and_port(value: &str) -> Result<String, String> {
    split_port(value).map(|_| value.to_owned())
}

fn split_port(value: &str) -> Result<(&str, u16), String> {
    value
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .filter(|(host, port)| !host.is_empty() && *port != 0)
        .ok_or_else(|| format!("{value} is not host:port"))
}

fn local_port(value: &str) -> Result<FixedPort, String> {
    value.parse().map_err(|error: BadFixedPort| error.to_string())
}

fn named_port(value: &str) -> Result<(String, u16), String> {
    let (name, number) = value.split_once('=').unwrap_or(("", value));
    let number = number.parse().map_err(|_| format!("{value} is not NAME=PORT"))?;
    Ok((name.to_owned(), number))
}

fn label(value: &str) -> Result<(String, String), String> {
    let (key, value) = value.split_once('=').ok_or_else(|| format!("{value} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn workers(value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|n| (1..=256).contains(n)).ok_or_else(|| format!("{value} is not in 1..=256"))
}

fn seconds(value: &str) -> Result<Duration, String> {
    let parsed = value.parse::<f64>().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    parsed.ok_or_else(|| format!("{value} is not a number of seconds"))
}

fn bytes(value: &str) -> Result<u64, String> {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("", 1)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        value.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor).filter(|bytes| *bytes > 0)
    });
    parsed.ok_or_else(|| format!("{value} is no number of bytes, such as 64Mi"))
}

fn share(value: &str) -> Result<f64, String> {
    let parsed = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    parsed.ok_or_else(|| format!("{value} is not a share between 0 and 1"))
}

fn on_unknown(value: &str) -> Result<OnUnknown, String> {
    match value {
        "allow" => Ok(OnUnknown::PassThrough),
        "deny" => Ok(OnUnknown::Deny),
        _ => Err(format!("{value} is neither allow nor deny")),
    }
}

fn access_log(value: &str) -> Result<AccessLog, String> {
    Ok(match value {
        "off" => AccessLog::Off,
        "stdout" | "-" => AccessLog::Stdout,
        file => AccessLog::File(file.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<BadSetting>> {
        let get =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::read(get)
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let mistakes = read(&[
            ("WEFT_INBOUND", "here"),
            ("WEFT_ADMIN", "0.0.0.0:15020"),
            ("WEFT_LOCAL_PORTS", "7001=api.shop:80,oops"),
            ("WEFT_WORKERS", "0"),
        ])
        .unwrap_err();
        let names: Vec<_> = mistakes.iter().map(|bad| bad.name).collect();
        assert_eq!(
            names,
            ["WEFT_WORKLOAD", "WEFT_INBOUND", "WEFT_ADMIN", "WEFT_LOCAL_PORTS", "WEFT_WORKERS"]
        );
    }

    #[test]
    fn a_workload_alone_is_enough() {
        let config = read(&[("WEFT_WORKLOAD", "shop/web")]).unwrap();
        assert_eq!(config.outbound, "127.0.0.1:15001".parse().unwrap());
        assert_eq!(config.unknown, OnUnknown::PassThrough);
    }

    #[test]
    fn a_dns_server_needs_no_port() {
        let servers = |text| read(&[("WEFT_WORKLOAD", "a/b"), ("WEFT_DNS_UPSTREAM", text)]);
        let config = servers("10.0.0.2, 10.0.0.3:5353,::1,[::1]:5353").unwrap();
        let want = ["10.0.0.2:53", "10.0.0.3:5353", "[::1]:53", "[::1]:5353"];
        assert_eq!(config.dns_upstream, want.map(|addr| addr.parse().unwrap()));
        assert!(servers("dns.example").is_err());
    }

    #[test]
    fn the_roots_that_a_pod_may_trust_at_first_are_pins() {
        let hash = "ab".repeat(32);
        let set = format!("mesh:{hash}, weft.local:{hash}");
        let read = |roots: &str| {
            let get = |name: &str| match name {
                "WEFT_WORKLOAD" => Some("shop/api-1".to_owned()),
                "WEFT_ROOTS" => Some(roots.to_owned()),
                _ => None,
            };
            Config::read(get)
        };
        let roots = read(&set).unwrap().roots;
        assert_eq!(
            (roots.len(), roots[1].domain.as_str(), roots[1].root.to_string()),
            (2, "weft.local", hash)
        );
        for bad in ["mesh", "mesh:ab", &format!("Mesh!:{}", "ab".repeat(32))] {
            assert!(read(bad).unwrap_err()[0].to_string().starts_with("WEFT_ROOTS: "), "{bad}");
        }
    }

    #[test]
    fn a_limit_of_memory_is_bytes_or_has_a_unit_of_kubernetes() {
        let limit =
            |text| read(&[("WEFT_WORKLOAD", "a/b"), ("WEFT_MEMORY_LIMIT", text)]).map(|c| c.memory_limit);
        for (text, bytes) in [("1048576", 1 << 20), ("64Ki", 64 << 10), ("64Mi", 64 << 20), ("2Gi", 2 << 30)]
        {
            assert_eq!(limit(text).unwrap(), Some(bytes), "{text}");
        }
        for text in ["0", "-1", "64M", "Mi", "99999999999Gi"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_never_shows() {
        let config = read(&[("WEFT_WORKLOAD", "a/b"), ("WEFT_TOKEN", "weft1.secret")]).unwrap();
        assert!(!format!("{config:?}").contains("weft1"));
    }
}
