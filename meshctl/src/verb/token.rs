//! `meshctl token create`: admits one workload, under one identity.

use std::time::Duration;

use serde::Serialize;
use weft_proto::v1;

use super::{Shell, namespaced};
use crate::clock::{parse_span, relative, unix_now};
use crate::control_plane::refused;
use crate::outcome::Outcome;
use crate::output::{Page, Tell, Tone};

/// Make join tokens: with one, one workload gets its first certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create a token. It is shown once: the control plane keeps only its hash.
    Create(Create),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The one workload that may use it.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = namespaced)]
    workload: String,
    /// The service account of the identity it gets.
    #[arg(long, value_name = "NAME", default_value = "default")]
    service_account: String,
    /// How long it can be used.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_span)]
    lifetime: Duration,
    /// How often it can be used.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    uses: u32,
}

impl Token {
    /// Asks for a token.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let What::Create(create) = self.what;
        let request = v1::CreateTokenRequest {
            workload: create.workload.clone(),
            service_account: create.service_account,
            lifetime_secs: u32::try_from(create.lifetime.as_secs().max(1)).unwrap_or(u32::MAX),
            uses: create.uses,
        };
        let mut admin = shell.control_plane().await?.admin();
        let reply = admin.create_token(request).await.map_err(|status| refused(&status))?.into_inner();
        shell.output.print(&Answer {
            workload: create.workload,
            identity: reply.identity,
            uses: create.uses,
            not_after_unix: reply.not_after_unix,
            token: reply.token,
        })?;
        Ok(Outcome::Fine)
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    workload: String,
    identity: String,
    uses: u32,
    not_after_unix: u64,
    token: String,
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        let until = relative(self.not_after_unix, unix_now());
        let said = format!("# {} as {}, {} use(s), ends {until}", self.workload, self.identity, self.uses);
        page.toned(Tone::Faint, said);
        page.line(format!("WEFT_WORKLOAD={}", self.workload));
        page.line(format!("WEFT_TOKEN={}", self.token));
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl token create --workload shop/web-1 --service-account web
  meshctl token create --workload shop/web-1 --service-account web --lifetime 10m -o json";
