//! The redirection rules in a real kernel: a pod and a peer, each in a network namespace of its own, joined by a
//! veth pair. Every case dials from one side and reads who answered and what destination the proxy's listener saw.
//!
//! Needs root, `ip` and `nft`; says so and passes where one of them is missing. Nothing outside of the two
//! namespaces is touched. The test starts itself inside of them ([`inside_a_namespace`]), so it needs no program
//! of its own there.

#![expect(clippy::unwrap_used, reason = "a test: a step that fails is the test that fails")]

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use weft_proxy::original_dst::{NoOriginalDst, OriginalDst, OwnListeners};
use weft_proxy::redirect::{self, RedirectSettings, Rules};

const PROXY: u32 = 2102;
const APP: u32 = 1000;
const ROOT: u32 = 0;

#[test]
fn every_connection_is_captured_or_left_alone_as_the_rules_promise() {
    let Some(lab) = Lab::build() else { return };
    let _peer = lab.serve("peer", ROOT, "serve-peer");
    let _pod = lab.serve("pod", ROOT, "serve-pod");
    let _dns = lab.serve("pod", PROXY, "serve-dns");

    let cases = [
        // What the application sends.
        ("pod", APP, "dial 10.9.0.3:80", "outbound to 10.9.0.3:80"),
        ("pod", APP, "dial [fd00:9::3]:80", "outbound to [fd00:9::3]:80"),
        ("pod", ROOT, "dial 10.9.0.3:80", "outbound to 10.9.0.3:80"),
        ("pod", APP, "dial 10.9.0.3:4567", "peer 4567"),
        ("pod", APP, "dial [fd00:9::3]:4568", "peer 4568"),
        ("pod", APP, "dial 10.9.1.3:80", "peer 80"),
        ("pod", APP, "dial [fd00:9:1::3]:80", "peer 80"),
        // What it says to itself.
        ("pod", APP, "dial 127.0.0.1:8080", "application"),
        ("pod", APP, "dial [::1]:8080", "application"),
        ("pod", APP, "dial 10.9.0.2:8080", "application"),
        // What the proxy sends.
        ("pod", PROXY, "dial 10.9.0.3:80", "peer 80"),
        ("pod", PROXY, "dial [fd00:9::3]:80", "peer 80"),
        ("pod", PROXY, "dial 10.9.0.2:8080", "application"),
        // But for one address, by which it finds out whether there are any rules.
        ("pod", PROXY, "dial 192.0.2.102:15022", "itself"),
        ("pod", PROXY, "dial [2001:db8::102]:15022", "itself"),
        // What comes from outside.
        ("peer", ROOT, "dial 10.9.0.2:8080", "inbound to 10.9.0.2:8080"),
        ("peer", ROOT, "dial [fd00:9::2]:8080", "inbound to [fd00:9::2]:8080"),
        ("peer", ROOT, "dial 10.9.0.2:9999", "skipped"),
        ("peer", ROOT, "dial 10.9.0.2:15006", "inbound loop"),
        ("peer", ROOT, "dial 10.9.0.2:15001", "inbound loop"),
        ("peer", ROOT, "dial [fd00:9::2]:15001", "inbound loop"),
        // DNS, to whichever server the application believes in.
        ("pod", APP, "ask 10.9.0.3:53", "proxy's dns, from 10.9.0.3:53"),
        ("pod", APP, "ask 127.0.0.53:53", "proxy's dns, from 127.0.0.53:53"),
        ("pod", APP, "ask [fd00:9::3]:53", "proxy's dns, from [fd00:9::3]:53"),
        ("pod", APP, "dial 10.9.0.3:53", "dns over tcp"),
        ("pod", PROXY, "ask 10.9.0.3:53", "peer's dns, from 10.9.0.3:53"),
    ];
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(namespace, user, what, want)| {
            let seen = lab.ask(namespace, user, what);
            (seen != want).then(|| format!("{namespace} as {user}: {what}: want `{want}`, saw `{seen}`"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Twice is once; and after a clear nothing is left.
    assert_eq!(lab.ask("pod", ROOT, "apply"), "applied");
    assert_eq!(lab.ask("pod", APP, "dial 10.9.0.3:80"), "outbound to 10.9.0.3:80");
    assert_eq!(lab.ask("pod", ROOT, "clear"), "cleared");
    assert_eq!(lab.ask("pod", ROOT, "clear"), "cleared");
    assert_eq!(lab.ask("pod", APP, "dial 10.9.0.3:80"), "peer 80");
}

fn settings() -> RedirectSettings {
    RedirectSettings {
        proxy_uid: PROXY,
        proxy_gid: Some(PROXY),
        inbound_port: 15006,
        outbound_port: 15001,
        dns_port: Some(15053),
        skip_inbound_ports: vec!["15020-15021".parse().unwrap(), "9999".parse().unwrap()],
        skip_outbound_ports: vec!["4567-4568".parse().unwrap(), "4568-4570".parse().unwrap()],
        skip_inbound_from: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        skip_outbound_to: vec![
            "10.9.1.0/24".parse().unwrap(),
            "10.9.1.7/32".parse().unwrap(),
            "fd00:9:1::/48".parse().unwrap(),
        ],
    }
}

/// Two namespaces, removed at the end whatever the outcome.
struct Lab {
    name: String,
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None`, with the reason on standard error, where this cannot be tried.
    fn build() -> Option<Self> {
        let skip = |why: &str| {
            eprintln!("skipped: {why}");
            None
        };
        if !Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return skip("nft is not installed");
        }
        if !Command::new("ip").arg("netns").output().is_ok_and(|output| output.status.success()) {
            return skip("ip is not installed, or has no netns");
        }
        let lab = Self { name: format!("weft{}", std::process::id()), folder: tempfile::tempdir().unwrap() };
        if !lab.ip(&format!("netns add {}", lab.namespace("pod"))) {
            return skip("network namespaces cannot be made here: this test needs root");
        }
        // The users of the test must be able to run it.
        std::fs::copy(std::env::current_exe().unwrap(), lab.program()).unwrap();
        for path in [lab.folder.path(), &lab.program()] {
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        let (pod, peer) = (lab.namespace("pod"), lab.namespace("peer"));
        for step in [
            format!("netns add {peer}"),
            format!("-n {pod} link add veth0 type veth peer name veth1 netns {peer}"),
            format!("-n {pod} link set lo up"),
            format!("-n {peer} link set lo up"),
            format!("-n {pod} addr add 10.9.0.2/24 dev veth0"),
            format!("-n {pod} addr add fd00:9::2/64 dev veth0 nodad"),
            format!("-n {peer} addr add 10.9.0.3/24 dev veth1"),
            format!("-n {peer} addr add 10.9.1.3/24 dev veth1"),
            format!("-n {peer} addr add fd00:9::3/64 dev veth1 nodad"),
            format!("-n {peer} addr add fd00:9:1::3/64 dev veth1 nodad"),
            format!("-n {pod} link set veth0 up"),
            format!("-n {peer} link set veth1 up"),
            format!("-n {pod} route add default via 10.9.0.3"),
            format!("-n {pod} -6 route add default via fd00:9::3"),
        ] {
            assert!(lab.ip(&step), "ip {step}");
        }
        match lab.ask("pod", ROOT, "apply").as_str() {
            "applied" => Some(lab),
            said if said.contains("not let us") => skip("this user may not load rules"),
            said => panic!("{said}"),
        }
    }

    fn namespace(&self, which: &str) -> String {
        format!("{}{which}", self.name)
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("redirect-test")
    }

    fn ip(&self, arguments: &str) -> bool {
        Command::new("ip")
            .args(arguments.split(' '))
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    }

    /// This test again, as `user` inside a namespace, doing `what`.
    fn inside(&self, namespace: &str, user: u32, what: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(namespace)]).arg(self.program());
        command.args(["--exact", "inside_a_namespace", "--ignored", "--nocapture"]);
        command.env("WEFT_LAB_DO", what).env("WEFT_LAB_USER", user.to_string()).current_dir("/");
        command
    }

    /// What it said.
    fn ask(&self, namespace: &str, user: u32, what: &str) -> String {
        let output = self.inside(namespace, user, what).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().find_map(|line| line.strip_prefix(SAYS)).unwrap_or(&said).to_owned()
    }

    /// Starts a server and waits until it listens. It ends when the returned value is dropped.
    fn serve(&self, namespace: &str, user: u32, what: &str) -> Serving {
        let mut child =
            self.inside(namespace, user, what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let alive = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == format!("{SAYS}ready")), "{what} ended before it listened");
        Serving { child, alive, _heard: lines }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in ["pod", "peer"] {
            self.ip(&format!("netns del {}", self.namespace(namespace)));
        }
    }
}

/// A server lives as long as its standard input is open.
struct Serving {
    child: Child,
    alive: Option<ChildStdin>,
    _heard: Lines<BufReader<ChildStdout>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.child.wait();
    }
}

/// In front of what a process inside a namespace has to say; the rest of its output is the test runner's.
const SAYS: &str = "says: ";

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{SAYS}{what}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "the test above runs it, inside a namespace"]
fn inside_a_namespace() {
    let Ok(what) = std::env::var("WEFT_LAB_DO") else { return };
    let user: u32 = std::env::var("WEFT_LAB_USER").unwrap().parse().unwrap();
    if user != ROOT {
        // Become somebody else by starting again: changing the user of a running process is not safe Rust.
        let me = std::env::current_exe().unwrap();
        let error = Command::new(me)
            .args(std::env::args_os().skip(1))
            .env("WEFT_LAB_USER", ROOT.to_string())
            .uid(user)
            .gid(user)
            .exec();
        panic!("{error}");
    }
    match what.split_once(' ').unwrap_or((&what, "")) {
        ("apply", _) => say(&told(redirect::apply(&Rules::new(settings()).unwrap()), "applied")),
        ("clear", _) => say(&told(redirect::clear(), "cleared")),
        ("dial", to) => say(&dial(to.parse().unwrap())),
        ("ask", to) => say(&ask(to.parse().unwrap())),
        ("serve-peer", _) => serve(peer),
        ("serve-pod", _) => serve(pod),
        ("serve-dns", _) => serve(|| answer_dns(&["127.0.0.1:15053", "[::1]:15053"], "proxy's dns")),
        (other, _) => panic!("{other}"),
    }
}

fn told(result: Result<(), redirect::RedirectError>, fine: &str) -> String {
    result.map_or_else(|error| error.to_string().replace('\n', " "), |()| fine.to_owned())
}

fn dial(to: SocketAddr) -> String {
    let limit = Duration::from_secs(3);
    let mut said = String::new();
    let heard = TcpStream::connect_timeout(&to, limit).and_then(|mut stream| {
        stream.set_read_timeout(Some(limit))?;
        stream.read_to_string(&mut said)
    });
    heard.map_or_else(|error| error.to_string(), |_| said)
}

fn ask(server: SocketAddr) -> String {
    let own = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let mut buffer = [0; 64];
    let heard = UdpSocket::bind(own).and_then(|socket| {
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        socket.send_to(b"?", server)?;
        socket.recv_from(&mut buffer)
    });
    heard.map_or_else(
        |error| error.to_string(),
        |(length, from)| format!("{}, from {from}", String::from_utf8_lossy(&buffer[..length])),
    )
}

/// Runs servers until standard input ends.
fn serve(start: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    start();
    drop(entered);
    say("ready");
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    runtime.block_on(async {
        while !ended.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

fn peer() {
    for port in [80, 4567, 4568] {
        answer_tcp(port, move |_| format!("peer {port}"));
    }
    answer_dns(&["10.9.0.3:53", "[fd00:9::3]:53"], "peer's dns");
}

fn pod() {
    let listeners = [15001, 15006].map(|port| SocketAddr::from(([0; 16], port)));
    let own = OwnListeners::new(listeners, ["10.9.0.2".parse().unwrap(), "fd00:9::2".parse().unwrap()]);
    for (port, name) in [(15001, "outbound"), (15006, "inbound")] {
        let own = own.clone();
        answer_tcp(port, move |stream| match OriginalDst::of_redirected(stream, &own) {
            Ok(dst) => format!("{name} to {}", dst.addr()),
            Err(NoOriginalDst::Loop { .. }) => format!("{name} loop"),
            Err(error) => error.to_string(),
        });
    }
    answer_tcp(8080, |_| "application".to_owned());
    answer_tcp(9999, |_| "skipped".to_owned());
    answer_tcp(15022, |_| "itself".to_owned());
    answer_tcp(15053, |_| "dns over tcp".to_owned());
}

/// Listens on the dual-stack wildcard; IPv4 arrives v4-mapped.
fn answer_tcp(port: u16, answer: impl Fn(&tokio::net::TcpStream) -> String + Send + 'static) {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([0_u8; 16], port))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer(&stream);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
}

fn answer_dns(at: &[&str], answer: &'static str) {
    for at in at {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(answer.as_bytes(), from).await;
            }
        });
    }
}
