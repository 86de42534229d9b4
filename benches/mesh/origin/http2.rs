//! HTTP/2 by prior knowledge, for the paths on which the client speaks it too.

use std::io;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Answers the requests of one connection.
pub(super) async fn serve(stream: TcpStream, body: Bytes) -> io::Result<()> {
    let service = service_fn(move |_| {
        let response =
            Response::builder().header(header::CONTENT_TYPE, "text/plain").body(Full::new(body.clone()));
        async move { response }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(1000);
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
