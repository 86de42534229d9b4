//! DNS: a server that knows a few names of the world, and questions by hand over either transport.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::eventually::soon;
use crate::port;

/// A running server. Dropping it ends it: nobody answers at its address any more.
#[derive(Debug)]
pub struct World {
    /// Where it answers, over UDP and TCP.
    pub addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One datagram each way.
    Udp,
    /// On a connection.
    Tcp,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether there is such a name.
    pub code: ResponseCode,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The longest that any of them may be remembered, in seconds.
    pub ttl: u32,
}

impl World {
    /// Starts one that knows these names, without a dot at the end; about any other it says that there is none.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start(names: &[(&str, &str)]) -> Self {
        let mut known: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for (name, address) in names {
            let address = address.parse().expect("an address");
            known.entry((*name).to_owned()).or_default().push(address);
        }
        // One that is free in both transports: the system gives away each for itself.
        let addr = port::of_its_own();
        let tcp = TcpListener::bind(addr).await.expect("a free port");
        let udp = UdpSocket::bind(addr).await.expect("a free port");
        let (known, asked) = (Arc::new(known), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(udp, Arc::clone(&known), Arc::clone(&asked)));
        tasks.spawn(connections(tcp, known, Arc::clone(&asked)));
        Self { addr, asked, _tasks: tasks }
    }

    /// How many questions it has had.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Asks one question.
///
/// # Panics
/// If no answer to it comes.
pub async fn ask(server: SocketAddr, over: Over, name: &str, kind: RecordType) -> Told {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.parse().expect("a name"), kind));
    let bytes = question.to_vec().expect("a question");
    let reply = soon(format!("an answer about {name} over {over:?}"), exchange(server, over, &bytes)).await;
    let reply = reply.unwrap_or_else(|error| panic!("{name} over {over:?}: {error}"));
    let reply = Message::from_vec(&reply).expect("a DNS message");
    assert_eq!(reply.metadata.id, question.metadata.id, "the answer is to this question");
    let address = |record: &Record| match &record.data {
        RData::A(A(ip)) => Some(IpAddr::V4(*ip)),
        RData::AAAA(AAAA(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    };
    Told {
        code: reply.metadata.response_code,
        addresses: reply.answers.iter().filter_map(address).collect(),
        ttl: reply.answers.iter().map(|record| record.ttl).max().unwrap_or_default(),
    }
}

async fn exchange(server: SocketAddr, over: Over, question: &[u8]) -> std::io::Result<Vec<u8>> {
    match over {
        Over::Udp => {
            let near = if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
            let socket = UdpSocket::bind(near).await?;
            socket.connect(server).await?;
            socket.send(question).await?;
            let mut reply = vec![0; 4096];
            let length = socket.recv(&mut reply).await?;
            reply.truncate(length);
            Ok(reply)
        }
        Over::Tcp => {
            let mut stream = TcpStream::connect(server).await?;
            write(&mut stream, question).await?;
            read(&mut stream).await
        }
    }
}

async fn datagrams(socket: UdpSocket, known: Arc<BTreeMap<String, Vec<IpAddr>>>, asked: Arc<AtomicUsize>) {
    let mut question = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        asked.fetch_add(1, Ordering::Relaxed);
        // Whoever has gone does not want it.
        let _ = socket.send_to(&answer(&known, &question[..length]), from).await;
    }
}

async fn connections(
    listener: TcpListener,
    known: Arc<BTreeMap<String, Vec<IpAddr>>>,
    asked: Arc<AtomicUsize>,
) {
    let mut open = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (known, asked) = (Arc::clone(&known), Arc::clone(&asked));
        open.spawn(async move {
            while let Ok(question) = read(&mut stream).await {
                asked.fetch_add(1, Ordering::Relaxed);
                if write(&mut stream, &answer(&known, &question)).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn answer(known: &BTreeMap<String, Vec<IpAddr>>, question: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(question).expect("a forwarded question");
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    let query = message.queries.first().expect("one question").clone();
    let name = query.name().to_lowercase().to_string();
    match known.get(name.trim_end_matches('.')) {
        Some(addresses) => {
            let data = addresses.iter().filter_map(|ip| match (ip, query.query_type()) {
                (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(*ip))),
                (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(*ip))),
                _ => None,
            });
            message.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 1, data)));
        }
        None => message.metadata.response_code = ResponseCode::NXDomain,
    }
    if message.answers.is_empty() {
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 1);
        message.add_authority(Record::from_rdata(Name::root(), 1, RData::SOA(soa)));
    }
    message.to_vec().expect("an answer")
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}
