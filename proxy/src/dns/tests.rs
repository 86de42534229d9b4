//! Asked over loopback by a real resolver, and by hand where a resolver would not stoop so low.

use std::str::FromStr as _;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Semantic, NetError};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::*;

/// A mesh of a few names.
struct FewNames;

impl Names for FewNames {
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        let ips = |list: &[&str]| Found::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect());
        let found = match name {
            "shop.mesh" => ips(&["240.240.0.7"]),
            "both.mesh" => ips(&["240.240.0.8", "fd6d:6573:68::8"]),
            "shop.default.svc.cluster.local" => ips(&["10.96.0.7"]),
            "many.mesh" => Found::Addresses((0..1000_u32).map(|n| IpAddr::from(n.to_be_bytes())).collect()),
            "empty.mesh" => ips(&[]),
            "later.mesh" => Found::NotNow,
            "never.mesh" => return Box::pin(std::future::pending()),
            _ => Found::NotOurs,
        };
        Box::pin(async move { found })
    }
}

/// Another server of the same kind stands for the world: it knows `example.org`.
struct TheWorld;

impl Names for TheWorld {
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        let found = match name {
            "example.org" => Found::Addresses(vec!["192.0.2.80".parse().unwrap()]),
            "slow.example.org" => return Box::pin(std::future::pending()),
            _ => Found::NotOurs,
        };
        Box::pin(async move { found })
    }
}

/// Serves in the background until dropped.
struct Running {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn start(names: impl Names, zones: &[&str], upstream: &[SocketAddr]) -> Running {
    let settings = DnsSettings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        upstream: Some(upstream.to_vec()),
    };
    let server = DnsServer::bind(&settings, Arc::new(names)).await.unwrap();
    let addr = server.addrs().next().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run());
    Running { addr, _tasks: tasks }
}

/// The mesh's server in front of the world's. The world forwards to an address where nobody answers.
async fn mesh_and_world() -> (Running, Running) {
    let world = start(TheWorld, &["org"], &["192.0.2.1:53".parse().unwrap()]).await;
    let mesh = start(FewNames, &["mesh"], &[world.addr]).await;
    (mesh, world)
}

fn client(server: SocketAddr) -> TokioResolver {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![config]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().attempts = 0;
    builder.build().unwrap()
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message
}

async fn over_udp(server: SocketAddr, bytes: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, server).await.unwrap();
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn over_tcp(stream: &mut TcpStream, bytes: &[u8]) -> Message {
    stream
        .write_all(&[&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat())
        .await
        .unwrap();
    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

fn code(error: &NetError) -> ResponseCode {
    match error {
        NetError::Dns(Semantic::NoRecordsFound(none)) => none.response_code,
        NetError::Dns(Semantic::ResponseCode(code)) => *code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_resolver_finds_mesh_names_and_the_rest_of_the_world() {
    let (mesh, _world) = mesh_and_world().await;
    let client = client(mesh.addr);
    for (name, kind, want) in [
        ("shop.mesh.", RecordType::A, "240.240.0.7"),
        ("SHOP.Mesh.", RecordType::A, "240.240.0.7"),
        ("both.mesh.", RecordType::AAAA, "fd6d:6573:68::8"),
        ("shop.default.svc.cluster.local.", RecordType::A, "10.96.0.7"),
        ("example.org.", RecordType::A, "192.0.2.80"),
    ] {
        let found = client.lookup(name, kind).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let data: Vec<String> = found.answers().iter().map(|record| record.data.to_string()).collect();
        assert_eq!(data, [want], "{name}");
        assert!(found.answers().iter().all(|record| record.ttl <= 5), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing_in_the_right_way() {
    let (mesh, _world) = mesh_and_world().await;
    let client = client(mesh.addr);
    for (name, kind, want) in [
        // The name exists, only not with such a record: a client must not conclude that it is gone.
        ("shop.mesh.", RecordType::AAAA, ResponseCode::NoError),
        ("shop.mesh.", RecordType::HTTPS, ResponseCode::NoError),
        ("empty.mesh.", RecordType::A, ResponseCode::NoError),
        ("nobody.mesh.", RecordType::A, ResponseCode::NXDomain),
        ("mesh.", RecordType::A, ResponseCode::NXDomain),
        ("nobody.org.", RecordType::A, ResponseCode::NXDomain),
        ("later.mesh.", RecordType::A, ResponseCode::ServFail),
    ] {
        let error = client.lookup(name, kind).await.expect_err(name);
        assert_eq!(code(&error), want, "{name} {kind}");
    }
}

#[tokio::test]
async fn a_name_of_the_mesh_is_never_asked_of_the_world() {
    // The world would answer "example.org" and anything below "org"; this mesh claims the zone for itself.
    let world = start(TheWorld, &["org"], &["192.0.2.1:53".parse().unwrap()]).await;
    let mesh = start(FewNames, &["example.org"], &[world.addr]).await;
    let reply = over_udp(mesh.addr, &question("example.org.", RecordType::A).to_vec().unwrap()).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    // A zone ends at a dot.
    let reply = over_udp(mesh.addr, &question("notexample.org.", RecordType::A).to_vec().unwrap()).await;
    assert!(!reply.metadata.authoritative, "it was forwarded");
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_udp_comes_whole_over_tcp() {
    let (mesh, _world) = mesh_and_world().await;
    let plain = question("many.mesh.", RecordType::A).to_vec().unwrap();
    let short = over_udp(mesh.addr, &plain).await;
    assert!(short.metadata.truncation && short.answers.is_empty());

    let mut with_edns = question("many.mesh.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(65535);
    with_edns.set_edns(edns);
    let larger = over_udp(mesh.addr, &with_edns.to_vec().unwrap()).await;
    assert_eq!((larger.metadata.truncation, larger.answers.len()), (false, MAX_ADDRESSES));

    let mut stream = TcpStream::connect(mesh.addr).await.unwrap();
    let whole = over_tcp(&mut stream, &plain).await;
    assert_eq!(whole.answers.len(), MAX_ADDRESSES);
    // And the connection goes on.
    let next = over_tcp(&mut stream, &question("shop.mesh.", RecordType::A).to_vec().unwrap()).await;
    assert!(matches!(next.answers.first().map(|record| &record.data), Some(RData::A(_))));
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_and_the_server_goes_on() {
    let (mesh, _world) = mesh_and_world().await;
    let shop = || question("shop.mesh.", RecordType::A);
    let mut status = shop();
    status.metadata.op_code = OpCode::Status;
    let mut two = shop();
    two.add_query(Query::query(Name::from_str("both.mesh.").unwrap(), RecordType::A));
    let mut chaos = Message::query();
    let mut query = Query::query(Name::from_str("version.bind.").unwrap(), RecordType::TXT);
    query.set_query_class(DNSClass::CH);
    chaos.add_query(query);
    let header_only = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for (what, bytes, want) in [
        ("another operation", status.to_vec().unwrap(), ResponseCode::NotImp),
        ("two questions", two.to_vec().unwrap(), ResponseCode::FormErr),
        ("no question", Message::query().to_vec().unwrap(), ResponseCode::FormErr),
        ("another class", chaos.to_vec().unwrap(), ResponseCode::Refused),
        ("everything", question("shop.mesh.", RecordType::ANY).to_vec().unwrap(), ResponseCode::NotImp),
        ("a zone transfer", question("mesh.", RecordType::AXFR).to_vec().unwrap(), ResponseCode::NotImp),
        ("a header that promises more", header_only.to_vec(), ResponseCode::FormErr),
    ] {
        assert_eq!(over_udp(mesh.addr, &bytes).await.metadata.response_code, want, "{what}");
    }
    // What is no question gets no answer: the next reply is that of the next question.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut reply_of_somebody = shop();
    reply_of_somebody.metadata.message_type = MessageType::Response;
    socket.send_to(&reply_of_somebody.to_vec().unwrap(), mesh.addr).await.unwrap();
    socket.send_to(b"", mesh.addr).await.unwrap();
    socket.send_to(b"short", mesh.addr).await.unwrap();
    let mut last = shop();
    last.metadata.id = 4242;
    socket.send_to(&last.to_vec().unwrap(), mesh.addr).await.unwrap();
    let mut buffer = [0; 512];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.id, 4242);
}

#[tokio::test]
async fn too_many_questions_at_once_are_answered_with_try_again() {
    let (mesh, _world) = mesh_and_world().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let never = question("never.mesh.", RecordType::A).to_vec().unwrap();
    let mut buffer = [0; 512];
    // In small portions, so that no datagram is lost on the way.
    for _ in 0..MAX_AT_WORK {
        socket.send_to(&never, mesh.addr).await.unwrap();
        tokio::task::yield_now().await;
    }
    let code = loop {
        socket.send_to(&question("shop.mesh.", RecordType::A).to_vec().unwrap(), mesh.addr).await.unwrap();
        let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
        let reply = Message::from_vec(&buffer[..length]).unwrap();
        if reply.metadata.response_code == ResponseCode::ServFail {
            break reply.metadata.response_code;
        }
        socket.send_to(&never, mesh.addr).await.unwrap();
    };
    assert_eq!(code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_server_that_is_ourselves_is_not_asked() {
    // Below the ports that the system gives to whoever asks for any.
    let port = 9_000 + (std::process::id() % 1_000) as u16;
    let listen: SocketAddr = ([127, 0, 0, 1], port).into();
    let bind = |upstream: Vec<SocketAddr>| async move {
        let settings = DnsSettings { listen: vec![listen], zones: vec![], upstream: Some(upstream) };
        DnsServer::bind(&settings, Arc::new(FewNames)).await.map(|_| ())
    };
    assert!(matches!(bind(vec![listen]).await, Err(DnsError::OnlyOurselves)));
    assert!(matches!(bind(vec![([0, 0, 0, 0], port).into()]).await, Err(DnsError::OnlyOurselves)));
    let mapped = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
    assert!(matches!(bind(vec![mapped]).await, Err(DnsError::OnlyOurselves)));
    bind(vec![listen, "192.0.2.1:53".parse().unwrap()]).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_reason() {
    let settings = |listen: &[&str], zone: &str| DnsSettings {
        listen: listen.iter().map(|addr| addr.parse().unwrap()).collect(),
        zones: vec![zone.to_owned()],
        upstream: Some(vec!["192.0.2.1:53".parse().unwrap()]),
    };
    let bind =
        |settings: DnsSettings| async move { DnsServer::bind(&settings, Arc::new(FewNames)).await.err() };
    assert!(matches!(bind(settings(&[], "mesh")).await, Some(DnsError::NowhereToListen)));
    for zone in ["", "a..b", "me sh", "*.mesh"] {
        assert!(matches!(bind(settings(&["127.0.0.1:0"], zone)).await, Some(DnsError::BadZone(_))), "{zone}");
    }
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert!(matches!(bind(settings(&[&taken], "mesh")).await, Some(DnsError::Bind { .. })));
}

#[tokio::test]
async fn questions_are_taken_on_both_loopback_addresses() {
    let settings = DnsSettings {
        listen: loopback(0).to_vec(),
        zones: vec![".Mesh.".to_owned()],
        upstream: Some(vec!["192.0.2.1:53".parse().unwrap()]),
    };
    let server = DnsServer::bind(&settings, Arc::new(FewNames)).await.unwrap();
    let addrs: Vec<SocketAddr> = server.addrs().collect();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run());
    for addr in addrs {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let reply = over_tcp(&mut stream, &question("nobody.mesh.", RecordType::A).to_vec().unwrap()).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain, "{addr}");
    }
}

proptest! {
    #[test]
    fn no_message_panics_and_no_refusal_is_itself_a_question(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Asked::Refuse(reply) = Question::read(&bytes) {
            prop_assert!(matches!(Question::read(&reply), Asked::Nothing));
        }
    }

    #[test]
    fn a_changed_question_panics_nobody(at in 0_usize..64, with: u8) {
        let mut bytes = question("shop.mesh.", RecordType::A).to_vec().unwrap();
        let length = bytes.len();
        bytes[at % length] = with;
        if let Asked::Question(question) = Question::read(&bytes) {
            let reply = Answer::Ours(vec![]).to_bytes(&question, 512);
            prop_assert!(!reply.is_empty() && reply.len() <= 512);
        }
    }
}
