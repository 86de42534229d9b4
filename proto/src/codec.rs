//! How the control plane's end of a config stream talks: it sends [`Frame`]s that are encoded already, which costs
//! one copy into the socket's buffer per proxy, and reads `ClientFrame`s as usual.
//!
//! The path and the bytes are those of the generated service: proxies use the generated
//! [`DiscoveryClient`](crate::v1::discovery_client::DiscoveryClient) and cannot tell.

use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

use crate::shared::Frame;
use crate::v1::ClientFrame;

/// `weft.v1.Discovery`, answering with [`Frame`]s.
#[expect(clippy::all, unused_qualifications, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/weft.v1.Discovery.rs"));
}

pub use generated::discovery_server;

/// Frames out, messages in.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = ClientFrame;
    type Encoder = FrameEncoder;
    type Decoder = ProstDecoder<ClientFrame>;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<ClientFrame> {
        ProstDecoder::new(BufferSettings::default())
    }
}

/// Copies a frame's bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(frame.size_hint());
        frame.write(into);
        Ok(())
    }
}
