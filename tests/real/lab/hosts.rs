//! Hosts as network namespaces, each with one interface on a common bridge, in both families of addresses.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use weft_tests::program::{self, command};

/// Which addresses everybody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The number of the bridge's own address.
pub(crate) const HUB: usize = 1;
/// The namespace of the bridge.
pub(crate) const BRIDGE: &str = "bridge";

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    pub(crate) const fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
        }
    }

    pub(super) fn address(self, number: usize) -> String {
        match self {
            Self::V4 => format!("10.98.1.{number}"),
            Self::V6 => format!("fd98:1::{number}"),
        }
    }

    pub(super) fn cluster_ip(self, nth: usize) -> String {
        match self {
            Self::V4 => format!("10.98.0.{}", nth + 10),
            Self::V6 => format!("fd98::{}", nth + 10),
        }
    }

    /// As it stands before a port.
    pub(crate) fn at(self, ip: &str, port: u16) -> String {
        format!("{}:{port}", self.in_url(ip))
    }

    pub(crate) fn in_url(self, ip: &str) -> String {
        match self {
            Self::V4 => ip.to_owned(),
            Self::V6 => format!("[{ip}]"),
        }
    }

    pub(super) fn bracketed(self, number: usize) -> String {
        self.in_url(&self.address(number))
    }
}

/// The namespaces. They are removed when this goes.
pub(super) struct Hosts {
    prefix: String,
    names: Vec<&'static str>,
}

impl Hosts {
    /// `None` where this user may not make any.
    pub(super) fn build(test: &str, names: &[&'static str]) -> Option<Self> {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        let nth = BUILT.fetch_add(1, Ordering::Relaxed);
        let hosts = Self { prefix: format!("weft{}-{nth}-", std::process::id()), names: names.to_vec() };
        let bridge = hosts.namespace(BRIDGE);
        if !program::output(&format!("ip netns add {bridge}")).status.success() {
            println!("skipped: {test}: network namespaces cannot be made here: this needs root");
            return None;
        }
        ip(&format!("-n {bridge} link set lo up"));
        ip(&format!("-n {bridge} link add br0 type bridge"));
        hosts.addresses(&bridge, "br0", HUB);
        for name in names {
            let host = hosts.namespace(name);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} link add eth0 type veth peer name to-{name} netns {bridge}"));
            ip(&format!("-n {bridge} link set to-{name} master br0 up"));
            hosts.addresses(&host, "eth0", hosts.number(name));
            hosts.track(name);
            for family in Family::BOTH {
                ip(&format!("-n {host} route add default via {}", family.address(HUB)));
            }
        }
        Some(hosts)
    }

    fn addresses(&self, namespace: &str, link: &str, number: usize) {
        let [v4, v6] = Family::BOTH.map(|family| family.address(number));
        ip(&format!("-n {namespace} addr add {v4}/24 dev {link}"));
        ip(&format!("-n {namespace} addr add {v6}/64 dev {link} nodad"));
        ip(&format!("-n {namespace} link set {link} up"));
    }

    /// Has the kernel know the connections of a host from the first packet on, rules or no rules: redirection that is put
    /// in force later then leaves those alone that there are. Tests take it away and bring it back.
    fn track(&self, name: &str) {
        let mut nft = self.command(name, "nft");
        nft.arg("table inet lab { chain seen { type filter hook input priority 0; ct state new accept; }; }");
        let output = nft.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The last part of a host's addresses.
    pub(super) fn number(&self, name: &str) -> usize {
        let place = self.names.iter().position(|known| *known == name);
        place.unwrap_or_else(|| panic!("no host {name}")) + HUB + 1
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A program on a host, with its words.
    pub(super) fn command(&self, host: &str, line: &str) -> Command {
        let mut command = command(&format!("{} {line}", self.inside(host)));
        // A way out of this machine is none in here.
        for name in ["http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    /// What stands before a command that runs on a host.
    pub(super) fn inside(&self, host: &str) -> String {
        format!("ip netns exec {}", self.namespace(host))
    }

    /// A line of shell on a host. It ends after [`LONGEST`] at the latest.
    pub(super) fn bash(&self, host: &str, line: &str) -> Command {
        let mut command = self.command(host, &format!("timeout {LONGEST} bash -c"));
        command.arg(line);
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.names.iter().chain(&[BRIDGE]) {
            let _ = program::output(&format!("ip netns del {}", self.namespace(name)));
        }
    }
}

fn ip(step: &str) {
    let output = program::output(&format!("ip {step}"));
    assert!(output.status.success(), "ip {step}: {output:?}");
}

/// Seconds.
const LONGEST: u32 = 300;
