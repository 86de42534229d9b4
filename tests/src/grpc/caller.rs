//! A gRPC client, as applications have them: tonic's, on one connection.

use std::net::SocketAddr;

use futures_core::Stream;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use super::Codec;
use crate::eventually::soon;

/// A client on one connection. Every call is to `shop.Cart` unless its whole path is given.
#[derive(Clone, Debug)]
pub struct Caller(Channel);

impl Caller {
    /// Connects to `addr` and calls `authority`: a proxy is spoken to in HTTP/2 by prior knowledge.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn connect(addr: SocketAddr, authority: &str) -> Self {
        Self::on(authority, move || async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
        .await
    }

    /// As [`connect`](Self::connect), on a stream that `open` gives.
    ///
    /// # Panics
    /// If it gives none.
    pub async fn on<S, F>(authority: &str, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).expect("an authority");
        let connector = tower::service_fn(move |_| {
            let opening = open();
            async move { opening.await.map(TokioIo::new) }
        });
        let channel = soon("a gRPC connection", endpoint.connect_with_connector(connector)).await;
        Self(channel.unwrap_or_else(|error| panic!("{authority}: {error:?}")))
    }

    /// One message for one. `path` is a method of `shop.Cart`, or a whole path.
    ///
    /// # Errors
    /// The call's status.
    pub async fn unary(&self, path: &str, message: &str, metadata: &Metadata<'_>) -> Answered<String> {
        let request = with(message.to_owned(), metadata);
        soon(path, self.ready().await.unary(request, whole(path), Codec::default())).await
    }

    /// `Get`, with nothing beside its message.
    ///
    /// # Errors
    /// The call's status.
    pub async fn get(&self, message: &str) -> Answered<String> {
        self.unary("Get", message, &[]).await
    }

    /// `List`: many messages for one.
    ///
    /// # Errors
    /// The call's status, if it ends before any message.
    pub async fn list(&self, count: usize) -> Answered<Streaming<String>> {
        let request = Request::new(count.to_string());
        soon("List", self.ready().await.server_streaming(request, whole("List"), Codec::default())).await
    }

    /// `Sum`: one message for many.
    ///
    /// # Errors
    /// The call's status.
    pub async fn sum(&self, messages: impl Stream<Item = String> + Send + 'static) -> Answered<String> {
        let request = Request::new(messages);
        soon("Sum", self.ready().await.client_streaming(request, whole("Sum"), Codec::default())).await
    }

    /// `Chat`: a message for each, while both directions are open.
    ///
    /// # Errors
    /// The call's status, if it ends before any message.
    pub async fn chat(
        &self,
        messages: impl Stream<Item = String> + Send + 'static,
    ) -> Answered<Streaming<String>> {
        let request = Request::new(messages);
        soon("Chat", self.ready().await.streaming(request, whole("Chat"), Codec::default())).await
    }

    async fn ready(&self) -> tonic::client::Grpc<Channel> {
        let mut client = tonic::client::Grpc::new(self.0.clone());
        soon("a connection that is open", client.ready()).await.expect("an open connection");
        client
    }
}

/// What comes of a call.
pub type Answered<T> = Result<Response<T>, Status>;

/// What goes with a call.
pub type Metadata<'a> = [(&'static str, &'a str)];

/// The rest of a response's messages, and its status where it is an error.
pub async fn rest(messages: &mut Streaming<String>) -> (Vec<String>, Option<Status>) {
    let mut all = Vec::new();
    loop {
        match soon("a message", messages.message()).await {
            Ok(Some(message)) => all.push(message),
            Ok(None) => return (all, None),
            Err(status) => return (all, Some(status)),
        }
    }
}

fn with(message: String, metadata: &Metadata<'_>) -> Request<String> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().expect("a value in ASCII"));
    }
    request
}

fn whole(path: &str) -> PathAndQuery {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/shop.Cart/{path}") };
    path.parse().expect("a path")
}
