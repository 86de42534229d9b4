//! `meshctl rotate STEP`: a new root for the mesh, one step at a time, without a restart.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use weft_proto::v1;
use weft_proto::v1::admin_client::AdminClient;

use super::Shell;
use crate::clock::parse_span;
use crate::control_plane::refused;
use crate::outcome::Outcome;
use crate::output::{Page, Tell, Tone};

/// Replace the root of the mesh: prepare, activate, retire. Without a step: say where it stands.
///
/// `prepare` makes a new root that everybody trusts beside the old one; `activate` signs with it once every
/// proxy has said that it trusts it; `retire` takes the old one out once nobody carries a certificate of it.
/// Each step waits to be asked for, and `abort` goes back while the old root still signs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rotate {
    /// The next step.
    step: Option<Step>,
    /// Return when every live proxy has acknowledged, so that the next step can be taken; name those that have
    /// not after this time.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s",
          value_parser = parse_span)]
    wait: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    Prepare,
    Activate,
    Retire,
    Abort,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Activate => "activate",
            Self::Retire => "retire",
            Self::Abort => "abort",
        }
    }
}

impl Rotate {
    /// Takes the step. Proxies that have not acknowledged are a problem only to who waits for them.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let mut admin = shell.control_plane().await?.admin();
        let step = self.step.map(Step::as_str).unwrap_or_default();
        let mut reply = ask(&mut admin, step).await?;
        let give_up = Instant::now() + self.wait.unwrap_or_default();
        while !reply.waiting_for.is_empty() && Instant::now() < give_up {
            sleep(POLL).await;
            reply = ask(&mut admin, "").await?;
        }
        let answer = Answer { step, phase: reply.phase, waiting_for: reply.waiting_for };
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(self.wait.is_some() && !answer.waiting_for.is_empty()))
    }
}

/// Takes a step; an empty one changes nothing.
async fn ask(admin: &mut AdminClient<Channel>, step: &str) -> anyhow::Result<v1::RotateRootReply> {
    let request = v1::RotateRootRequest { step: step.to_owned() };
    Ok(admin.rotate_root(request).await.map_err(|status| refused(&status))?.into_inner())
}

#[derive(Debug, Serialize)]
struct Answer {
    step: &'static str,
    phase: String,
    waiting_for: Vec<String>,
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        page.line(format!("phase  {}", page.paint(Tone::Strong, &self.phase)));
        if !self.waiting_for.is_empty() {
            page.toned(Tone::Warn, format!("{} proxies have not acknowledged yet:", self.waiting_for.len()));
            for proxy in &self.waiting_for {
                page.line(format!("  {proxy}"));
            }
        }
    }
}

const POLL: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  meshctl rotate                  where it stands
  meshctl rotate prepare --wait   a second root, trusted everywhere
  meshctl rotate activate         sign with it
  meshctl rotate retire           trust the old one no more";
