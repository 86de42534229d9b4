//! SOCKS5 (RFC 1928), the server's half: no authentication, `CONNECT` only.
//!
//! [`Handshake`] knows the protocol and no socket: it says how many bytes it wants next and is given them. Asking
//! for exactly what it needs means that nothing of the application's own data is ever read here, so there is no
//! buffer to hand over afterwards. [`accept`] and [`reply`] are the thin part that reads and writes.
//!
//! Names are taken as they are and not resolved: a mesh name means more than an address.
//!
//! Bound: a greeting is at most 257 bytes, a request at most 262, and each is read once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{BadTarget, Target};

/// How far the client has come.
#[derive(Debug, Default)]
pub struct Handshake {
    stage: Stage,
}

/// What the handshake needs, or has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Give it exactly this many bytes more (1 to 257).
    Want(usize),
    /// Write these bytes to the client, then go on.
    Write(&'static [u8]),
    /// The client wants to go here. It waits for a [`Reply`].
    Connect(Target),
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Greeting,
    Methods,
    Chosen,
    Head,
    Length,
    Address(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
    Name,
}

impl Handshake {
    /// The first thing to do.
    #[must_use]
    pub const fn first(&self) -> Step {
        Step::Want(2)
    }

    /// Goes on with the bytes that the last step wanted (or with none, after a [`Step::Write`]).
    ///
    /// # Errors
    /// [`Refused`]: write [`Refused::answer`] and close.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, Refused> {
        let (stage, step) = match (&self.stage, bytes) {
            (Stage::Greeting, [VERSION, 0]) => return Err(Refused::NoMethod),
            (Stage::Greeting, [VERSION, count]) => (Stage::Methods, Step::Want(usize::from(*count))),
            (Stage::Greeting, _) => return Err(Refused::NotSocks5),

            (Stage::Methods, methods) if methods.contains(&NO_AUTHENTICATION) => {
                (Stage::Chosen, Step::Write(&[VERSION, NO_AUTHENTICATION]))
            }
            (Stage::Methods, _) => return Err(Refused::NoMethod),
            (Stage::Chosen, _) => (Stage::Head, Step::Want(4)),

            (Stage::Head, [VERSION, CONNECT, 0, kind]) => match kind {
                1 => (Stage::Address(Kind::V4), Step::Want(4 + 2)),
                3 => (Stage::Length, Step::Want(1)),
                4 => (Stage::Address(Kind::V6), Step::Want(16 + 2)),
                _ => return Err(Refused::AddressKind),
            },
            (Stage::Head, [VERSION, _, 0, _]) => return Err(Refused::Command),
            (Stage::Head, _) => return Err(Refused::NotSocks5),

            (Stage::Length, [0]) => return Err(Refused::Target(BadTarget::Host)),
            (Stage::Length, [length]) => (Stage::Address(Kind::Name), Step::Want(usize::from(*length) + 2)),
            (Stage::Length, _) => return Err(Refused::NotSocks5),

            (Stage::Address(kind), bytes) => return target(*kind, bytes).map(Step::Connect),
        };
        self.stage = stage;
        Ok(step)
    }
}

/// An address and its port, as they stand in a request (RFC 1928 §5).
fn target(kind: Kind, bytes: &[u8]) -> Result<Target, Refused> {
    let (address, port) = bytes.split_last_chunk::<2>().ok_or(Refused::NotSocks5)?;
    let port = u16::from_be_bytes(*port);
    let ip = match kind {
        Kind::V4 => <[u8; 4]>::try_from(address).map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        Kind::V6 => <[u8; 16]>::try_from(address).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        Kind::Name => {
            let name = std::str::from_utf8(address).map_err(|_| Refused::Target(BadTarget::Host))?;
            return Target::new(name, port).map_err(Refused::Target);
        }
    };
    let ip = ip.map_err(|_| Refused::NotSocks5)?;
    if port == 0 {
        return Err(Refused::Target(BadTarget::Port));
    }
    Ok(Target::Addr(SocketAddr::new(ip.to_canonical(), port)))
}

/// Why the handshake ends without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no SOCKS5 (SOCKS4 and HTTP among them). Nothing is answered: it would not be understood.
    #[error("the client does not speak SOCKS5; set its proxy type to SOCKS5, or use the HTTP proxy port")]
    NotSocks5,
    /// The client insists on authentication.
    #[error(
        "the client offers no way without authentication; remove user and password from its proxy settings"
    )]
    NoMethod,
    /// `BIND` or `UDP ASSOCIATE`.
    #[error("the client asked for something else than CONNECT; UDP and listening are not proxied")]
    Command,
    /// An address type that RFC 1928 does not know.
    #[error("the client gave an address of an unknown type")]
    AddressKind,
    /// The destination cannot be used.
    #[error("the client's destination cannot be used: {0}")]
    Target(BadTarget),
}

impl Refused {
    /// What the client is told before the connection is closed.
    #[must_use]
    pub const fn answer(self) -> &'static [u8] {
        match self {
            Self::NotSocks5 => &[],
            Self::NoMethod => &[VERSION, 0xff],
            Self::Command => failure(Reply::CommandNotSupported),
            Self::AddressKind => failure(Reply::AddressTypeNotSupported),
            Self::Target(_) => failure(Reply::GeneralFailure),
        }
    }
}

/// How a request ended (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Connected: what follows is the application's.
    Succeeded,
    /// Something went wrong here.
    GeneralFailure,
    /// Policy denies it.
    NotAllowed,
    /// No route to the network.
    NetworkUnreachable,
    /// No such host, no endpoint, or a timeout.
    HostUnreachable,
    /// The destination refused.
    ConnectionRefused,
    /// Not `CONNECT`.
    CommandNotSupported,
    /// Neither IPv4, IPv6 nor a name.
    AddressTypeNotSupported,
}

impl Reply {
    /// The reply for an upstream connection that could not be made.
    #[must_use]
    pub fn from_connect_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::NetworkUnreachable => Self::NetworkUnreachable,
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => Self::HostUnreachable,
            io::ErrorKind::PermissionDenied => Self::NotAllowed,
            _ => Self::GeneralFailure,
        }
    }

    /// The bytes of the reply. The bound address is left at 0.0.0.0:0, which RFC 1928 clients ignore for `CONNECT`:
    /// ours would say nothing, since the connection may be pooled and to another sidecar.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8; 10] {
        match self {
            Self::Succeeded => &[VERSION, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::GeneralFailure => &[VERSION, 1, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::NotAllowed => &[VERSION, 2, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::NetworkUnreachable => &[VERSION, 3, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::HostUnreachable => &[VERSION, 4, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::ConnectionRefused => &[VERSION, 5, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::CommandNotSupported => &[VERSION, 7, 0, 1, 0, 0, 0, 0, 0, 0],
            Self::AddressTypeNotSupported => &[VERSION, 8, 0, 1, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// Why [`accept`] has no target.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// The client was told so, and the connection can be dropped.
    #[error("SOCKS5: {0}")]
    Refused(#[from] Refused),
    /// The client went away or the socket failed.
    #[error("SOCKS5: the client went away during the handshake: {source}")]
    Lost {
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the handshake and answers refusals. The caller holds this to a deadline, and answers with [`reply`] once
/// it knows whether it can connect.
///
/// # Errors
/// [`NotAccepted`]: drop the connection.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Target, NotAccepted> {
    let lost = |source| NotAccepted::Lost { source };
    let mut handshake = Handshake::default();
    let mut step = handshake.first();
    let mut buffer = [0_u8; MAX_WANT];
    loop {
        let next = match step {
            Step::Connect(target) => return Ok(target),
            Step::Write(bytes) => {
                stream.write_all(bytes).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
                handshake.next(&[])
            }
            Step::Want(count) => {
                let wanted = buffer.get_mut(..count).expect("a length byte and a port are at most 257 bytes");
                stream.read_exact(wanted).await.map_err(lost)?;
                handshake.next(wanted)
            }
        };
        step = match next {
            Ok(step) => step,
            Err(refused) => {
                stream.write_all(refused.answer()).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
                return Err(refused.into());
            }
        };
    }
}

/// Tells the client how its request ended.
///
/// # Errors
/// The client went away.
pub async fn reply<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> io::Result<()> {
    stream.write_all(reply.bytes()).await?;
    stream.flush().await
}

const fn failure(reply: Reply) -> &'static [u8] {
    reply.bytes()
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;

/// The most that one step asks for: a name of 255 bytes and its port.
const MAX_WANT: usize = 255 + 2;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
