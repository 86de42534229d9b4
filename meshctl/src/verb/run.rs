//! `meshctl run NAME --port N -- CMD…`: a program of yours beside a sidecar, in the foreground.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use super::Shell;
use crate::free_port::FreePorts;
use crate::outcome::Outcome;
use crate::process::Process;
use crate::sidecar::Sidecar;

/// Run a program beside a sidecar: it becomes a workload of the mesh, and calls others through its proxy.
///
/// The program gets `http_proxy` (and `HTTP_PROXY`), so that its calls of `http://api.shop/` go through the
/// sidecar; `no_proxy` keeps loopback direct. Its exit code is ours.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// The workload's name.
    name: String,
    /// The port that the program listens on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// What Services call that port.
    #[arg(long, value_name = "NAME", default_value = "http")]
    port_name: String,
    /// The workload's namespace.
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// The service account of its identity; the workload's name if none is said.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// A label for Services to select it by; `app=NAME` if none is said.
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Where other sidecars reach this one; a free port on loopback if none is said.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the program's own calls enter the sidecar; a free port on loopback if none is said.
    #[arg(long, value_name = "ADDR")]
    outbound: Option<SocketAddr>,
    /// Where the control plane takes sidecars.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15010")]
    control_plane: String,
    /// What the sidecar logs.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Run {
    /// Until the program ends.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let control_plane = shell.control_plane().await?;
        let mut free = FreePorts::new();
        let mut given = |addr: Option<SocketAddr>| addr.map_or_else(|| free.take(), Ok);
        let admin = given(None)?;
        let (inbound, outbound) = (given(self.listen)?, given(self.outbound)?);
        let labels =
            if self.labels.is_empty() { vec![("app".to_owned(), self.name.clone())] } else { self.labels };
        let sidecar = Sidecar {
            workload: format!("{}/{}", self.namespace, self.name),
            service_account: self.service_account.unwrap_or_else(|| self.name.clone()),
            control_plane: self.control_plane,
            inbound,
            outbound,
            admin,
            ports: vec![(self.port_name, self.port)],
            labels,
            drain: DRAIN,
            log_level: self.log,
            log: None,
            access_log: None,
        };
        // Both at once: whichever is slower hides the other. Signals are ours from here on.
        let mut signals = Signals::listen()?;
        let mut proxy = sidecar.start(&control_plane).await?;
        let (program, args) = self.command.split_first().context("no command")?;
        let mut application = Process::start_in_our_place(program, args, &proxied(outbound))?;

        let ended = {
            let sidecar = async {
                sidecar.until_ready(&mut proxy, READY).await?;
                until_it_listens(self.port).await;
                eprintln!("meshctl: {} is ready", sidecar.workload);
                eprintln!(
                    "meshctl: sidecar {inbound}, own calls through http://{outbound}, metrics http://{admin}/metrics"
                );
                let status = proxy.ended().await?;
                Err::<ExitStatus, _>(proxy.obituary(status))
            };
            tokio::pin!(sidecar);
            loop {
                tokio::select! {
                    ended = application.ended() => break ended,
                    failed = &mut sidecar => break failed,
                    signal = signals.next() => pass_on(signal, &application),
                }
            }
        };
        // The application goes first, so that nothing of its last requests is lost with the sidecar.
        application.stop(GRACE).await;
        proxy.stop(DRAIN + Duration::from_secs(1)).await;
        Ok(Outcome::Code(code_of(ended?)))
    }
}

/// Signals that end programs, as they come in.
struct Signals([(Signal, tokio::signal::unix::Signal); 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            (Signal::TERM, listen(SignalKind::terminate())?),
            (Signal::INT, listen(SignalKind::interrupt())?),
            (Signal::HUP, listen(SignalKind::hangup())?),
        ]))
    }

    async fn next(&mut self) -> Signal {
        let Self([(first, term), (second, int), (third, hup)]) = self;
        tokio::select! {
            _ = term.recv() => *first,
            _ = int.recv() => *second,
            _ = hup.recv() => *third,
        }
    }
}

/// Ctrl-C at a terminal has reached the program already: it is of our group. Twice would mean more than once.
fn pass_on(signal: Signal, application: &Process) {
    if signal != Signal::INT || !std::io::stdin().is_terminal() {
        application.signal(signal);
    }
}

/// What makes HTTP clients use the sidecar. Loopback stays direct: a program's own parts talk over it.
fn proxied(outbound: SocketAddr) -> Vec<(&'static str, String)> {
    // A wildcard address is where it listens, not where it is reached.
    let ip = match outbound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    let proxy = format!("http://{}", SocketAddr::new(ip, outbound.port()));
    let direct = "localhost,127.0.0.0/8,127.0.0.1,::1".to_owned();
    vec![
        ("http_proxy", proxy.clone()),
        ("HTTP_PROXY", proxy),
        ("no_proxy", direct.clone()),
        ("NO_PROXY", direct),
    ]
}

/// The sidecar can be ready long before the program; both have to be.
async fn until_it_listens(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As a shell says it: its own code, or 128 and the signal that ended it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !text.contains(',') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write key=value".to_owned()),
    }
}

const READY: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  meshctl run web --port 8080 -- ./web --listen 127.0.0.1:8080
  meshctl run api-1 -n shop --port 9000 -l app=api -l version=v1 -- python3 api.py";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_killed_ends_as_in_a_shell() {
        for (raw, want) in [(0, 0), (3 << 8, 3), (9, 137), (15, 143)] {
            assert_eq!(code_of(ExitStatus::from_raw(raw)), want);
        }
    }

    #[test]
    fn a_program_is_told_an_address_that_it_can_reach() {
        let told = |addr: &str| proxied(addr.parse().unwrap())[0].1.clone();
        assert_eq!(told("127.0.0.1:7000"), "http://127.0.0.1:7000");
        assert_eq!(told("0.0.0.0:7000"), "http://127.0.0.1:7000");
        assert_eq!(told("[::]:7000"), "http://[::1]:7000");
    }
}
