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
#[expect(unused_qualifications, clippy::all, clippy::allow_attributes, reason = "generated")]
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
        ProstDecoder::new(small())
    }
}

/// Copies a frame's bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        small()
    }

    fn encode(&mut self, frame: Frame, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(frame.size_hint());
        frame.write(into);
        Ok(())
    }
}

/// What a stream's buffers begin with, and what is said at one go. Most of ten thousand streams say nothing, and what they
/// say now and then is short: with the usual eight kilobytes each way they would hold a hundred and sixty megabytes for it.
fn small() -> BufferSettings {
    BufferSettings::new(512, 32 * 1024)
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;
    use tonic::{Request, Response, Streaming};

    use super::discovery_server::{Discovery, DiscoveryServer};
    use super::*;
    use crate::shared;
    use crate::v1::{self, client_frame, discovery_client::DiscoveryClient, server_frame::Kind};

    /// Welcomes, then sends one shared update for each acknowledgement that it reads.
    struct Echo(shared::Update);

    #[tonic::async_trait]
    impl Discovery for Echo {
        type AttachStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Frame, Status>> + Send>>;

        async fn attach(
            &self,
            request: Request<Streaming<ClientFrame>>,
        ) -> Result<Response<Self::AttachStream>, Status> {
            let update = self.0.clone();
            let answers = request.into_inner().map(move |frame| match frame?.kind {
                Some(client_frame::Kind::Ack(ack)) => Ok(update.with_nonce(ack.nonce)),
                _ => Ok(Frame::from(v1::Welcome { window: 8, ..v1::Welcome::default() })),
            });
            Ok(Response::new(Box::pin(answers)))
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_generated_client_reads_what_is_sent_encoded() {
        let body = vec![7; 100_000];
        let put =
            vec![v1::Resource { name: "shop/api".into(), body: body.into(), ..v1::Resource::default() }];
        let update = v1::Update { revision: 5, put, ..v1::Update::default() };
        let shared = shared::Update::new(update.clone());
        // The client calls the server as a function: everything but the socket is the real thing.
        let mut client = DiscoveryClient::new(DiscoveryServer::new(Echo(shared)));
        let ack = |nonce| client_frame::Kind::Ack(v1::Ack { nonce, ..v1::Ack::default() });
        let says = [client_frame::Kind::Hello(v1::Hello::default()), ack(1), ack(u64::MAX)];
        let frames = tokio_stream::iter(says.map(|kind| ClientFrame { kind: Some(kind) }));
        let answers = client.attach(frames).await.unwrap().into_inner();
        let answers: Vec<_> = answers.map(|frame| frame.unwrap().kind.unwrap()).collect().await;
        let with_nonce = |nonce| Kind::Update(v1::Update { nonce, ..update.clone() });
        let welcome = Kind::Welcome(v1::Welcome { window: 8, ..v1::Welcome::default() });
        assert_eq!(answers, [welcome, with_nonce(1), with_nonce(u64::MAX)]);
    }
}
