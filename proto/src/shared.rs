//! Frames that are encoded once and sent to many proxies.
//!
//! A change concerns hundreds of proxies with the same bytes; only the nonce differs, because it counts what one
//! stream has been sent. In protobuf, concatenated encodings of a message merge: a second, tiny `ServerFrame`
//! with nothing but the nonce behind the shared one is one frame with both.

use bytes::{BufMut, Bytes};
use prost::Message;

use crate::v1::{self, ServerFrame, server_frame::Kind};

/// An update as every stream sends it. Cloning it is a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// A whole `ServerFrame`, without nonce.
    frame: Bytes,
}

impl Update {
    /// Encodes an update. A nonce in it is dropped: nonces belong to streams.
    #[must_use]
    pub fn new(mut update: v1::Update) -> Self {
        update.nonce = 0;
        Self { frame: ServerFrame { kind: Some(Kind::Update(update)) }.encode_to_vec().into() }
    }

    /// The frame for one stream.
    #[must_use]
    pub fn with_nonce(&self, nonce: u64) -> Frame {
        Frame { body: self.frame.clone(), nonce }
    }

    /// Its size in bytes, without nonce.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> usize {
        self.frame.len()
    }
}

/// One encoded `ServerFrame`, as [`FrameCodec`](crate::codec::FrameCodec) sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    body: Bytes,
    /// 0: none.
    nonce: u64,
}

impl Frame {
    /// Writes the frame's bytes.
    pub fn write(&self, into: &mut impl BufMut) {
        into.put_slice(&self.body);
        if self.nonce != 0 {
            let nonce = v1::Update { nonce: self.nonce, ..v1::Update::default() };
            let tail = ServerFrame { kind: Some(Kind::Update(nonce)) };
            tail.encode_raw(into);
        }
    }

    /// How many bytes [`Frame::write`] writes at most.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        self.body.len() + MAX_TAIL
    }
}

impl From<&ServerFrame> for Frame {
    /// A frame of one stream only: a welcome or a notice.
    fn from(frame: &ServerFrame) -> Self {
        Self { body: frame.encode_to_vec().into(), nonce: 0 }
    }
}

impl From<v1::Welcome> for Frame {
    fn from(welcome: v1::Welcome) -> Self {
        Self::from(&ServerFrame { kind: Some(Kind::Welcome(welcome)) })
    }
}

impl From<v1::Notice> for Frame {
    fn from(notice: v1::Notice) -> Self {
        Self::from(&ServerFrame { kind: Some(Kind::Notice(notice)) })
    }
}

/// Tag and length of the update, tag of the nonce, ten bytes of varint.
const MAX_TAIL: usize = 13;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        assert!(bytes.len() <= frame.size_hint());
        bytes
    }

    proptest! {
        #[test]
        fn a_shared_update_with_a_nonce_behind_it_reads_as_one_update(
            nonce in any::<u64>(),
            revision in any::<u64>(),
            more in any::<bool>(),
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
        ) {
            let put = bodies.into_iter().map(|body| v1::Resource { body: body.into(), ..Default::default() });
            let update = v1::Update { revision, more, put: put.collect(), ..Default::default() };
            let shared = Update::new(update.clone());
            let read = ServerFrame::decode(&*bytes(&shared.with_nonce(nonce))).unwrap();
            prop_assert_eq!(read.kind, Some(Kind::Update(v1::Update { nonce, ..update })));
        }
    }

    #[test]
    fn streams_share_the_bytes_and_not_the_nonce() {
        let update = v1::Update { revision: 1, nonce: 99, ..Default::default() };
        let shared = Update::new(update);
        let (a, b) = (shared.with_nonce(1), shared.with_nonce(2));
        assert_eq!(a.body.as_ptr(), b.body.as_ptr());
        assert_eq!(bytes(&a), b"\x12\x02\x08\x01\x12\x02\x78\x01");
        assert_eq!(bytes(&b), b"\x12\x02\x08\x01\x12\x02\x78\x02");
    }
}
