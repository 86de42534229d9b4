//! `meshctl identity`: who vouches for whom, and until when; who is refused before that, and who is forgotten.

mod order;

use serde::Serialize;
use weft_proto::v1;

use super::Shell;
use super::status::Answer as Standing;
use crate::clock::{relative, unix_now};
use crate::outcome::Outcome;
use crate::output::{Page, Table, Tell, Tone};

/// Show the trust domain, its roots, and every proxy's certificate. Or refuse somebody before a certificate ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Identity {
    #[command(subcommand)]
    order: Option<order::Order>,
}

impl Identity {
    /// A certificate that has expired, or a root that soon will, is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        if let Some(order) = self.order {
            return order.run(shell).await;
        }
        let answer = Answer::read(shell.asked().await?.status().await?, unix_now());
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(answer.has_problem()))
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    trust_domain: String,
    roots: Vec<Root>,
    certificates: Vec<Certificate>,
    #[serde(skip)]
    now: u64,
}

#[derive(Debug, Serialize)]
struct Root {
    sha256: String,
    /// `active`, `prepared`, `retiring`.
    phase: String,
    not_after_unix: u64,
}

#[derive(Debug, Serialize)]
struct Certificate {
    workload: String,
    identity: String,
    not_after_unix: u64,
    attached: bool,
}

impl Answer {
    fn read(reply: v1::StatusReply, now: u64) -> Self {
        let roots = reply.roots.iter().map(|root| Root {
            sha256: root.sha256.clone(),
            phase: root.phase.clone(),
            not_after_unix: root.not_after_unix,
        });
        let roots = roots.collect();
        let standing = Standing::read(reply, false);
        let certificates = standing.proxies.into_iter().map(|proxy| Certificate {
            workload: proxy.workload,
            identity: proxy.identity,
            not_after_unix: proxy.certificate_expires_unix,
            attached: proxy.attached,
        });
        Self { trust_domain: standing.trust_domain, roots, certificates: certificates.collect(), now }
    }

    /// One that is away may have expired: it enrols again when it returns.
    fn has_problem(&self) -> bool {
        let expired = |at: u64| at != 0 && at <= self.now;
        self.certificates.iter().any(|it| it.attached && expired(it.not_after_unix))
            || self.roots.iter().any(|root| expired(root.not_after_unix.saturating_sub(ROOT_WARNING)))
    }
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        page.line(format!("trust domain  {}", page.paint(Tone::Strong, &self.trust_domain)));
        page.gap();
        let mut table = Table::of_words(&["ROOT (SHA-256)", "PHASE", "ENDS"]);
        for root in &self.roots {
            let soon = root.not_after_unix <= self.now.saturating_add(ROOT_WARNING);
            table.row([
                (Tone::Plain, root.sha256.clone()),
                (Tone::Strong, root.phase.clone()),
                (if soon { Tone::Bad } else { Tone::Plain }, relative(root.not_after_unix, self.now)),
            ]);
        }
        page.table(&table);
        page.gap();
        let mut table = Table::of_words(&["WORKLOAD", "IDENTITY", "CERTIFICATE ENDS"]);
        for certificate in &self.certificates {
            let ended = certificate.not_after_unix <= self.now;
            table.row([
                (if certificate.attached { Tone::Plain } else { Tone::Faint }, certificate.workload.clone()),
                (Tone::Plain, certificate.identity.clone()),
                (
                    if ended { Tone::Warn } else { Tone::Plain },
                    relative(certificate.not_after_unix, self.now),
                ),
            ]);
        }
        page.table(&table);
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl identity
  meshctl identity deny shop/web                   nobody is let in as this service account
  meshctl identity deny --serial 0a:ff:10          nobody is let in with this one certificate
  meshctl identity denied                          who is denied
  meshctl identity allow shop/web
  meshctl identity forget shop/web-1               this workload needs a new token to come back";

/// A root is replaced well before it ends: 30 days.
const ROOT_WARNING: u64 = 30 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_certificate_of_a_live_proxy_and_an_old_root_are_problems() {
        let reply = |cert_not_after_unix, not_after_unix, attached| v1::StatusReply {
            roots: vec![v1::TrustRoot { not_after_unix, ..Default::default() }],
            proxies: vec![v1::ProxyStatus {
                attached,
                report: Some(v1::Report { cert_not_after_unix, ..Default::default() }),
                ..Default::default()
            }],
            ..Default::default()
        };
        let (now, year) = (1_000_000_000, 31_536_000);
        for (certificate, root, attached, problem) in [
            (now + 3600, now + year, true, false),
            (now, now + year, true, true),
            (now, now + year, false, false),
            (0, now + year, true, false),
            (now + 3600, now + ROOT_WARNING, true, true),
        ] {
            let answer = Answer::read(reply(certificate, root, attached), now);
            assert_eq!(answer.has_problem(), problem, "{answer:?}");
        }
    }
}
