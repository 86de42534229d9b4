//! Connections that say who is at each end, in place of TLS: both send their certificates and judge the other's with the
//! very code that judges them in a handshake. What is left out is the proof that whoever presents a certificate has its
//! key, and with it the random keys that would make each run another one.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};
use weft_certs::clock::Clock;
use weft_certs::verify::{ClientAuth, ClientVerifier, peer};
use weft_control_plane::custody::Custody;
use weft_control_plane::serve::connection::Caller;
use weft_proxy::control::{Introduction, Transport};

/// Where control planes listen.
pub(crate) const PORT: u16 = 15_010;

/// How a simulated proxy reaches its control plane.
#[derive(Clone, Debug)]
pub(crate) struct Asserted {
    pub(crate) clock: Clock,
}

impl Transport for Asserted {
    type Io = TcpStream;

    async fn open(&self, address: Arc<str>, introduction: Introduction) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(&*address).await?;
        say(&mut socket, &introduction.chain).await?;
        let presented = hear(&mut socket).await?;
        let judged = introduction.verifier.judge(&presented, self.clock.unix());
        judged.map_err(|refused| io::Error::new(io::ErrorKind::InvalidData, refused))?;
        Ok(socket)
    }
}

/// A connection at the control plane's end.
pub(crate) struct Known {
    socket: TcpStream,
    caller: Caller,
}

/// Accepts until nobody takes connections any more.
pub(crate) async fn accept(
    custody: Arc<Custody>,
    clock: Clock,
    accepted: mpsc::Sender<Result<Known, Infallible>>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = accepted.closed() => return Ok(()),
            socket = listener.accept() => {
                let (socket, addr) = socket?;
                let (custody, clock, accepted) = (Arc::clone(&custody), clock.clone(), accepted.clone());
                handshakes.spawn(async move {
                    let known = tokio::time::timeout(PATIENCE, admit(socket, addr, &custody, &clock)).await;
                    if let Ok(Ok(known)) = known {
                        let _gone = accepted.send(Ok(known)).await;
                    }
                });
            }
            Some(_) = handshakes.join_next() => {}
        }
    }
}

async fn admit(
    mut socket: TcpStream,
    addr: SocketAddr,
    custody: &Custody,
    clock: &Clock,
) -> io::Result<Known> {
    let chain = hear(&mut socket).await?;
    say(&mut socket, &custody.presented()).await?;
    let refused = |refused| io::Error::new(io::ErrorKind::InvalidData, refused);
    let peer = if chain.is_empty() {
        None
    } else {
        let verifier = ClientVerifier::new(Arc::clone(custody.trust_store()), ClientAuth::Optional);
        verifier.judge(&chain, clock.unix()).map_err(refused)?;
        Some(peer(&chain).map_err(refused)?)
    };
    Ok(Known { socket, caller: Caller { peer, chain: chain.into(), addr } })
}

async fn say(socket: &mut TcpStream, chain: &[CertificateDer<'static>]) -> io::Result<()> {
    let mut said = vec![u8::try_from(chain.len()).unwrap()];
    for certificate in chain {
        said.extend(u32::try_from(certificate.len()).unwrap().to_be_bytes());
        said.extend_from_slice(certificate);
    }
    socket.write_all(&said).await
}

async fn hear(socket: &mut TcpStream) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut chain = Vec::new();
    for _ in 0..socket.read_u8().await? {
        let mut certificate = vec![0; usize::try_from(socket.read_u32().await?).unwrap()];
        socket.read_exact(&mut certificate).await?;
        chain.push(certificate.into());
    }
    Ok(chain)
}

impl Connected for Known {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Known {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Known {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// As with TLS.
const PATIENCE: Duration = Duration::from_secs(10);
