//! Any bytes as an answer: read alike however they are cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use super::reading::Reading;
use crate::gate::{Asked, Rule};

#[test]
fn any_answer_is_read_alike_however_it_is_cut() {
    weft_fuzz::law!("h1_response", |bytes| {
        let Some((asked, bytes)) = bytes.split_first() else { return };
        let asked = [Asked::Other, Asked::Head, Asked::Connect, Asked::Other][usize::from(asked % 4)];
        let whole = read(bytes, bytes.len().max(1), asked);
        for size in [1, 2, 3, 17, 256] {
            assert_eq!(read(bytes, size, asked), whole, "in pieces of {size}");
        }
        let (said, ended) = whole;
        assert!(ended != Some(io::ErrorKind::InvalidData.into()), "it says which rule is broken");
        assert!(said.body.len() <= bytes.len(), "nothing is added");
    });
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    head: String,
    body: Vec<u8>,
    trailers: String,
    rest: Vec<u8>,
}

/// How it ended, where it did not end well.
#[derive(Debug, PartialEq, Eq)]
enum Broke {
    Rule(Rule),
    Otherwise(io::ErrorKind),
}

impl From<io::ErrorKind> for Broke {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Otherwise(kind)
    }
}

fn read(bytes: &[u8], size: usize, asked: Asked) -> (Said, Option<Broke>) {
    let (mut said, mut pieces) = (Said::default(), Pieces { bytes, size });
    let mut reading = Reading::answer_to(asked);
    let mut cx = Context::from_waker(Waker::noop());
    let ready = |error: io::Error| match Rule::behind(&error) {
        Some(rule) => Some(Broke::Rule(rule)),
        None => Some(error.kind().into()),
    };
    let Poll::Ready(heard) = reading.poll_head(&mut pieces, &mut cx) else { panic!("it never waits") };
    match heard {
        Err(error) => return (said, ready(error)),
        Ok(heard) => said.head = format!("{:?} {} {}", heard.head, heard.keeps, heard.tunnel),
    }
    loop {
        let Poll::Ready(piece) = reading.poll_piece(&mut pieces, &mut cx) else { panic!("it never waits") };
        match piece {
            None => break,
            Some(Err(error)) => return (said, ready(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => said.body.extend_from_slice(&data),
                Err(frame) => said.trailers = format!("{:?}", frame.into_trailers().ok()),
            },
        }
    }
    said.rest = [&reading.into_rest(), pieces.bytes].concat();
    (said, None)
}

/// Bytes that come in pieces.
struct Pieces<'b> {
    bytes: &'b [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (piece, rest) = self.bytes.split_at(self.size.min(into.remaining()).min(self.bytes.len()));
        into.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}
