//! The rules that bring an application's traffic to the proxy: one nftables table for both IP families.
//!
//! [`Rules`] is text and nothing else, so that it can be read (`weft-proxy redirect --print`), compared in a test
//! and applied by something that has the privilege when the proxy has not (an init container, a CNI plugin, a
//! systemd unit). [`apply`] and [`clear`] are the only two functions that touch the kernel, both through `nft`.
//!
//! Why it is written this way:
//! - *One transaction.* `table …; delete table …; table { … }` replaces what was there in one step: there is no
//!   moment in which traffic is half captured, and applying twice is the same as applying once.
//! - *User or group.* What the proxy itself sends is recognised by its uid and by its gid; without that every
//!   connection of the proxy would come back to it.
//! - *DNS stands before the loopback exemption,* because `resolv.conf` may point at `127.0.0.53`.
//! - *Two conntrack zones for UDP DNS,* because application→proxy and proxy→upstream can have the same
//!   addresses and ports, and a reply must find its own query.
//! - *`redirect to` repeats `meta l4proto`* and *priorities are numbers*: nft refuses the shorter spellings.

mod ports;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Output, Stdio};

use ipnet::IpNet;

pub use ports::{BadPortRange, PortRange};

/// What is captured, for whom, and what is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectSettings {
    /// The user the proxy runs as. Its traffic is never captured.
    pub proxy_uid: u32,
    /// The group the proxy runs as: never captured either. A helper that changes its user keeps its group.
    pub proxy_gid: Option<u32>,
    /// Where connections from outside are delivered. The listener must accept on the wildcard address.
    pub inbound_port: u16,
    /// Where the application's own connections are delivered: on 127.0.0.1 and ::1.
    pub outbound_port: u16,
    /// Where DNS questions are delivered: on 127.0.0.1 and ::1, which the listener must bind by name, since a
    /// wildcard UDP socket answers from the wrong address. `None` leaves DNS alone.
    pub dns_port: Option<u16>,
    /// Destination ports that reach the application without the proxy (the proxy's own readiness port is one).
    pub skip_inbound_ports: Vec<PortRange>,
    /// Destination ports that leave without the proxy.
    pub skip_outbound_ports: Vec<PortRange>,
    /// Sources whose connections reach the application without the proxy.
    pub skip_inbound_from: Vec<IpNet>,
    /// Destinations that are reached without the proxy. Nothing is in it unless someone says so: a metadata
    /// service (169.254.169.254) that is captured can be denied by policy, one that is skipped cannot.
    pub skip_outbound_to: Vec<IpNet>,
}

/// Why settings cannot be turned into rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirect {
    /// Port 0 is no port.
    #[error("the {which} port of the redirection is 0: give the port that the proxy listens on")]
    PortZero {
        /// `inbound`, `outbound` or `dns`.
        which: &'static str,
    },
    /// Inbound and outbound would be told apart by nobody.
    #[error(
        "inbound and outbound are both redirected to port {port}: the proxy cannot tell who is calling; use two ports"
    )]
    SamePort {
        /// The port that was given twice.
        port: u16,
    },
    /// Exempting root exempts most of a container.
    #[error(
        "the proxy's user is root (uid 0): everything that runs as root would leave without the mesh; \
         run the proxy as a user of its own and give that uid"
    )]
    RootIsNotAProxyUser,
}

/// A rule set that is complete and consistent. Made from settings, turned into text by [`Rules::to_nft`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(RedirectSettings);

impl Rules {
    /// Checks the settings against each other and puts skip lists into the form that nft accepts (sorted, no
    /// overlap: overlapping intervals in a set are an error there).
    ///
    /// # Errors
    /// [`BadRedirect`], for settings that would redirect nothing, everything, or the proxy to itself.
    pub fn new(mut settings: RedirectSettings) -> Result<Self, BadRedirect> {
        let ports = [
            ("inbound", Some(settings.inbound_port)),
            ("outbound", Some(settings.outbound_port)),
            ("dns", settings.dns_port),
        ];
        if let Some((which, _)) = ports.into_iter().find(|(_, port)| *port == Some(0)) {
            return Err(BadRedirect::PortZero { which });
        }
        if settings.inbound_port == settings.outbound_port {
            return Err(BadRedirect::SamePort { port: settings.inbound_port });
        }
        if settings.proxy_uid == 0 {
            return Err(BadRedirect::RootIsNotAProxyUser);
        }
        PortRange::merge(&mut settings.skip_inbound_ports);
        PortRange::merge(&mut settings.skip_outbound_ports);
        settings.skip_inbound_from = IpNet::aggregate(&settings.skip_inbound_from);
        settings.skip_outbound_to = IpNet::aggregate(&settings.skip_outbound_to);
        Ok(Self(settings))
    }

    /// The whole rule set, as input for `nft -f -`. Equal settings give equal text.
    #[must_use]
    pub fn to_nft(&self) -> String {
        let mut text = String::from(CLEAR);
        text.push_str("table inet weft {\n");
        self.push_sets(&mut text);
        self.push_prerouting(&mut text);
        self.push_output(&mut text);
        self.push_dns_zones(&mut text);
        text.push_str("}\n");
        text
    }

    fn push_sets(&self, text: &mut String) {
        let settings = &self.0;
        push_set(text, "skip_inbound_ports", "inet_service", &settings.skip_inbound_ports);
        push_set(text, "skip_outbound_ports", "inet_service", &settings.skip_outbound_ports);
        for (name, nets) in [
            ("skip_inbound_from", &settings.skip_inbound_from),
            ("skip_outbound_to", &settings.skip_outbound_to),
        ] {
            let (v4, v6) = by_family(nets);
            push_set(text, &format!("{name}_4"), "ipv4_addr", &v4);
            push_set(text, &format!("{name}_6"), "ipv6_addr", &v6);
        }
    }

    fn push_prerouting(&self, text: &mut String) {
        let settings = &self.0;
        let (v4, v6) = by_family(&settings.skip_inbound_from);
        let mut chain =
            Chain::open(text, "inbound", "type nat hook prerouting priority -100; policy accept;");
        chain.rule("iifname \"lo\" return");
        chain.rule("meta l4proto != tcp return");
        chain.rule_if(!settings.skip_inbound_ports.is_empty(), "tcp dport @skip_inbound_ports return");
        chain.rule_if(!v4.is_empty(), "ip saddr @skip_inbound_from_4 return");
        chain.rule_if(!v6.is_empty(), "ip6 saddr @skip_inbound_from_6 return");
        chain.rule(&format!(
            "meta l4proto tcp fib daddr type local counter redirect to :{}",
            settings.inbound_port
        ));
        chain.close();
    }

    fn push_output(&self, text: &mut String) {
        let settings = &self.0;
        let (v4, v6) = by_family(&settings.skip_outbound_to);
        let mut chain = Chain::open(text, "outbound", "type nat hook output priority -100; policy accept;");
        // Before anybody is let go, so that the proxy itself can find out whether the rules are there.
        let [v4_test, v6_test] = SELF_TEST;
        chain.rule(&format!(
            "ip daddr {v4_test} tcp dport {SELF_TEST_PORT} counter redirect to :{SELF_TEST_PORT}"
        ));
        chain.rule(&format!(
            "ip6 daddr {v6_test} tcp dport {SELF_TEST_PORT} counter redirect to :{SELF_TEST_PORT}"
        ));
        chain.rule(&format!("meta skuid {} return", settings.proxy_uid));
        if let Some(gid) = settings.proxy_gid {
            chain.rule(&format!("meta skgid {gid} return"));
        }
        if let Some(port) = settings.dns_port {
            chain.rule(&format!("udp dport 53 counter redirect to :{port}"));
            chain.rule(&format!("tcp dport 53 counter redirect to :{port}"));
        }
        // An application that talks to itself: 127/8, ::1 and its own address all leave through lo.
        chain.rule("oifname \"lo\" return");
        chain.rule("meta l4proto != tcp return");
        chain.rule_if(!settings.skip_outbound_ports.is_empty(), "tcp dport @skip_outbound_ports return");
        chain.rule_if(!v4.is_empty(), "ip daddr @skip_outbound_to_4 return");
        chain.rule_if(!v6.is_empty(), "ip6 daddr @skip_outbound_to_6 return");
        chain.rule(&format!("meta l4proto tcp counter redirect to :{}", settings.outbound_port));
        chain.close();
    }

    /// Zone 1: proxy and upstream. Zone 2: application and proxy.
    fn push_dns_zones(&self, text: &mut String) {
        let settings = &self.0;
        let Some(port) = settings.dns_port else { return };
        let uid = settings.proxy_uid;
        let mut chain = Chain::open(text, "dns_out", "type filter hook output priority -300; policy accept;");
        let not_the_proxy = match settings.proxy_gid {
            Some(gid) => {
                chain.rule(&format!("meta skgid {gid} udp dport 53 ct zone set 1"));
                chain.rule(&format!("meta skgid {gid} udp sport {port} ct zone set 2"));
                format!("meta skuid != {uid} meta skgid != {gid}")
            }
            None => format!("meta skuid != {uid}"),
        };
        chain.rule(&format!("meta skuid {uid} udp dport 53 ct zone set 1"));
        chain.rule(&format!("meta skuid {uid} udp sport {port} ct zone set 2"));
        chain.rule(&format!("{not_the_proxy} udp dport 53 ct zone set 2"));
        chain.close();

        let mut chain =
            Chain::open(text, "dns_in", "type filter hook prerouting priority -300; policy accept;");
        chain.rule("iifname != \"lo\" udp sport 53 ct zone set 1");
        chain.close();
    }
}

/// Loads the rules into the kernel in one transaction. What was there before is replaced.
///
/// # Errors
/// [`RedirectError`], with what to install or to grant. After an error the old rules still hold.
pub fn apply(rules: &Rules) -> Result<(), RedirectError> {
    feed_nft("nft", &rules.to_nft())
}

/// Removes every rule of ours. It is no error if there are none.
///
/// # Errors
/// [`RedirectError`], as for [`apply`].
pub fn clear() -> Result<(), RedirectError> {
    feed_nft("nft", CLEAR)
}

/// Why the kernel does not have the rules.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// There is no `nft` to run.
    #[error(
        "`nft` is not installed, so traffic cannot be redirected: install the package nftables (1.0 or newer; \
         `apt-get install nftables`, `apk add nftables`, `dnf install nftables`), or do without redirection and \
         point the application at one of the proxy's explicit listeners"
    )]
    NotInstalled,
    /// `nft` ran and the kernel said no.
    #[error(
        "the kernel did not let us change its rules ({said}): run `weft-proxy redirect` as root, or give it the \
         capability NET_ADMIN"
    )]
    NotPermitted {
        /// What nft wrote.
        said: String,
    },
    /// `nft` or the kernel did not understand the rules.
    #[error(
        "nft refused the rules ({status}): {said}; check that the kernel has nf_tables with NAT, and send the \
         output of `weft-proxy redirect --print` along if you report this"
    )]
    Refused {
        /// How nft ended.
        status: String,
        /// What nft wrote.
        said: String,
    },
    /// `nft` could not be run or spoken to.
    #[error("could not run `nft`: {source}")]
    Run {
        /// What the system said.
        source: io::Error,
    },
}

/// Runs `program -f -` with `text` on its standard input.
fn feed_nft(program: &str, text: &str) -> Result<(), RedirectError> {
    let run = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => RedirectError::NotInstalled,
        _ => RedirectError::Run { source },
    };
    let mut nft = Command::new(program)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(run)?;
    // A program that ends before it has read everything tells its reason on stderr, not by our broken pipe.
    let written = nft.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let output = nft.wait_with_output().map_err(run)?;
    verdict(&output)?;
    written.map_err(run)
}

fn verdict(output: &Output) -> Result<(), RedirectError> {
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(MAX_SAID).collect();
    if said.contains("Operation not permitted") || said.contains("you must be root") {
        return Err(RedirectError::NotPermitted { said });
    }
    Err(RedirectError::Refused { status: output.status.to_string(), said })
}

/// Writes one chain. Borrowed text, so a rule cannot land outside a chain.
struct Chain<'t>(&'t mut String);

impl<'t> Chain<'t> {
    fn open(text: &'t mut String, name: &str, hook: &str) -> Self {
        text.push_str(&format!("  chain {name} {{\n    {hook}\n"));
        Self(text)
    }

    fn rule(&mut self, rule: &str) {
        self.0.push_str(&format!("    {rule}\n"));
    }

    fn rule_if(&mut self, wanted: bool, rule: &str) {
        if wanted {
            self.rule(rule);
        }
    }

    fn close(self) {
        self.0.push_str("  }\n");
    }
}

/// A named set, left out when it would be empty.
fn push_set<T: ToString>(text: &mut String, name: &str, kind: &str, elements: &[T]) {
    if elements.is_empty() {
        return;
    }
    let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
    text.push_str(&format!(
        "  set {name} {{ type {kind}; flags interval; elements = {{ {} }} }}\n",
        elements.join(", ")
    ));
}

fn by_family(nets: &[IpNet]) -> (Vec<IpNet>, Vec<IpNet>) {
    nets.iter().partition(|net| matches!(net, IpNet::V4(_)))
}

/// Addresses that nobody has (RFC 5737, RFC 3849). With the rules in force they are this host, at one port, for everybody:
/// the proxy, which the rules let go otherwise, finds out by them whether there are any.
pub const SELF_TEST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 102)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x102)),
];
/// At which port, there and here.
pub const SELF_TEST_PORT: u16 = 15022;

/// Creating before deleting makes the deletion succeed whether or not the table was there.
const CLEAR: &str = "table inet weft\ndelete table inet weft\n";

/// How many characters of nft's complaint an error repeats.
const MAX_SAID: usize = 400;

#[cfg(test)]
mod tests;
