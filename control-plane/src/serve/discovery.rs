//! `Discovery.Attach`: one proxy's stream. It is told who it is by its certificate, says which workload it is the
//! proxy of, and from then on is told what it asks for whenever that changes.
//!
//! All that is decided is in [`Session`](crate::publish::session::Session); here are the socket, the clock and the
//! order of events: what changed is taken from the hub, what the proxy says from the stream, then what is to be
//! said is sent.

mod hello;
mod presence;
mod service;
mod standing;
mod stream;
mod unspoken;

pub use service::Discovery;
pub use unspoken::Unspoken;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use weft_proto::codec::discovery_server;
use weft_proto::shared::Frame;
use weft_proto::v1::ClientFrame;

use super::connection::Caller;

#[tonic::async_trait]
impl discovery_server::Discovery for Discovery {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<ClientFrame>>) -> Result<Response<Frames>, Status> {
        let caller = Caller::of(&request)?.clone();
        let peer = caller.proven()?.clone();
        let (send, receive) = mpsc::channel(FRAMES);
        let (service, from_proxy) = (self.clone(), request.into_inner());
        let counts = self.counts.clone();
        // It ends with the stream: it watches for the receiver to go.
        tokio::spawn(async move {
            let farewell = send.clone();
            let said = hello::attach(service, caller, peer, from_proxy, send).await;
            counts.ended(said.as_ref().map_or_else(Status::code, |()| tonic::Code::Ok));
            if let Err(status) = said {
                tracing::info!(%status, "a proxy's stream ended");
                // Who has hung up hears nothing.
                let _gone = farewell.send(Err(status)).await;
            }
        });
        Ok(Response::new(Frames(receive)))
    }
}

/// What is sent to one proxy. Dropping it, which gRPC does when the proxy hangs up, ends the stream's task.
#[derive(Debug)]
pub struct Frames(mpsc::Receiver<Result<Frame, Status>>);

impl Stream for Frames {
    type Item = Result<Frame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Frames that wait for a slow proxy; with [`Session::WINDOW`](crate::publish::session::Session::WINDOW) the bound
/// on what one proxy can make us hold.
const FRAMES: usize = 8;
