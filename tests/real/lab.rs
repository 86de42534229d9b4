//! A laboratory: hosts that are network namespaces of their own, joined by a bridge, each with a real `weft-proxy` beside
//! its programs, and a real `weft-control-plane` on the bridge. Everything speaks one family of addresses: IPv4 or IPv6,
//! from the application through both sidecars to the application, the control plane included.
//!
//! Needs root, `ip`, `nft`, `setpriv`, `curl` and our own programs built; says so and is skipped where one of them is
//! missing. Nothing outside of the namespaces is touched, and they are removed again.

mod hosts;
mod installed;
mod ways;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;
use weft_proto::v1::CreateTokenRequest;
use weft_tests::eventually::eventually;
use weft_tests::operator::Operator;
use weft_tests::program::{self, Process};

pub(crate) use hosts::{BRIDGE, Family};
use hosts::{HUB, Hosts};
pub(crate) use installed::program_file;
use installed::python;
pub(crate) use ways::{BY_PORT, BY_PROXY_TOO, Trial, Way};

/// What stands in a laboratory.
pub(crate) struct Plan {
    /// What is said to be skipped where something is missing.
    pub(crate) test: &'static str,
    pub(crate) family: Family,
    /// Programs and Python modules without which this cannot be tried.
    pub(crate) needs: &'static [&'static str],
    /// The hosts and the Services on them. The first host is the client's.
    pub(crate) hosts: &'static [(&'static str, &'static [Port])],
    pub(crate) mode: Mode,
    /// Settings of every sidecar, with the laboratory's own addresses for `HUB`.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

impl Plan {
    /// One client, one server, and nobody in without the mesh.
    pub(crate) const fn pair(
        test: &'static str,
        needs: &'static [&'static str],
        hosts: &'static [(&'static str, &'static [Port])],
    ) -> Self {
        Self { test, family: Family::V4, needs, hosts, mode: Mode::Strict, settings: &[] }
    }

    pub(crate) const fn in_family(self, family: Family) -> Self {
        Self { family, ..self }
    }
}

/// What becomes of plaintext, at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Permissive,
    Strict,
}

/// A Service: its name, its port, the program's port, and the `appProtocol` or nothing, when it has to be found out.
#[derive(Clone, Copy)]
pub(crate) struct Port(
    pub(crate) &'static str,
    pub(crate) u16,
    pub(crate) u16,
    pub(crate) Option<&'static str>,
);

/// A running one. Programs end with it, and then its namespaces.
pub(crate) struct Lab {
    pub(crate) plan: Plan,
    pub(crate) operator: Operator,
    /// Programs, the control plane last: those that were started last end first.
    running: Vec<(&'static str, Process)>,
    hosts: Hosts,
    folder: TempDir,
}

/// The proxies' own user, whom the rules leave alone.
pub(crate) const PROXY: u32 = 2102;
/// What the client's sidecar proves to be.
pub(crate) const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";

impl Lab {
    /// Builds it and starts the mesh, but none of the programs; `None`, with the reason on standard output, where this
    /// cannot be tried.
    pub(crate) async fn build(plan: Plan) -> Option<Self> {
        let basic = ["ip", "nft", "setpriv", "curl", "timeout"];
        if !basic.iter().chain(plan.needs).all(|need| installed::is_there(need, plan.test)) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        for program in ["weft-proxy", "weft-control-plane"] {
            // The proxies' user must be able to run it.
            std::fs::copy(program::ours(program, plan.test)?, folder.path().join(program)).unwrap();
        }
        let names: Vec<_> = plan.hosts.iter().map(|(name, _)| *name).collect();
        let hosts = Hosts::build(plan.test, &names)?;
        let control_plane = control_plane(&hosts, &folder, &plan);
        let socket = folder.path().join("state/admin.sock");
        eventually("the control plane serves", async || tokio::net::UnixStream::connect(&socket).await.ok())
            .await;
        let operator = Operator::at(&socket).await;
        let mut lab = Self { plan, operator, running: vec![("control-plane", control_plane)], hosts, folder };
        for (host, ports) in lab.plan.hosts.iter().rev() {
            // In the order of a pod: first the rules, then the sidecar.
            lab.redirect(host);
            lab.sidecar(host, ports).await;
        }
        for Port(service, port, ..) in lab.services() {
            eventually(format!("{service} has an endpoint"), async || {
                let healthy = lab.operator.healthy(&format!("shop/{service}"), port).await;
                (healthy.len() == 1).then_some(())
            })
            .await;
        }
        Some(lab)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn services(&self) -> impl Iterator<Item = Port> {
        self.plan.hosts.iter().flat_map(|(_, ports)| ports.iter().copied())
    }

    fn service(&self, name: &str) -> (usize, &'static str, Port) {
        let hosted =
            self.plan.hosts.iter().flat_map(|(host, ports)| ports.iter().map(move |port| (*host, *port)));
        let mut numbered = hosted.enumerate().map(|(nth, (host, port))| (nth, host, port));
        numbered.find(|(_, _, port)| port.0 == name).unwrap_or_else(|| panic!("no Service {name}"))
    }

    /// The address of a Service, in one of its families.
    pub(crate) fn cluster_ip(&self, service: &str, family: Family) -> String {
        family.cluster_ip(self.service(service).0)
    }

    /// A host's own address.
    pub(crate) fn address(&self, host: &str) -> String {
        self.plan.family.address(self.hosts.number(host))
    }

    /// Starts a program on a host. It ends with the laboratory.
    pub(crate) fn start(&mut self, host: &'static str, name: &'static str, line: &str) {
        let command = self.hosts.command(host, &self.filled(line));
        let process = Process::start(command, &self.path(&format!("{name}.said")));
        self.running.insert(0, (name, process));
    }

    /// Starts nginx on a host, with these lines in its `server`. Its pages are in `nginx/www`.
    pub(crate) fn nginx(&mut self, host: &'static str, port: u16, server: &str) {
        let folder = self.path("nginx");
        std::fs::create_dir_all(&folder).unwrap();
        let listen = match self.plan.family {
            Family::V4 => port.to_string(),
            Family::V6 => format!("[::]:{port}"),
        };
        let process = program::nginx(&folder, &listen, server, &self.hosts.inside(host));
        self.running.insert(0, ("nginx", process));
    }

    /// Returns when somebody listens there, on the host's own loopback.
    pub(crate) async fn listens(&self, host: &str, port: u16) {
        let line = format!("exec 3<>/dev/tcp/{}/{port}", self.plan.family.loopback());
        eventually(format!("somebody listens at {host}:{port}: {}", self.told()), async || {
            self.hosts.bash(host, &line).output().unwrap().status.success().then_some(())
        })
        .await;
    }

    /// A running program, or the sidecar of a host.
    pub(crate) fn process(&self, name: &str) -> &Process {
        let found = self.running.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("{name} does not run")).1
    }

    /// Runs a line of shell on a host to its end, or for so long as no program here needs.
    pub(crate) fn shell(&self, host: &str, line: &str) -> Output {
        self.hosts.bash(host, &self.filled(line)).output().unwrap()
    }

    /// What a line says that must end well.
    #[track_caller]
    pub(crate) fn said(&self, host: &str, line: &str) -> String {
        let output = self.shell(host, line);
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {}\n{said}\n{wrong}\n{}", output.status, self.told());
        said.into_owned()
    }

    /// The last lines of everything that runs here.
    pub(crate) fn told(&self) -> String {
        let tail =
            |(name, _): &(&str, _)| format!("--- {name}\n{}", tail(&self.path(&format!("{name}.said"))));
        self.running.iter().map(tail).collect::<Vec<_>>().join("\n")
    }

    /// Brings what comes to a host and what leaves it to its sidecar.
    pub(crate) fn redirect(&self, host: &str) {
        self.said(host, &format!("FOLDER/weft-proxy redirect --proxy-uid {PROXY} --dns-port 15053"));
    }

    /// Takes the rules of a host away.
    pub(crate) fn clear(&self, host: &str) {
        self.said(host, "FOLDER/weft-proxy redirect --clear");
    }

    fn filled(&self, line: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let python = python().map_or_else(String::new, |file| file.display().to_string());
        line.replace("FOLDER", &folder)
            .replace("PYTHON", &python)
            .replace("HUB", &self.plan.family.bracketed(HUB))
    }

    /// Starts a sidecar as a process of its own user, and waits until it has policy.
    async fn sidecar(&mut self, host: &'static str, ports: &[Port]) {
        let workload = format!("shop/{host}-1");
        let request = CreateTokenRequest {
            workload: workload.clone(),
            service_account: host.to_owned(),
            lifetime_secs: 600,
            uses: 1,
        };
        let token = self.operator.token(request).await.unwrap().token;
        let family = self.plan.family;
        let named: Vec<_> = ports.iter().map(|Port(name, _, target, _)| format!("{name}={target}")).collect();
        let fixed = self.services().enumerate().map(|(nth, Port(name, port, ..))| {
            format!("{}={name}.shop:{port}", family.at(family.loopback(), ways::fixed_port(nth)))
        });
        let fixed: Vec<_> = fixed.collect();
        let mut command = self.hosts.command(
            host,
            &self
                .filled(&format!("setpriv --reuid {PROXY} --regid {PROXY} --clear-groups FOLDER/weft-proxy")),
        );
        command.envs([
            ("WEFT_WORKLOAD", workload.as_str()),
            ("WEFT_CONTROL_PLANE", &family.at(&family.address(HUB), 15010)),
            ("WEFT_TOKEN", &token),
            ("WEFT_REGISTER_ADDRESS", &self.address(host)),
            ("WEFT_REGISTER_PORTS", &named.join(",")),
            ("WEFT_REGISTER_LABELS", &format!("app={host}")),
            ("WEFT_APPLICATION", family.loopback()),
            ("WEFT_DNS", "127.0.0.1:15053"),
            ("WEFT_LOCAL_PORTS", &fixed.join(",")),
            ("WEFT_ACCESS_LOG", &self.access_log(host).display().to_string()),
        ]);
        command.envs(self.plan.settings.iter().map(|(name, value)| (name, self.filled(value))));
        self.running.insert(0, (host, Process::start(command, &self.path(&format!("{host}.said")))));
        let ready = "curl --silent --fail http://127.0.0.1:15020/ready";
        eventually(
            format!("{workload} is ready: {}", tail(&self.path(&format!("{host}.said")))),
            async || self.shell(host, ready).status.success().then_some(()),
        )
        .await;
    }

    /// What the sidecar of a host writes a line to for each request and each connection.
    pub(crate) fn access_log(&self, host: &str) -> PathBuf {
        self.path(&format!("{host}.access"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Before the namespaces go: what runs in one keeps it.
        self.running.clear();
    }
}

fn control_plane(hosts: &Hosts, folder: &TempDir, plan: &Plan) -> Process {
    let config = folder.path().join("config");
    std::fs::create_dir(&config).unwrap();
    let hosted = plan.hosts.iter().flat_map(|(host, ports)| ports.iter().map(move |port| (*host, *port)));
    let mut documents: Vec<_> = hosted
        .enumerate()
        .map(|(nth, (host, Port(name, port, _, protocol)))| {
            let protocol = protocol.map_or_else(String::new, |known| format!(", appProtocol: {known}"));
            let [v4, v6] = Family::BOTH.map(|family| family.cluster_ip(nth));
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{
                   clusterIPs: ['{v4}', '{v6}'], selector: {{app: {host}}},
                   ports: [{{port: {port}, targetPort: {name}{protocol}}}]}}}}"
            )
        })
        .collect();
    if plan.mode == Mode::Strict {
        documents.push(STRICT.to_owned());
    }
    std::fs::write(config.join("mesh.yaml"), documents.join("\n---\n")).unwrap();
    let dir = folder.path().display();
    let listen = plan.family.at(&plan.family.address(HUB), 15010);
    let line = format!(
        "{dir}/weft-control-plane --config-dir {dir}/config --state-dir {dir}/state --init --listen {listen}"
    );
    Process::start(hosts.command(BRIDGE, &line), &folder.path().join("control-plane.said"))
}

/// Nobody gets in without a certificate of this mesh.
pub(crate) const STRICT: &str =
    "{apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
      spec: {mtls: {mode: Strict}}}";

fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
