//! `meshctl up -f DIR`: a control plane for a directory of manifests, in the foreground.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use super::Shell;
use crate::control_plane::ControlPlane;
use crate::outcome::Outcome;
use crate::process::{Launch, Process, asked_to_end};
use crate::program::Program;

/// Run a control plane for a directory of manifests, in the foreground. Changes of files take effect at once.
///
/// On its first start it mints the root of a new mesh into the state directory. Keep that directory: it is the
/// mesh's identity, not a cache.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// The directory of manifests: every *.yaml and *.yml below it.
    #[arg(short, long = "file", value_name = "DIR")]
    file: PathBuf,
    /// Where sidecars connect.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15010")]
    listen: String,
    /// Metrics and readiness, on loopback.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15014")]
    admin: String,
    /// The trust domain of a new mesh.
    #[arg(long, value_name = "DOMAIN", default_value = "weft.local")]
    trust_domain: String,
}

impl Up {
    /// Until it ends, or is asked to.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        if !self.file.is_dir() {
            bail!(
                "{} is no directory: name the directory that holds the mesh's manifests",
                self.file.display()
            );
        }
        if ControlPlane::connect(&shell.state_dir).await.is_ok() {
            bail!(
                "a control plane is running on {} already: see `meshctl status`",
                shell.state_dir.display()
            );
        }
        // An empty directory looks the same as one whose contents were lost: only a new one gets a new root.
        let is_new = !shell.state_dir.exists();
        let mut args = vec![
            "--config-dir".to_owned(),
            self.file.display().to_string(),
            "--state-dir".to_owned(),
            shell.state_dir.display().to_string(),
            "--listen".to_owned(),
            self.listen.clone(),
            "--admin".to_owned(),
            self.admin,
            "--trust-domain".to_owned(),
            self.trust_domain,
        ];
        if is_new {
            args.push("--init".to_owned());
        }
        let mut process = Process::start(Launch {
            name: Program::ControlPlane.name().to_owned(),
            program: Program::ControlPlane.find()?,
            args,
            env: Vec::new(),
            log: None,
        })?;
        let greeted = async {
            if until_it_answers(shell).await {
                greet(&self.listen, shell, is_new);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = greeted => {}
            status = process.ended() => return Err(process.obituary(status?)),
            asked = asked_to_end() => asked?,
        }
        process.stop(GRACE).await;
        Ok(Outcome::Fine)
    }
}

async fn until_it_answers(shell: &Shell) -> bool {
    for _ in 0..POLLS {
        if ControlPlane::connect(&shell.state_dir).await.is_ok() {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    false
}

fn greet(listen: &str, shell: &Shell, is_new: bool) {
    let of = |verb: &str| match shell.state_dir.as_os_str() == ".weft" {
        true => format!("meshctl {verb}"),
        false => format!("meshctl --state-dir {} {verb}", shell.state_dir.display()),
    };
    if is_new {
        eprintln!("a new mesh: its root is in {}", shell.state_dir.display());
    }
    eprintln!("sidecars connect to {listen}; in another terminal:");
    eprintln!("  {}", of("run web --port 8080 -- ./web"));
    eprintln!("  {}", of("status"));
}

const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 500;

const EXAMPLES: &str = "\
Examples:
  meshctl up -f mesh/
  meshctl up -f mesh/ --state-dir /var/lib/weft --listen 0.0.0.0:15010";
