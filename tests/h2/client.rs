//! One connection of a client that says what it is told to, and hears frames.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weft_tests::call;
use weft_tests::eventually::PATIENCE;

use crate::wire::{
    ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, settings,
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Everything heard so far, for the message of a failed claim.
    pub(crate) heard: Vec<Heard>,
}

/// What a server can do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heard {
    /// A frame that is none of the others: its type, flags and stream.
    Frame(u8, u8, u32),
    /// SETTINGS, or the ACK of ours.
    Settings { ack: bool },
    /// A response's head, or trailers (status 0).
    Head { stream: u32, status: u16, last: bool },
    /// So many bytes of a response.
    Data { stream: u32, len: usize, last: bool },
    /// RST_STREAM.
    Reset { stream: u32, code: u32 },
    /// GOAWAY.
    GoAway { last: u32, code: u32 },
    /// The answer to a PING.
    Pong([u8; 8]),
    /// The connection is closed, in order or not.
    Closed,
    /// Nothing, for as long as is waited.
    Silence,
}

impl Client {
    /// Connects, and says nothing.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = call::connect(addr).await;
        stream.set_nodelay(true).expect("a connected socket");
        Self { stream, unread: Vec::new(), heard: Vec::new() }
    }

    /// Connects, and says the preface and SETTINGS, which are acknowledged as they are heard.
    pub(crate) async fn greet(addr: SocketAddr) -> Self {
        let mut client = Self::connect(addr).await;
        client.say(&[PREFACE, &settings(&[])].concat()).await;
        client
    }

    /// Says these bytes. Whether they can still be said is shown by what is heard.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.is_ok_and(|said| said.is_ok())
    }

    /// What is heard next.
    pub(crate) async fn hear(&mut self) -> Heard {
        let heard = match timeout(PATIENCE, self.frame()).await {
            Ok(Some(frame)) => self.understand(&frame).await,
            Ok(None) => Heard::Closed,
            Err(_) => Heard::Silence,
        };
        self.heard.push(heard.clone());
        heard
    }

    /// Hears until `enough` says so, or there is nothing more to hear.
    pub(crate) async fn hear_until(&mut self, enough: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.hear().await;
            if enough(&heard) || matches!(heard, Heard::Closed | Heard::Silence) {
                return heard;
            }
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = Frame::read(&self.unread) {
                self.unread.drain(..len);
                return Some(frame);
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.unread.extend_from_slice(&chunk[..n]),
            }
        }
    }

    async fn understand(&mut self, frame: &Frame) -> Heard {
        let Frame { stream, flags, .. } = *frame;
        let last = flags & END_STREAM != 0;
        match frame.kind {
            DATA => Heard::Data { stream, len: frame.payload.len(), last },
            HEADERS => Heard::Head { stream, status: frame.status(), last },
            RST_STREAM => Heard::Reset { stream, code: frame.number(0) },
            GOAWAY => Heard::GoAway { last: frame.number(0), code: frame.number(4) },
            PING if flags & ACK != 0 => Heard::Pong(frame.payload.clone().try_into().unwrap_or_default()),
            SETTINGS if flags & ACK == 0 => {
                self.say(&crate::wire::frame(SETTINGS, ACK, 0, [])).await;
                Heard::Settings { ack: false }
            }
            SETTINGS => Heard::Settings { ack: true },
            kind => Heard::Frame(kind, flags, stream),
        }
    }

    /// A PING whose answer shows that everything before it has been read.
    pub(crate) async fn mark(&mut self) -> bool {
        self.say(&frame(PING, 0, 0, MARK)).await
    }
}

impl Heard {
    /// The end of a response on this stream.
    pub(crate) fn ends(&self, id: u32) -> bool {
        matches!(self, Self::Head { stream, last: true, .. } | Self::Data { stream, last: true, .. } if *stream == id)
    }
}

/// What the PING says.
pub(crate) const MARK: [u8; 8] = *b"all read";
