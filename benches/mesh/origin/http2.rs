//! HTTP/2 by prior knowledge, for the paths on which the client speaks it too. A gRPC call, whatever its name, is told what
//! it said.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Answers the requests of one connection.
pub(super) async fn serve(stream: TcpStream, body: Bytes) -> io::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == GRPC);
        let (kind, body) = if grpc {
            // Whatever was said, as it comes; then the call has ended well.
            let well = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
            (GRPC, Either::Left(request.into_body().with_trailers(async { Some(Ok(well)) })))
        } else {
            ("text/plain", Either::Right(Full::new(body.clone()).map_err(|never| match never {})))
        };
        let response = Response::builder().header(header::CONTENT_TYPE, kind).body(body);
        async move { response }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(1000);
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

const GRPC: &str = "application/grpc";
