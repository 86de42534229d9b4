//! The demo's processes: a control plane, four applications, four sidecars. All start at once; each is waited for
//! by what it says itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http::{HeaderMap, Method};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use weft_proto::v1;

use super::scratch::Scratch;
use crate::control_plane::{ControlPlane, refused};
use crate::free_port::FreePorts;
use crate::http1::Http1;
use crate::process::{Launch, Process, stop_all};
use crate::program::Program;
use crate::sidecar::Sidecar;
use crate::verb::endpoints;

/// Who is in the mesh, and how they are reached.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) members: Vec<Member>,
    control_plane: ControlPlane,
}

/// Its processes. Dropping them ends them.
#[derive(Debug)]
pub(super) struct Processes {
    applications: Vec<Process>,
    proxies: Vec<Process>,
    control_plane: Process,
}

/// One application beside its sidecar.
#[derive(Debug)]
pub(super) struct Member {
    /// `api-v2-1`
    pub(super) name: &'static str,
    /// Where the application itself listens.
    pub(super) application: SocketAddr,
    pub(super) sidecar: Sidecar,
}

/// Who is at the two ends of the way from web to api.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Identities {
    /// As api's sidecar has verified it and told api.
    pub(super) caller: String,
    /// As web's sidecar is told to demand of api's.
    pub(super) servers: Vec<String>,
}

/// Resident memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    pub(super) control_plane_kb: u64,
    /// Of the largest sidecar.
    pub(super) proxy_kb: u64,
}

/// What is to be a member.
struct Role {
    name: &'static str,
    service_account: &'static str,
    labels: &'static [(&'static str, &'static str)],
    version: &'static str,
}

/// api-v2 has two instances, so that one of them can break without anybody noticing.
const ROLES: [Role; 4] = [
    Role { name: "web-1", service_account: "web", labels: &[("app", "web")], version: "" },
    Role {
        name: "api-v1-1",
        service_account: "api",
        labels: &[("app", "api"), ("version", "v1")],
        version: "v1",
    },
    Role {
        name: "api-v2-1",
        service_account: "api",
        labels: &[("app", "api"), ("version", "v2")],
        version: "v2",
    },
    Role {
        name: "api-v2-2",
        service_account: "api",
        labels: &[("app", "api"), ("version", "v2")],
        version: "v2",
    },
];

impl Mesh {
    /// Starts everything, and returns when every sidecar is ready.
    ///
    /// # Errors
    /// The first process that does not come up, with the end of its log.
    pub(super) async fn start(scratch: &Scratch) -> anyhow::Result<(Self, Processes)> {
        let mut free = FreePorts::new();
        let (listen, admin) = (free.take()?, free.take()?);
        let members = ROLES.iter().map(|role| Member::new(role, listen, scratch, &mut free));
        let members = members.collect::<anyhow::Result<Vec<Member>>>()?;
        let web = members.first().context("there is a web")?.sidecar.outbound;

        let mut process = start_control_plane(scratch, listen, admin)?;
        let applications = members.iter().zip(&ROLES);
        let applications = applications.map(|(member, role)| member.start_application(role, web, scratch));
        let applications = applications.collect::<anyhow::Result<Vec<Process>>>()?;
        let control_plane = until_it_answers(scratch, &mut process).await?;

        let proxies = members.iter().map(|member| start_ready(&member.sidecar, &control_plane));
        let proxies = all(proxies.collect()).await?;
        let processes = Processes { applications, proxies, control_plane: process };
        Ok((Self { members, control_plane }, processes))
    }

    /// A member by name.
    pub(super) fn member(&self, name: &str) -> anyhow::Result<&Member> {
        self.members.iter().find(|member| member.name == name).with_context(|| format!("no member {name}"))
    }

    /// Makes an application answer so many of a hundred requests with 503.
    ///
    /// # Errors
    /// If it does not agree.
    pub(super) async fn fail(&self, name: &str, percent: u32) -> anyhow::Result<()> {
        let addr = self.member(name)?.application;
        let target = format!("/control?fail={percent}");
        let (client, host, none) = (Http1::new(addr), addr.to_string(), HeaderMap::new());
        let answer = client.send(Method::POST, &host, &target, &none, PATIENCE).await;
        let answer = answer.with_context(|| format!("cannot tell {name} to fail"))?;
        if !answer.status.is_success() {
            bail!("{name} does not fail when told to: {}", answer.status);
        }
        Ok(())
    }

    /// Who is at both ends. `caller` is what api was told.
    ///
    /// # Errors
    /// If the control plane does not say whom web's sidecar demands.
    pub(super) async fn identities(&self, caller: String) -> anyhow::Result<Identities> {
        let mut servers = Vec::new();
        for service in ["demo/api-v1", "demo/api-v2"] {
            let request = v1::EndpointsRequest { service: service.to_owned() };
            let reply = self.control_plane.inspect().endpoints(request).await;
            let reply = reply.map_err(|status| refused(&status))?.into_inner();
            let services = endpoints::Answer::read(&reply)?.services;
            servers.extend(services.into_iter().flat_map(|service| service.endpoints).map(|it| it.identity));
        }
        servers.sort();
        servers.dedup();
        Ok(Identities { caller, servers })
    }

    /// Whether api's sidecar turns away who comes without a certificate.
    pub(super) async fn refuses_plaintext(&self) -> bool {
        let Ok(member) = self.member("api-v1-1") else { return false };
        let answer = Http1::new(member.sidecar.inbound).get("api.demo", "/", PATIENCE).await;
        // A refusal, or a closed connection: both are no answer of api's.
        answer.is_ok_and(|answer| !answer.status.is_success())
    }
}

impl Processes {
    /// Fails if any process has ended.
    ///
    /// # Errors
    /// Which, with the end of its log.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.control_plane.check()?;
        self.applications.iter_mut().chain(&mut self.proxies).try_for_each(Process::check)
    }

    /// How much memory the two programs hold.
    pub(super) fn memory(&self) -> Memory {
        Memory {
            control_plane_kb: resident_kb(&self.control_plane),
            proxy_kb: self.proxies.iter().map(resident_kb).max().unwrap_or(0),
        }
    }

    /// Ends everything and waits for it: applications first, then sidecars, then the control plane.
    pub(super) async fn stop(mut self) {
        stop_all(&mut self.applications, GRACE).await;
        stop_all(&mut self.proxies, GRACE).await;
        self.control_plane.stop(GRACE).await;
    }
}

impl Member {
    fn new(
        role: &Role,
        control_plane: SocketAddr,
        scratch: &Scratch,
        free: &mut FreePorts,
    ) -> anyhow::Result<Self> {
        let application = free.take()?;
        let pairs = role.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let sidecar = Sidecar {
            workload: format!("demo/{}", role.name),
            service_account: role.service_account.to_owned(),
            control_plane: control_plane.to_string(),
            inbound: free.take()?,
            outbound: free.take()?,
            admin: free.take()?,
            ports: vec![("http".to_owned(), application.port())],
            labels: pairs.collect(),
            drain: GRACE / 2,
            log_level: "info".to_owned(),
            log: Some(scratch.log(&format!("{}-sidecar", role.name))),
            // web's: each line has the draw with which `explain` repeats its choices.
            access_log: (role.name == "web-1").then(|| scratch.log("web-1-access")),
        };
        Ok(Self { name: role.name, application, sidecar })
    }

    fn start_application(&self, role: &Role, web: SocketAddr, scratch: &Scratch) -> anyhow::Result<Process> {
        let mut args: Vec<String> =
            ["demo-service", "--instance", role.name, "--listen"].map(str::to_owned).into();
        args.push(self.application.to_string());
        if role.version.is_empty() {
            args.extend(["--ask", "http://api.demo", "--proxy"].map(str::to_owned));
            args.push(web.to_string());
        } else {
            args.extend(["--version".to_owned(), role.version.to_owned()]);
        }
        Process::start(Launch {
            name: role.name.to_owned(),
            program: std::env::current_exe().context("cannot find meshctl's own program")?,
            args,
            env: Vec::new(),
            log: Some(scratch.log(role.name)),
        })
    }
}

fn start_control_plane(scratch: &Scratch, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<Process> {
    let args = [
        ("--config-dir", scratch.config().display().to_string()),
        ("--state-dir", scratch.state().display().to_string()),
        ("--listen", listen.to_string()),
        ("--admin", admin.to_string()),
    ];
    let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    Process::start(Launch {
        name: "the control plane".to_owned(),
        program: Program::ControlPlane.find()?,
        args: args.chain(["--init".to_owned()]).collect(),
        env: Vec::new(),
        log: Some(scratch.log("control-plane")),
    })
}

async fn until_it_answers(scratch: &Scratch, process: &mut Process) -> anyhow::Result<ControlPlane> {
    let deadline = Instant::now() + READY;
    loop {
        process.check()?;
        match ControlPlane::connect(&scratch.state()).await {
            Ok(control_plane) => return Ok(control_plane),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => sleep(POLL).await,
        }
    }
}

async fn start_ready(sidecar: &Sidecar, control_plane: &ControlPlane) -> anyhow::Result<Process> {
    let mut process = sidecar.start(control_plane).await?;
    sidecar.until_ready(&mut process, READY).await?;
    Ok(process)
}

/// Drives all of them at once; the first failure ends the rest.
async fn all<F, T>(futures: Vec<F>) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut done = true;
        for (future, result) in waiting.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(Ok(value)) => *result = Some(value),
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => done = false,
            }
        }
        if done { std::task::Poll::Ready(Ok(())) } else { std::task::Poll::Pending }
    })
    .await?;
    Ok(waiting.into_iter().filter_map(|(_, result)| result).collect())
}

/// `VmRSS` of proc(5); 0 where there is no such thing.
fn resident_kb(process: &Process) -> u64 {
    let status = process.id().and_then(|id| std::fs::read_to_string(format!("/proc/{id}/status")).ok());
    let line = status.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("VmRSS:")));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

const READY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_of_them_run_together_and_the_first_failure_ends_the_rest() {
        let (send, receive) = tokio::sync::oneshot::channel::<u32>();
        let (mut send, mut receive) = (Some(send), Some(receive));
        // The first waits for the second: in turn, they would wait forever.
        let futures = (0..2).map(|nth| {
            let (send, receive) = if nth == 0 { (None, receive.take()) } else { (send.take(), None) };
            async move {
                match (send, receive) {
                    (_, Some(receive)) => Ok(receive.await?),
                    (send, None) => {
                        send.context("there is one")?.send(7).ok();
                        Ok(8)
                    }
                }
            }
        });
        assert_eq!(all(futures.collect()).await.unwrap(), [7, 8]);

        let failing = (0..2).map(|nth| async move {
            if nth == 1 {
                bail!("broken")
            }
            std::future::pending::<anyhow::Result<()>>().await
        });
        assert_eq!(all(failing.collect()).await.unwrap_err().to_string(), "broken");
    }
}
