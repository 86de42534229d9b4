//! Where a proxy can be made to connect to: never to itself. Every listener of a proxy, under every name of this host, by
//! every way that an application has into the mesh, and as the endpoint of a Service (catalogue row 55, scorecard row 10).

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::figures::report;
use weft_tests::port;
use weft_tests::sidecar::Sidecar;

use crate::lab::{H2, Lab, raw, status};

/// For settings that a proxy must be given before it starts.
pub(crate) fn free_port() -> u16 {
    port::of_its_own().port()
}

/// An address of this host that is not loopback, if it has any.
fn own_address(far: &str) -> Option<IpAddr> {
    let any = if far.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// How an application says where it wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// `GET http://there/`
    Absolute,
    /// `Host: there`
    Host,
    /// The same in HTTP/2.
    Authority,
    /// `CONNECT there`
    Connect,
    /// By address, or by name where it is one.
    Socks,
    /// Any address written as a name.
    SocksName,
}

const ASKS: [Ask; 6] = [Ask::Absolute, Ask::Host, Ask::Authority, Ask::Connect, Ask::Socks, Ask::SocksName];

/// The status and the cause of a refusal.
type Outcome = (u16, String);

impl Ask {
    /// Sends one request there.
    async fn get(self, proxy: SocketAddr, host: &str, port: u16) -> Outcome {
        let there = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let request = format!("GET / HTTP/1.1\r\nHost: {there}\r\nConnection: close\r\n\r\n");
        match self {
            Self::Absolute => {
                outcome(&raw(proxy, request.replacen(" /", &format!(" http://{there}/"), 1).as_bytes()).await)
            }
            Self::Host => outcome(&raw(proxy, request.as_bytes()).await),
            Self::Authority => {
                let (status, headers) = H2::connect(proxy).await.get_from(&there, "/").await.unwrap();
                (status, cause(headers.get("weft-error").map_or("", |cause| cause.to_str().unwrap())))
            }
            Self::Connect | Self::Socks | Self::SocksName => match self.open(proxy, host, port).await {
                Some(stream) => outcome(&rest(stream, request.as_bytes()).await),
                None => (0, "not opened".to_owned()),
            },
        }
    }

    /// Opens a connection there.
    async fn open(self, proxy: SocketAddr, host: &str, port: u16) -> Option<TcpStream> {
        let mut stream = call::connect(proxy).await;
        if self == Self::Connect {
            let there =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            stream
                .write_all(format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(soon("an answer to CONNECT", stream.read_u8()).await.ok()?);
            }
            return (status(&head) == 200).then_some(stream);
        }
        let mut request = vec![5, 1, 0, 5, 1, 0];
        match host.parse().ok().filter(|_| self == Self::Socks) {
            Some(IpAddr::V4(ip)) => request.extend([&[1][..], &ip.octets()].concat()),
            Some(IpAddr::V6(ip)) => request.extend([&[4][..], &ip.octets()].concat()),
            None => request.extend([&[3, u8::try_from(host.len()).unwrap()], host.as_bytes()].concat()),
        }
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await.unwrap();
        let mut reply = [0; 12];
        soon("a SOCKS5 reply", stream.read_exact(&mut reply)).await.ok()?;
        (reply[..4] == [5, 0, 5, 0]).then_some(stream)
    }
}

async fn rest(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // It may be refused, or cut off, before all of it is written or read.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = soon("the end of an answer", stream.read_to_end(&mut all)).await;
    all
}

fn outcome(response: &[u8]) -> Outcome {
    (status(response), cause_of(response))
}

/// Why a proxy has refused; empty if it has not.
pub(crate) fn cause_of(response: &[u8]) -> String {
    let text = String::from_utf8_lossy(response);
    cause(text.lines().find_map(|line| line.strip_prefix("weft-error: ")).unwrap_or_default())
}

fn cause(named: &str) -> String {
    named.split(';').next().unwrap_or_default().to_owned()
}

/// A proxy with every kind of listener: inbound on the wildcard as in production, everything else on loopback. None of
/// their ports is one that the system gives away: a connection that goes out from such a port may meet itself where
/// nobody listens, and somebody who looks for one that had it before may come in.
struct Exposed {
    lab: Lab,
    proxy: Sidecar,
    /// What a listener is, and its port.
    listeners: Vec<(&'static str, u16)>,
}

impl Exposed {
    async fn open() -> Self {
        let lab = Lab::open("").await;
        let [inbound, outbound, admin, fixed, dns] = [(); 5].map(|()| free_port());
        let at = |port: u16| format!("127.0.0.1:{port}");
        let proxy = lab
            .mesh
            .beside("shop/exposed")
            .set("WEFT_INBOUND", &format!("0.0.0.0:{inbound}"))
            .set("WEFT_OUTBOUND", &at(outbound))
            .set("WEFT_ADMIN", &at(admin))
            .set("WEFT_DNS", &at(dns))
            .set("WEFT_LOCAL_PORTS", &format!("{}=api.shop:80", at(fixed)))
            .start()
            .await;
        let listeners = vec![
            ("inbound", inbound),
            ("outbound", outbound),
            ("admin", admin),
            ("fixed", fixed),
            ("dns", dns),
        ];
        Self { lab, proxy, listeners }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_listener_of_a_proxy_is_reached_through_it_under_any_name_of_this_host() {
    let exposed = Exposed::open().await;
    let own = own_address("192.0.2.1:9").map(|ip| ip.to_string());
    let own_v6 = own_address("[2001:db8::1]:9").map(|ip| ip.to_string());
    let mut hosts = vec![
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "localhost",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
    ];
    hosts.extend(own.as_deref());
    hosts.extend(own_v6.as_deref());
    let (mut cells, mut wrong) = (0, Vec::new());
    for host in &hosts {
        for (listener, port) in &exposed.listeners {
            // On the wildcard it is reached by every address of the host; the rest on 127.0.0.1, and those to which
            // connections are redirected on ::1 too.
            let is_there = match *listener {
                "inbound" => true,
                "outbound" | "dns" if *host == "::1" => true,
                _ => {
                    !["127.0.0.2", "::1"].contains(host) && !own.iter().chain(&own_v6).any(|own| own == host)
                }
            };
            let expected =
                if is_there { (508, "loop".to_owned()) } else { (503, "connect_failed".to_owned()) };
            for ask in ASKS {
                cells += 1;
                let outcome = ask.get(exposed.proxy.outbound, host, *port).await;
                if outcome != expected {
                    wrong.push(format!("{ask:?} {listener} at {host}: {outcome:?}, not {expected:?}"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Bytes that are no HTTP end at once, and nothing comes back.
    for (listener, port) in &exposed.listeners {
        for ask in [Ask::Connect, Ask::Socks] {
            cells += 1;
            let stream = ask.open(exposed.proxy.outbound, "127.0.0.1", *port).await.unwrap();
            assert_eq!(rest(stream, b"\x00\x00\x00\x01 no HTTP\n").await, b"", "{ask:?} {listener}");
        }
    }
    // Each has been seen once by the way in, and by nobody else: a tunnel's request counts beside its CONNECT.
    let per_ask = f64::from(u32::try_from(hosts.len() * exposed.listeners.len()).unwrap());
    let expected = per_ask * 7.0 + 5.0;
    eventually("every request has been counted", async || {
        (exposed.proxy.counter("weft_requests_total", &["outbound"]).await >= expected).then_some(())
    })
    .await;
    assert_eq!(exposed.proxy.counter("weft_requests_total", &["outbound"]).await, expected);
    assert_eq!(exposed.proxy.counter("weft_requests_total", &["inbound"]).await, 0.0);
    assert_eq!(exposed.proxy.counter("weft_detected_connections_total", &[]).await, 0.0, "nothing came in");
    assert!(exposed.lab.witness.take().is_empty());
    report(10, format!("{cells} cells of a proxy's own listeners by name and way in, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_port_or_an_endpoint_that_leads_to_the_proxy_itself_ends_there() {
    let lab = Lab::open("").await;
    let [inbound, outbound, admin, itself] = [(); 4].map(|()| free_port());
    let (to_inbound, to_outbound, to_admin) = (free_port(), free_port(), free_port());
    let fixed = [(to_inbound, inbound), (to_outbound, outbound), (to_admin, admin), (itself, itself)]
        .map(|(from, to)| format!("127.0.0.1:{from}=127.0.0.1:{to}"));
    let at = |port: u16| format!("127.0.0.1:{port}");
    let proxy = lab
        .mesh
        .beside("shop/looped")
        .set("WEFT_INBOUND", &at(inbound))
        .set("WEFT_OUTBOUND", &at(outbound))
        .set("WEFT_ADMIN", &at(admin))
        .set("WEFT_LOCAL_PORTS", &fixed.join(","))
        .start()
        .await;
    let get = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut cells = 0;
    for fixed in &proxy.fixed {
        cells += 2;
        assert_eq!(outcome(&raw(*fixed, get).await), (508, "loop".to_owned()), "{fixed}");
        assert_eq!(raw(*fixed, b"\x00\x01 no HTTP\n").await, b"", "{fixed}");
    }
    // A Service whose endpoint is one of the proxy's own listeners, without a sidecar to say so.
    for (name, port) in [("inbound", inbound), ("outbound", outbound), ("admin", admin), ("itself", itself)] {
        let trap = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: trap-{name}, namespace: shop}},
              spec: {{selector: {{app: trap-{name}}}, ports: [{{name: any, port: 80, targetPort: any}}]}}}}
---
{{apiVersion: weft.mesh/v1alpha1, kind: Workload, metadata: {{name: trap-{name}, namespace: shop, labels: {{app: trap-{name}}}}},
  spec: {{address: 127.0.0.1, mesh: false, ports: [{{name: any, port: {port}}}]}}}}"
        );
        lab.mesh.apply(&format!("trap-{name}.yaml"), &trap).await;
        let trap = format!("trap-{name}");
        for ask in ASKS {
            cells += 1;
            let outcome = ask.get(proxy.outbound, &trap, 80).await;
            assert_eq!(outcome, (508, "loop".to_owned()), "{ask:?} {name}");
        }
        for ask in [Ask::Connect, Ask::Socks] {
            cells += 1;
            let stream = ask.open(proxy.outbound, &trap, 80).await.unwrap();
            assert_eq!(rest(stream, b"\x00\x01 no HTTP\n").await, b"", "{ask:?} {name}");
        }
    }
    assert_eq!(proxy.counter("weft_detected_connections_total", &[]).await, 0.0, "nothing came in");
    report(10, format!("{cells} cells of fixed ports and endpoints that lead back, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_in_on_the_wildcard_is_this_hosts_under_all_its_addresses_and_leads_nowhere_back() {
    let lab = Lab::open("").await;
    let anywhere = || format!("0.0.0.0:{}", free_port());
    let beside =
        lab.mesh.beside("shop/wide").set("WEFT_INBOUND", &anywhere()).set("WEFT_OUTBOUND", &anywhere());
    let wide = beside.set("WEFT_LOCAL_PORTS", &format!("{}=api.shop:80", anywhere())).start().await;
    let mut hosts = vec!["127.0.0.1".to_owned(), "127.0.0.2".to_owned()];
    hosts.extend(own_address("192.0.2.1:9").map(|ip| ip.to_string()));
    let mut cells = 0;
    for from in &hosts {
        let at = |port: u16| SocketAddr::new(from.parse().unwrap(), port);
        for ask in ASKS {
            cells += 1;
            assert_eq!(
                ask.get(at(wide.outbound.port()), "api", 80).await,
                (200, String::new()),
                "{ask:?} at {from}"
            );
        }
        for to in
            hosts.iter().map(String::as_str).chain(["::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "localhost"])
        {
            for port in [wide.outbound.port(), wide.inbound.port(), wide.fixed[0].port()] {
                for ask in [Ask::Host, Ask::Connect, Ask::Socks] {
                    cells += 1;
                    let outcome = ask.get(at(wide.outbound.port()), to, port).await;
                    assert_eq!(outcome, (508, "loop".to_owned()), "{ask:?} {to}:{port} at {from}");
                }
            }
        }
        cells += 1;
        assert_eq!(
            outcome(
                &raw(at(wide.fixed[0].port()), b"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
                    .await
            )
            .0,
            200
        );
    }
    report(10, format!("{cells} cells of listeners on the wildcard, all as written"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_may_call_itself_and_comes_in_as_anybody_else_does() {
    let lab = Lab::open("").await;
    for ask in [Ask::Absolute, Ask::Host, Ask::Authority, Ask::Connect, Ask::SocksName] {
        let outcome = ask.get(lab.api.outbound, "api", 80).await;
        assert_eq!(outcome, (200, String::new()), "{ask:?}");
        let seen = lab.witness.take();
        assert_eq!(seen.len(), 1, "{ask:?}: {seen:?}");
        assert_eq!(seen[0].headers["weft-client-id"], "spiffe://weft.local/ns/shop/sa/api", "{ask:?}");
    }
    report(10, "5 cells of a Service that calls itself, all as written", true);
}
