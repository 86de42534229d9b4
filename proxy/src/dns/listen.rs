//! The sockets: datagrams, and messages with a length in front over TCP (RFC 1035 §4.2, RFC 7766).
//!
//! An error of one client is the end of that client's exchange and of nothing else; a socket that cannot accept is
//! a pause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Desk, MAX_CONNECTIONS};

/// One address, in both transports.
pub(super) struct Sockets {
    addr: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// With port 0 the system chooses one that is free in both transports.
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let mut tries = if addr.port() == 0 { 8 } else { 1 };
        loop {
            let udp = UdpSocket::bind(addr).await?;
            let bound = udp.local_addr()?;
            tries -= 1;
            match TcpListener::bind(bound).await {
                Ok(tcp) => return Ok(Self { addr: bound, udp, tcp }),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn serve(self, open: &mut JoinSet<()>, desk: &Arc<Desk>) {
        open.spawn(serve_udp(self.udp, Arc::clone(desk)));
        open.spawn(serve_tcp(self.tcp, Arc::clone(desk)));
    }
}

/// Whether binding ::1 failed because there is no IPv6 here.
pub(super) fn means_no_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

async fn serve_udp(socket: UdpSocket, desk: Arc<Desk>) {
    let socket = Arc::new(socket);
    let mut open = JoinSet::new();
    let mut buffer = vec![0_u8; MAX_QUESTION];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(_) => {
                sleep(BREATHER).await;
                continue;
            }
        };
        while open.try_join_next().is_some() {}
        // Tasks that wait to be polled count as well; what does not fit is lost, as datagrams may be.
        if open.len() >= MAX_DATAGRAMS {
            continue;
        }
        let (message, socket, desk) =
            (buffer.get(..length).unwrap_or_default().to_vec(), Arc::clone(&socket), Arc::clone(&desk));
        open.spawn(async move {
            if let Some(reply) = desk.answer(&message, PLAIN_UDP).await {
                let _gone = socket.send_to(&reply, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, desk: Arc<Desk>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("slots is never closed");
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                open.spawn(async move {
                    let _gone = converse(stream, &desk).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(BREATHER).await,
        }
    }
}

/// One question after the other, until the client is silent for [`IDLE`] or does not take its answer.
async fn converse(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    loop {
        let message = timeout(IDLE, read(&mut stream)).await??;
        let Some(reply) = desk.answer(&message, usize::from(u16::MAX)).await else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// RFC 1035 §4.2.1: what a client without EDNS takes.
const PLAIN_UDP: usize = 512;

/// A question has one name; EDNS options and padding fit as well.
const MAX_QUESTION: usize = 4096;

/// Datagrams at once for one socket, those that only wait for SERVFAIL included.
const MAX_DATAGRAMS: usize = 2 * super::MAX_AT_WORK;

const IDLE: Duration = Duration::from_secs(10);
const BREATHER: Duration = Duration::from_millis(20);

/// `EAFNOSUPPORT` on Linux, which has no [`io::ErrorKind`].
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;
