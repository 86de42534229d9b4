//! Every way from a program on the client's host to a Service, and the proof that it led through the mesh.
//!
//! The proof has three parts, for each line and each way: the server's sidecar has written down the client's identity,
//! which only a certificate can prove to it; the same line straight to the server's address is refused, because the laboratory
//! is strict; and without redirection there is no other way that a name of the mesh could lead anywhere.

use serde_json::Value;
use weft_tests::eventually::eventually;

use super::{Lab, WEB};

/// How a program comes into the mesh, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the Service's address, which nftables bring to the sidecar.
    ByAddress,
    /// To its name, which the sidecar's DNS knows.
    ByName,
    /// To a local port of the sidecar that stands for it, without any rules.
    FixedPort,
    /// Through the sidecar as its HTTP proxy, as `http_proxy` says, without any rules.
    HttpProxy,
    /// To the server's own address without the mesh: refused.
    Direct,
}

/// What is tried, and where.
pub(crate) struct Trial<'a> {
    /// The Service.
    pub(crate) service: &'a str,
    /// Which ways its program can be told to go.
    pub(crate) ways: &'a [Way],
    /// Lines of shell, and what each must say on every way but [`Way::Direct`]. `HOST`, `PORT` and `URL` (without a path) say
    /// where the server is.
    pub(crate) lines: &'a [(&'a str, &'a str)],
}

/// For programs that can be told a host and a port, and nothing else.
pub(crate) const BY_PORT: &[Way] = &[Way::ByAddress, Way::ByName, Way::FixedPort, Way::Direct];
/// For programs that know what an HTTP proxy is.
pub(crate) const BY_PROXY_TOO: &[Way] =
    &[Way::ByAddress, Way::ByName, Way::FixedPort, Way::HttpProxy, Way::Direct];

pub(super) const fn fixed_port(nth: usize) -> u16 {
    20_000 + nth as u16
}

impl Lab {
    /// Tries all of it. Rules stand at the end as they stood before.
    pub(crate) async fn try_every_way(&self, trial: Trial<'_>) {
        for way in trial.ways {
            let captured = matches!(way, Way::ByAddress | Way::ByName);
            if !captured {
                self.clear(self.client());
            }
            for (line, says) in trial.lines {
                self.try_line(&trial, *way, line, says).await;
            }
            if !captured {
                self.redirect(self.client());
            }
        }
    }

    async fn try_line(&self, trial: &Trial<'_>, way: Way, line: &str, says: &str) {
        let (_, server, _) = self.service(trial.service);
        let before = self.carried(server).len();
        let whole = self.placed(trial.service, way, line);
        let output = self.shell(self.client(), &whole);
        let said = String::from_utf8_lossy(&output.stdout);
        let what = || {
            let family = self.plan.family;
            let wrong = String::from_utf8_lossy(&output.stderr);
            format!("{way:?} over {family:?}: {whole}: {}\n{said}\n{wrong}\n{}", output.status, self.told())
        };
        if way == Way::Direct {
            assert_ne!(said.trim(), says, "without the mesh: {}", what());
            assert_eq!(self.carried(server).len(), before, "without the mesh: {}", what());
            return;
        }
        assert_eq!(said.trim(), says, "{}", what());
        eventually(format!("{server} has written down who called: {}", what()), async || {
            (self.carried(server).len() > before).then_some(())
        })
        .await;
    }

    /// The line with what this way makes of the server's place.
    pub(crate) fn placed(&self, service: &str, way: Way, line: &str) -> String {
        let (nth, server, port) = self.service(service);
        let family = self.plan.family;
        let (host, port) = match way {
            Way::ByAddress => (self.cluster_ip(service, family), port.1),
            Way::ByName => (format!("{service}.shop.mesh"), port.1),
            Way::FixedPort => (family.loopback().to_owned(), fixed_port(nth)),
            Way::HttpProxy => (format!("{service}.shop"), port.1),
            Way::Direct => (self.address(server), port.2),
        };
        let in_url = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let proxy = match way {
            Way::HttpProxy => "export http_proxy=http://127.0.0.1:15001; ",
            _ => "unset http_proxy; ",
        };
        let placed = line.replace("URL", &format!("{in_url}:{port}")).replace("HOST", &host);
        format!("{proxy}{}", placed.replace("PORT", &port.to_string()))
    }

    /// The first host.
    pub(crate) fn client(&self) -> &'static str {
        self.plan.hosts[0].0
    }

    /// What a host's sidecar has carried in for the client and written down.
    pub(crate) fn carried(&self, host: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.access_log(host)).unwrap_or_default();
        // What stands after the last line break is still being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let let_in = |line: &Value| line["direction"] == "inbound" && line["refusal"].is_null();
        let inbound: Vec<_> = lines.filter(let_in).collect();
        if self.plan.mode == super::Mode::Strict {
            assert!(inbound.iter().all(|line| !line["peer"].is_null()), "somebody came in unproven: {text}");
        }
        inbound.into_iter().filter(|line| line["peer"] == WEB).collect()
    }
}
