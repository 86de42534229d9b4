//! `meshctl identity deny|allow|denied|forget`: somebody is refused, and every connection of his ends, before his
//! certificate does; or a workload that is gone for good is forgotten.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use weft_proto::v1;
use weft_proto::v1::admin_client::AdminClient;
use weft_proto::v1::denial::Whom;

use super::super::{Shell, namespaced};
use crate::clock::parse_span;
use crate::control_plane::refused;
use crate::outcome::Outcome;
use crate::output::{Page, Table, Tell, Tone};

/// An order about somebody.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Order {
    /// Refuse an identity, or one certificate, from now on: its streams and connections end, and nothing is renewed.
    Deny(Named),
    /// Take a denial back.
    Allow(Named),
    /// Show who is denied.
    Denied,
    /// Forget a workload: it neither registers nor renews without a new join token.
    Forget(Forget),
}

/// Whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// A service account (namespace/name) of this mesh, or a whole SPIFFE ID.
    #[arg(value_name = "IDENTITY", required_unless_present = "serial")]
    identity: Option<String>,
    /// One certificate, by its serial number in hex, as the audit log and `openssl x509 -serial` print it.
    #[arg(long, value_name = "HEX", conflicts_with = "identity")]
    serial: Option<String>,
    /// Return when every attached proxy has acknowledged; name those that have not after this time.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_span)]
    wait: Duration,
}

/// Which workload.
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    /// The workload.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = namespaced)]
    workload: String,
}

impl Order {
    /// Gives the order. A proxy that has not taken a denial still lets him in, so that is a problem.
    pub(super) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let control_plane = shell.control_plane().await?;
        let mut admin = control_plane.admin();
        let (named, what) = match self {
            Self::Deny(named) => (named, What::Deny),
            Self::Allow(named) => (named, What::Allow),
            Self::Denied => {
                let reply = What::Deny.ask(&mut admin, None).await?;
                shell.output.print(&Denied::read("", &reply))?;
                return Ok(Outcome::Fine);
            }
            Self::Forget(forget) => return forget.run(shell, &mut admin).await,
        };
        let whom = match (named.identity, named.serial) {
            (Some(id), _) if !id.contains("://") => {
                let status = control_plane.inspect().status(v1::StatusRequest::default()).await;
                let domain = status.map_err(|status| refused(&status))?.into_inner().trust_domain;
                Whom::Identity(spelled_out(&domain, &id)?)
            }
            (Some(id), _) => Whom::Identity(id),
            (None, serial) => Whom::Serial(serial.unwrap_or_default()),
        };
        let mut reply = what.ask(&mut admin, Some(whom)).await?;
        let changed = reply.changed;
        let give_up = Instant::now() + named.wait;
        while !reply.waiting_for.is_empty() && Instant::now() < give_up {
            sleep(POLL).await;
            reply = what.ask(&mut admin, None).await?;
        }
        let answer = Denied::read(what.outcome(changed), &reply);
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(!answer.waiting_for.is_empty()))
    }
}

/// `namespace/name` as a SPIFFE ID of the mesh that is asked.
fn spelled_out(domain: &str, account: &str) -> anyhow::Result<String> {
    let account = namespaced(account).map_err(anyhow::Error::msg)?;
    let (namespace, name) = account.split_once('/').unwrap_or_default();
    Ok(format!("spiffe://{domain}/ns/{namespace}/sa/{name}"))
}

#[derive(Clone, Copy)]
enum What {
    Deny,
    Allow,
}

impl What {
    /// Nobody named: nothing changes.
    async fn ask(
        self,
        admin: &mut AdminClient<Channel>,
        whom: Option<Whom>,
    ) -> anyhow::Result<v1::DenyReply> {
        let request = v1::DenyRequest { denial: whom.map(|whom| v1::Denial { whom: Some(whom) }) };
        let reply = match self {
            Self::Deny => admin.deny_identity(request).await,
            Self::Allow => admin.allow_identity(request).await,
        };
        Ok(reply.map_err(|status| refused(&status))?.into_inner())
    }

    const fn outcome(self, changed: bool) -> &'static str {
        match (self, changed) {
            (Self::Deny, true) => "denied",
            (Self::Deny, false) => "was denied already",
            (Self::Allow, true) => "no longer denied",
            (Self::Allow, false) => "was not denied",
        }
    }
}

#[derive(Debug, Serialize)]
struct Denied {
    /// What the order came to.
    outcome: &'static str,
    denied: Vec<Row>,
    waiting_for: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// `identity` or `certificate`.
    kind: &'static str,
    /// A SPIFFE ID, or a serial number in hex.
    whom: String,
}

impl Denied {
    fn read(outcome: &'static str, reply: &v1::DenyReply) -> Self {
        let row = |denial: &v1::Denial| match denial.whom.clone()? {
            Whom::Identity(whom) => Some(Row { kind: "identity", whom }),
            Whom::Serial(whom) => Some(Row { kind: "certificate", whom }),
        };
        let denied = reply.denied.iter().filter_map(row).collect();
        Self { outcome, denied, waiting_for: reply.waiting_for.clone() }
    }
}

impl Tell for Denied {
    fn tell(&self, page: &mut Page) {
        if !self.outcome.is_empty() {
            page.line(self.outcome);
            page.gap();
        }
        if self.denied.is_empty() {
            page.toned(Tone::Faint, "nobody is denied");
        } else {
            let mut table = Table::of_words(&["DENIED", "KIND"]);
            for row in &self.denied {
                table.row([(Tone::Strong, row.whom.clone()), (Tone::Plain, row.kind.to_owned())]);
            }
            page.table(&table);
        }
        if !self.waiting_for.is_empty() {
            page.gap();
            page.toned(Tone::Warn, format!("{} proxies have not acknowledged yet:", self.waiting_for.len()));
            for proxy in &self.waiting_for {
                page.line(format!("  {proxy}"));
            }
        }
    }
}

impl Forget {
    async fn run(self, shell: &Shell, admin: &mut AdminClient<Channel>) -> anyhow::Result<Outcome> {
        let request = v1::ForgetRequest { workload: self.workload.clone() };
        let reply = admin.forget_workload(request).await.map_err(|status| refused(&status))?.into_inner();
        let answer = Forgotten { workload: self.workload, known: reply.known, declared: reply.declared };
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(!answer.known))
    }
}

#[derive(Debug, Serialize)]
struct Forgotten {
    workload: String,
    /// Whether there was anything to forget.
    known: bool,
    /// Whether a manifest still declares it.
    declared: bool,
}

impl Tell for Forgotten {
    fn tell(&self, page: &mut Page) {
        let Self { workload, known, declared } = self;
        if *known {
            page.line(format!("{workload} is forgotten: it needs a new join token to come back"));
        } else {
            page.toned(
                Tone::Warn,
                format!("{workload} is not known: it never enrolled here, or was forgotten"),
            );
        }
        if *declared {
            page.toned(Tone::Faint, "A manifest still declares it; take it out there to end its streams.");
        }
    }
}

const POLL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_spelled_out_and_anything_else_is_no_name() {
        assert_eq!(spelled_out("weft.local", "shop/web").unwrap(), "spiffe://weft.local/ns/shop/sa/web");
        for text in ["web", "shop/", "/web", "shop/web/1", ""] {
            assert!(spelled_out("weft.local", text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_an_order_came_to_is_told_with_who_is_denied_and_who_has_not_heard() {
        let denial = |whom| v1::Denial { whom: Some(whom) };
        let reply = v1::DenyReply {
            denied: vec![
                denial(Whom::Identity("spiffe://mesh/ns/a/sa/b".to_owned())),
                denial(Whom::Serial("0aff".to_owned())),
                v1::Denial::default(),
            ],
            changed: true,
            waiting_for: vec!["shop/web-1".to_owned()],
        };
        let answer = Denied::read(What::Deny.outcome(reply.changed), &reply);
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["outcome"], "denied");
        assert_eq!(json["denied"][1]["kind"], "certificate");
        assert_eq!(json["denied"].as_array().unwrap().len(), 2, "a kind from the future is left out");
        assert_eq!(json["waiting_for"][0], "shop/web-1");
    }
}
