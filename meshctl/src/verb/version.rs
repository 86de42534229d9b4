//! `meshctl version`: of this program, and of the control plane if there is one.

use serde::Serialize;
use weft_proto::v1;

use super::Shell;
use crate::outcome::Outcome;
use crate::output::{Page, Tell};

/// Say the versions of meshctl and of the control plane.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  meshctl version\n  meshctl version -o json")]
pub(crate) struct Version {}

impl Version {
    /// A control plane that does not answer is no problem of this question.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let mut answer = Answer {
            meshctl: env!("CARGO_PKG_VERSION").to_owned(),
            control_plane: None,
            protocol: "weft.v1",
        };
        if let Ok(control_plane) = shell.control_plane().await {
            let status = control_plane.inspect().status(v1::StatusRequest::default()).await;
            answer.control_plane = status.ok().map(|reply| reply.into_inner().build);
        }
        shell.output.print(&answer)?;
        Ok(Outcome::Fine)
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    meshctl: String,
    /// `None`: there is none here.
    control_plane: Option<String>,
    protocol: &'static str,
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        page.line(format!("meshctl        {} ({})", self.meshctl, self.protocol));
        let control_plane = self.control_plane.as_deref().unwrap_or("none in this state directory");
        page.line(format!("control plane  {control_plane}"));
    }
}
