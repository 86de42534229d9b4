//! Applications that know nothing of a mesh, in network namespaces of their own: nftables brings their connections
//! to real `weft-proxy` processes, and DNS gives them the names.
//!
//! Needs root, `ip`, `nft`, `setpriv`, nginx and curl, and our own programs built; says so and passes where one of
//! them is missing. Nothing outside of the two namespaces is touched, and both are removed again.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use weft_proto::v1::CreateTokenRequest;
use weft_tests::eventually::eventually;
use weft_tests::operator::Operator;
use weft_tests::program::{self, Process, command};

const TEST: &str = "redirected connections";
/// The proxies' own user, whom the rules leave alone.
const PROXY: u32 = 2102;
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: files, namespace: shop}
spec: {clusterIPs: [10.98.0.10, 'fd98::10'], selector: {app: files}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}
";

#[tokio::test]
async fn an_application_that_knows_nothing_of_a_mesh_is_carried_by_it_both_ways() {
    let Some(lab) = Lab::build() else { return };
    let operator = lab.control_plane().await;
    let _nginx = lab.nginx();
    let _files = lab.sidecar(&operator, "server", "shop/files-1", "files").await;
    let _web = lab.sidecar(&operator, "client", "shop/web", "web").await;
    lab.redirect("server", "--skip-inbound-ports 15010");
    lab.redirect("client", "--dns-port 15053");
    eventually("files is served", async || {
        (operator.healthy("shop/files", 80).await.len() == 1).then_some(())
    })
    .await;

    // To the Service's address, by its name, and by a name that only the mesh's DNS knows.
    let web = "spiffe://weft.local/ns/shop/sa/web\n";
    assert_eq!(lab.curl("http://10.98.0.10/who"), web);
    assert_eq!(lab.curl("--resolve files.shop:80:10.98.0.10 http://files.shop/who"), web);
    assert_eq!(lab.curl("http://files.shop.mesh/who"), web);
    // The same in IPv6, though nobody has said that there is any.
    assert_eq!(lab.curl("http://[fd98::10]/who"), web);
    assert_eq!(lab.curl("-6 http://files.shop.mesh/who"), web);
    // The link takes a moment for its own IPv6; the proxies' user is not redirected.
    let ask =
        format!("setpriv --reuid {PROXY} --clear-groups curl --silent --max-time 1 http://[fd98:1::3]:8080/");
    eventually("the link carries IPv6", async || lab.inside("client", &ask).status.success().then_some(()))
        .await;
    assert_eq!(lab.curl("http://[fd98:1::3]:8080/who"), "\n", "plaintext is let in, as nobody");
    // To the server's own address: no Service, so nobody's policy but the mesh's; captured on the way in.
    assert_eq!(lab.curl("http://10.98.1.3:8080/who"), "\n", "plaintext is let in, as nobody");
    let strict = "{apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
                   spec: {mtls: {mode: Strict}}}";
    operator.apply_and_wait("strict.yaml", strict).await;
    let refused = lab.curl("--include http://10.98.1.3:8080/who");
    assert!(
        refused.starts_with("HTTP/1.1 403") && refused.contains("weft-error: plaintext_denied"),
        "{refused}"
    );
    assert_eq!(lab.curl("http://10.98.0.10/who"), web, "the mesh goes on");
    // And when the rules are gone, so is the mesh.
    lab.run("client", "PROXY redirect --clear");
    assert!(!lab.inside("client", "curl --silent --max-time 1 http://10.98.0.10/who").status.success());
}

/// Two namespaces joined by a veth pair, removed at the end whatever the outcome.
struct Lab {
    name: String,
    folder: TempDir,
    control_plane: std::sync::Mutex<Option<Process>>,
    programs: BTreeMap<&'static str, PathBuf>,
}

impl Lab {
    /// `None`, with the reason on standard output, where this cannot be tried.
    fn build() -> Option<Self> {
        for program in ["ip", "nft", "setpriv", "nginx", "curl"] {
            if !program::is_there(program, TEST) {
                return None;
            }
        }
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let mut programs = BTreeMap::new();
        for program in ["weft-proxy", "weft-control-plane"] {
            // The proxies' user must be able to run it.
            let copy = folder.path().join(program);
            std::fs::copy(program::ours(program, TEST)?, &copy).unwrap();
            programs.insert(program, copy);
        }
        let name = format!("weftit{}", std::process::id());
        let lab = Self { name, folder, control_plane: std::sync::Mutex::default(), programs };
        if !program::output(&format!("ip netns add {}client", lab.name)).status.success() {
            println!("skipped: {TEST}: network namespaces cannot be made here: this needs root");
            return None;
        }
        let (client, server) = (lab.namespace("client"), lab.namespace("server"));
        for step in [
            format!("netns add {server}"),
            format!("-n {client} link add veth0 type veth peer name veth1 netns {server}"),
            format!("-n {client} link set lo up"),
            format!("-n {server} link set lo up"),
            format!("-n {client} addr add 10.98.1.2/24 dev veth0"),
            format!("-n {server} addr add 10.98.1.3/24 dev veth1"),
            format!("-n {client} addr add fd98:1::2/64 dev veth0 nodad"),
            format!("-n {server} addr add fd98:1::3/64 dev veth1 nodad"),
            format!("-n {client} link set veth0 up"),
            format!("-n {server} link set veth1 up"),
            format!("-n {client} route add default via 10.98.1.3"),
            format!("-n {client} route add default via fd98:1::3"),
        ] {
            let output = program::output(&format!("ip {step}"));
            assert!(output.status.success(), "ip {step}: {output:?}");
        }
        Some(lab)
    }

    fn namespace(&self, which: &str) -> String {
        format!("{}{which}", self.name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in a namespace.
    fn command(&self, namespace: &str, line: &str) -> Command {
        let line = line.replace("PROXY", &self.programs["weft-proxy"].display().to_string());
        command(&format!("ip netns exec {} {line}", self.namespace(namespace)))
    }

    fn inside(&self, namespace: &str, line: &str) -> Output {
        self.command(namespace, line).output().unwrap()
    }

    fn run(&self, namespace: &str, line: &str) {
        let output = self.inside(namespace, line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn control_plane(&self) -> Operator {
        let (files, state) = (self.path("config"), self.path("state"));
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("mesh.yaml"), SERVICE).unwrap();
        let line = format!(
            "{} --config-dir {} --state-dir {} --init --listen 10.98.1.3:15010",
            self.programs["weft-control-plane"].display(),
            files.display(),
            state.display()
        );
        let process = Process::start(self.command("server", &line), &self.path("control-plane.said"));
        *self.control_plane.lock().unwrap() = Some(process);
        let socket = state.join("admin.sock");
        eventually("the control plane serves", async || tokio::net::UnixStream::connect(&socket).await.ok())
            .await;
        Operator::at(&socket).await
    }

    fn nginx(&self) -> Process {
        let folder = self.path("nginx");
        std::fs::create_dir(&folder).unwrap();
        let who = "location /who { return 200 \"$http_weft_client_id\\n\"; }";
        let inside = format!("ip netns exec {}", self.namespace("server"));
        program::nginx(&folder, "8080", who, &inside)
    }

    /// Starts a sidecar as a process of its own user, and waits until it has policy.
    async fn sidecar(&self, operator: &Operator, namespace: &str, workload: &str, account: &str) -> Process {
        let request = CreateTokenRequest {
            workload: workload.to_owned(),
            service_account: account.to_owned(),
            lifetime_secs: 600,
            uses: 1,
        };
        let token = operator.token(request).await.unwrap().token;
        let line = format!("setpriv --reuid {PROXY} --regid {PROXY} --clear-groups PROXY");
        let mut command = self.command(namespace, &line);
        let address = if namespace == "server" { "10.98.1.3" } else { "10.98.1.2" };
        command.envs([
            ("WEFT_WORKLOAD", workload),
            ("WEFT_CONTROL_PLANE", "10.98.1.3:15010"),
            ("WEFT_TOKEN", &token),
            ("WEFT_REGISTER_ADDRESS", address),
            ("WEFT_REGISTER_PORTS", "http=8080"),
            ("WEFT_REGISTER_LABELS", &format!("app={account}")),
            ("WEFT_DNS", "127.0.0.1:15053"),
        ]);
        let said = self.path(&format!("{account}.said"));
        let process = Process::start(command, &said);
        eventually(format!("{workload} is ready: {}", tail(&said)), async || {
            let ready = self.inside(namespace, "curl --silent --fail http://127.0.0.1:15020/ready");
            ready.status.success().then_some(())
        })
        .await;
        process
    }

    fn redirect(&self, namespace: &str, more: &str) {
        self.run(namespace, &format!("PROXY redirect --proxy-uid {PROXY} {more}"));
    }

    /// curl, as an application of the client's.
    fn curl(&self, arguments: &str) -> String {
        let line = format!("curl --silent --show-error --max-time 10 {arguments}");
        let output = self.inside("client", &line);
        let said = ["web.said", "files.said"].map(|name| tail(&self.path(name))).join("\n");
        assert!(output.status.success(), "{line}: {}\n{said}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in ["client", "server"] {
            let _ = program::output(&format!("ip netns del {}", self.namespace(namespace)));
        }
    }
}

fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
