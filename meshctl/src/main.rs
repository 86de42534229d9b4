//! `meshctl`: the same questions from a shell. One verb, one file; this is the table of contents.
//!
//! It decides nothing itself: `explain` calls the code that proxies decide with, `check` the code that a control
//! plane reads manifests with, so its answers are theirs.

mod asked;
mod clock;
mod cluster;
mod control_plane;
mod finding;
mod free_port;
mod http1;
mod manifest_files;
mod outcome;
mod output;
mod process;
mod program;
mod sidecar;
mod verb;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use cluster::Which;
use outcome::{COULD_NOT_LOOK, Outcome};
use output::{Format, Output};
use verb::Shell;

/// Ask the mesh, and tell it.
///
/// Exit codes: 0 all is well, 1 a problem was found, 2 the question could not be answered.
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// How answers are printed.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// The state directory of the control plane to ask: its `admin.sock` is in there.
    /// Without it `.weft`, and where nothing is there, the cluster that a kubeconfig leads to.
    #[arg(long, global = true, env = "WEFT_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    cluster: Which,
}

#[derive(Debug, Subcommand)]
enum Verb {
    // Have a mesh.
    Demo(verb::demo::Demo),
    Up(verb::up::Up),
    Install(verb::install::Install),
    Run(verb::run::Run),
    Token(verb::token::Token),
    // Change it.
    Check(verb::check::Check),
    Inject(verb::inject::Inject),
    Apply(verb::apply::Apply),
    Wait(verb::wait::Wait),
    Rotate(verb::rotate::Rotate),
    // Ask it.
    Status(verb::status::Status),
    Explain(verb::explain::Explain),
    Endpoints(verb::endpoints::Endpoints),
    Identity(verb::identity::Identity),
    // Ask about this program.
    Version(verb::version::Version),
    Completion(verb::completion::Completion),
    // Parts of ours that run as processes of their own.
    #[command(hide = true)]
    DemoService(verb::demo_service::DemoService),
    #[command(hide = true)]
    Tether(process::tether::Tether),
}

/// One thread: a tether ends with the thread that tied it, see [`process::tether`].
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let shell = Shell {
        output: Output::new(cli.output),
        is_local: cli.state_dir.is_some(),
        state_dir: cli.state_dir.unwrap_or_else(|| PathBuf::from(".weft")),
        cluster: cli.cluster,
    };
    match run(cli.verb, &shell).await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            // `{:#}` writes the chain of causes in one line.
            eprintln!("meshctl: {error:#}");
            ExitCode::from(COULD_NOT_LOOK)
        }
    }
}

async fn run(verb: Verb, shell: &Shell) -> anyhow::Result<Outcome> {
    match verb {
        Verb::Demo(verb) => verb.run(shell).await,
        Verb::Up(verb) => verb.run(shell).await,
        Verb::Install(verb) => verb.run(shell).await,
        Verb::Run(verb) => verb.run(shell).await,
        Verb::Token(verb) => verb.run(shell).await,
        Verb::Check(verb) => verb.run(shell).await,
        Verb::Inject(verb) => verb.run(shell).await,
        Verb::Apply(verb) => verb.run(shell).await,
        Verb::Wait(verb) => verb.run(shell).await,
        Verb::Rotate(verb) => verb.run(shell).await,
        Verb::Status(verb) => verb.run(shell).await,
        Verb::Explain(verb) => verb.run(shell).await,
        Verb::Endpoints(verb) => verb.run(shell).await,
        Verb::Identity(verb) => verb.run(shell).await,
        Verb::Version(verb) => verb.run(shell).await,
        Verb::Completion(verb) => verb.run(Cli::command()),
        Verb::DemoService(verb) => verb.run().await,
        Verb::Tether(tether) => process::tether::run(&tether).map(|()| Outcome::Fine),
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl demo                                  a whole mesh on this machine, with traffic
  meshctl up -f mesh/                           a control plane for the manifests in mesh/
  meshctl install --apply                       the mesh, into the cluster of the kubeconfig; `meshctl check` after
  meshctl run web --port 8080 -- ./web          a program beside its own sidecar
  meshctl apply -f mesh/ --wait                 change the mesh; return when every proxy has the change
  meshctl explain --from shop/web --to api.shop GET /cart/1
  meshctl status -o json                        the same answers for scripts";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_visible_verb_shows_an_example_of_itself() {
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = format!("meshctl {}", verb.get_name());
            assert!(help.contains(&own), "{}: {help}", verb.get_name());
        }
    }

    #[test]
    fn every_example_in_the_help_is_a_command_that_parses() {
        let mut cli = Cli::command();
        cli.build();
        let texts = cli.get_subcommands().chain([&cli]).filter_map(clap::Command::get_after_help);
        let text: String = texts.map(|help| format!("{help}\n")).collect();
        let examples = text.lines().filter_map(|line| line.trim().strip_prefix("meshctl "));
        for example in examples {
            // What stands behind two blanks says what the example does.
            let command = example.split("  ").next().unwrap().replace('\'', "");
            let command = command.split(" > ").next().unwrap();
            let parsed = Cli::try_parse_from(["meshctl"].into_iter().chain(command.split_whitespace()));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
