//! Every setting with its default and what it does, as `weft-proxy --help` shows them. A test holds the list against what
//! is read.

use std::fmt::Write as _;

/// One setting: its environment variable, what it is where nothing is set, what it does.
type Setting = (&'static str, &'static str, &'static str);

/// Nothing, where nothing is set.
const NONE: &str = "";

/// In the order in which a newcomer asks: who, from whom, where, how much, what is told.
const SETTINGS: [Setting; 28] = [
    ("WEFT_WORKLOAD", "required", "the workload beside which it stands: namespace/name"),
    ("WEFT_CONTROL_PLANE", "127.0.0.1:15010", "the control plane's host:port"),
    ("WEFT_TOKEN", NONE, "a join token, for the first certificate"),
    ("WEFT_POD_TOKEN", NONE, "instead: the file of a pod's projected token"),
    ("WEFT_ROOTS", NONE, "with it: roots to trust, <trust domain>:<SHA-256>,..."),
    ("WEFT_IDENTITY_DIR", "memory", "where certificate, key and last snapshot are kept"),
    ("WEFT_INBOUND", "0.0.0.0:15006", "listens here for calls into the application"),
    ("WEFT_OUTBOUND", "127.0.0.1:15001", "and here for the application's own"),
    ("WEFT_LOCAL_PORTS", NONE, "fixed local ports: 7001=api.shop:80,..."),
    ("WEFT_APPLICATION", "127.0.0.1", "the application's address"),
    ("WEFT_REDIRECTED", NONE, "arguments of `weft-proxy redirect` to wait for"),
    ("WEFT_REGISTER_ADDRESS", NONE, "registers the workload under this address"),
    ("WEFT_REGISTER_PORTS", NONE, "with these ports: http=8080,..."),
    ("WEFT_REGISTER_LABELS", NONE, "and labels: app=web,..."),
    ("WEFT_DNS", "off", "answers DNS for mesh names at this loopback address"),
    ("WEFT_DNS_UPSTREAM", "/etc/resolv.conf", "who is asked about other names"),
    ("WEFT_UNKNOWN", "allow", "calls out of the mesh: allow or deny"),
    ("WEFT_DISCOVERY_WAIT_SECS", "2", "a first call waits so long for its route"),
    ("WEFT_WORKERS", "1", "threads that carry requests"),
    ("WEFT_MEMORY_LIMIT", "the container's", "refuses new requests from 85 % of it: 128Mi"),
    ("WEFT_DRAIN_SECS", "30", "requests under way have so long after SIGTERM"),
    ("WEFT_ADMIN", "127.0.0.1:15020", "health, metrics, snapshot; loopback only"),
    ("WEFT_PROBE_LISTEN", NONE, "where the kubelet asks about application and proxy"),
    ("WEFT_PROBES", NONE, "what it may ask; the injector writes it"),
    ("WEFT_ACCESS_LOG", "off", "off, stdout or a file: a JSON object a request"),
    ("WEFT_OTLP", NONE, "an OTLP/gRPC collector for spans: http://host:port"),
    ("WEFT_TRACE_SHARE", "0.01", "of the traces that begin here, this share is kept"),
    ("WEFT_LOG", "info", "its own log on standard error: debug, or per module"),
];

/// The list, as it is printed.
#[must_use]
pub fn listing() -> String {
    let mut text = String::from("Settings (environment variables):\n");
    for (name, default, meaning) in SETTINGS {
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<26}{meaning}{default}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_setting_that_is_read_is_listed_and_no_other() {
        let read = RefCell::new(BTreeSet::new());
        // An address, so that what depends on it is asked for too.
        let _ = Config::read(|name| {
            read.borrow_mut().insert(name.to_owned());
            (name == "WEFT_REGISTER_ADDRESS").then(|| "10.0.0.1".to_owned())
        });
        let listed = SETTINGS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(read.into_inner(), listed);
    }

    #[test]
    fn each_default_is_what_a_proxy_without_settings_has() {
        let config = Config::read(|name| (name == "WEFT_WORKLOAD").then(|| "a/b".to_owned())).unwrap();
        let default =
            |name| SETTINGS.iter().find(|setting| setting.0 == name).map(|setting| setting.1.to_owned());
        for (name, have) in [
            ("WEFT_CONTROL_PLANE", config.control_plane),
            ("WEFT_INBOUND", config.inbound.to_string()),
            ("WEFT_OUTBOUND", config.outbound.to_string()),
            ("WEFT_APPLICATION", config.application.to_string()),
            ("WEFT_DISCOVERY_WAIT_SECS", config.discovery_wait.as_secs().to_string()),
            ("WEFT_WORKERS", config.workers.to_string()),
            ("WEFT_DRAIN_SECS", config.drain.as_secs().to_string()),
            ("WEFT_ADMIN", config.admin.to_string()),
            ("WEFT_TRACE_SHARE", config.trace_share.to_string()),
            ("WEFT_LOG", config.log),
        ] {
            assert_eq!(default(name), Some(have), "{name}");
        }
    }
}
