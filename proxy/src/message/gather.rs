//! A body whose tiny pieces go on together.
//!
//! Each frame that goes on costs the next hop, and the application, as much as a large one does: a client that sends its body
//! byte by byte would have them work as hard as it likes, on a connection that others share. What has come goes on at
//! once, and nothing is waited for; but what has come in many pieces goes on in one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};

use super::{Body, Broken};

type Piece = Option<Result<Frame<Bytes>, Broken>>;

/// What is left of a body.
pub(crate) struct Gathered {
    body: Body,
    /// What came behind the last pieces and cannot be one of them.
    next: Option<Piece>,
}

impl Gathered {
    pub(crate) const fn new(body: Body) -> Self {
        Self { body, next: None }
    }

    /// The body, if no piece of it was taken.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// As [`http_body::Body::is_end_stream`].
    pub(crate) fn is_end_stream(&self) -> bool {
        self.next.as_ref().map_or_else(|| self.body.is_end_stream(), Option::is_none)
    }

    /// As [`http_body::Body::poll_frame`]; no data is empty.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let first = loop {
            let piece = match self.next.take() {
                Some(next) => next,
                None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
            };
            match data_of(piece) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => break data,
                Err(other) => return Poll::Ready(other),
            }
        };
        if first.len() > TINY || self.is_end_stream() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(Some(Ok(Frame::data(self.behind(first, cx)))))
    }

    /// `first` and the tiny pieces that are there already.
    fn behind(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        let mut together = BytesMut::new();
        for _ in 0..MOST_PIECES {
            let Poll::Ready(piece) = Pin::new(&mut self.body).poll_frame(cx) else { break };
            match data_of(piece) {
                Ok(data) if data.len() <= TINY => {
                    if together.is_empty() {
                        together.extend_from_slice(&first);
                    }
                    together.extend_from_slice(&data);
                }
                Ok(data) => {
                    self.next = Some(Some(Ok(Frame::data(data))));
                    break;
                }
                Err(other) => {
                    self.next = Some(other);
                    break;
                }
            }
            if self.body.is_end_stream() {
                break;
            }
        }
        if together.is_empty() { first } else { together.freeze() }
    }
}

fn data_of(piece: Piece) -> Result<Bytes, Piece> {
    match piece {
        Some(Ok(frame)) => frame.into_data().map_err(|frame| Some(Ok(frame))),
        other => Err(other),
    }
}

/// A piece of at most so many bytes is cheaper copied than sent by itself.
const TINY: usize = 1 << 10;
/// Most pieces that go on together, so that a body is no heavier than this many of them.
const MOST_PIECES: usize = 128;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::task::Waker;

    use http::HeaderMap;
    use http_body::SizeHint;
    use proptest::prelude::*;

    use super::*;
    use crate::message::body::Source;

    /// What a peer sends, and when there is nothing yet.
    #[derive(Clone, Debug)]
    enum Comes {
        Data(usize),
        Nothing,
        Trailers,
        Error,
    }

    /// Bytes count up, so that none can be missed or change its place.
    struct Peer {
        comes: VecDeque<Comes>,
        at: u8,
    }

    impl Source for Peer {
        fn poll_frame(&mut self, _cx: &mut Context<'_>) -> Poll<Piece> {
            match self.comes.pop_front() {
                None => Poll::Ready(None),
                Some(Comes::Nothing) => Poll::Pending,
                Some(Comes::Data(len)) => {
                    let data: Vec<u8> = (0..len).map(|n| self.at.wrapping_add(n as u8)).collect();
                    self.at = self.at.wrapping_add(len as u8);
                    Poll::Ready(Some(Ok(Frame::data(data.into()))))
                }
                Some(Comes::Trailers) => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-sum", http::HeaderValue::from_static("1"));
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Some(Comes::Error) => Poll::Ready(Some(Err(io::Error::other("cut off").into()))),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.comes.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }

    fn peer(comes: &[Comes]) -> Body {
        Body::read(Box::new(Peer { comes: comes.iter().cloned().collect(), at: 0 }))
    }

    /// What comes out: lengths of pieces, all bytes, and how it ended.
    fn read(
        comes: usize,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Piece>,
    ) -> (Vec<usize>, Vec<u8>, &'static str) {
        let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..=2 * comes {
            let Poll::Ready(piece) = poll(&mut cx) else { continue };
            match data_of(piece) {
                Ok(data) => {
                    lengths.push(data.len());
                    bytes.extend_from_slice(&data);
                }
                Err(None) => return (lengths, bytes, "its end"),
                Err(Some(Ok(_))) => return (lengths, bytes, "trailers"),
                Err(Some(Err(_))) => return (lengths, bytes, "an error"),
            }
        }
        panic!("it does not end")
    }

    #[test]
    fn what_has_come_in_tiny_pieces_goes_on_in_one_and_nothing_is_waited_for() {
        use Comes::{Data, Error, Nothing, Trailers};
        for (comes, pieces) in [
            (vec![Data(1), Data(1), Data(1)], vec![3]),
            (vec![Data(1), Nothing, Data(1), Data(2)], vec![1, 3]),
            (vec![Data(5000), Data(1), Data(0), Data(2), Data(5000)], vec![5000, 3, 5000]),
            (vec![Data(0), Data(7), Data(8), Trailers], vec![15]),
            (vec![Data(7), Data(8), Error], vec![15]),
            (vec![Data(1); 300], vec![129, 129, 42]),
            (vec![], vec![]),
        ] {
            let mut gathered = Gathered::new(peer(&comes));
            assert_eq!(read(comes.len(), |cx| gathered.poll_frame(cx)).0, pieces, "{comes:?}");
        }
    }

    fn comes() -> impl Strategy<Value = Vec<Comes>> {
        let one = prop_oneof![
            6 => (0_usize..5).prop_map(Comes::Data),
            2 => (900_usize..3000).prop_map(Comes::Data),
            3 => Just(Comes::Nothing),
        ];
        let last = prop_oneof![Just(None), Just(Some(Comes::Trailers)), Just(Some(Comes::Error))];
        (proptest::collection::vec(one, 0..200), last)
            .prop_map(|(comes, last)| comes.into_iter().chain(last).collect())
    }

    proptest! {
        #[test]
        fn the_same_bytes_come_out_and_the_same_end(comes in comes()) {
            let (mut plain, mut gathered) = (peer(&comes), Gathered::new(peer(&comes)));
            let (_, bytes, end) = read(comes.len(), |cx| Pin::new(&mut plain).poll_frame(cx));
            let (_, after, after_end) = read(comes.len(), |cx| gathered.poll_frame(cx));
            prop_assert_eq!(bytes, after);
            prop_assert_eq!(end, after_end);
        }
    }
}
