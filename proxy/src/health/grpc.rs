//! `grpc.health.v1.Health/Check`, by hand: the request is one string and the answer one number, so that a generated
//! client would be more code than this.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::failure::{AGENT, Failure};

pub(super) async fn check(stream: TcpStream, address: SocketAddr, service: &str) -> Result<(), Failure> {
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .body(Full::new(question(service)))
        .expect("an address and constants make a request");
    let (mut sender, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(Failure::Status(response.status().as_u16()));
        }
        // A call that fails at once has its status in the head (gRPC over HTTP/2, "Trailers-Only").
        let head = response.headers().clone();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(broken)?;
        let trailers = body.trailers().cloned();
        succeeded(trailers.as_ref().unwrap_or(&head))?;
        serving(&body.to_bytes())
    };
    tokio::select! {
        result = ask => result,
        Err(error) = connection => Err(broken(error)),
    }
}

fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Protocol { protocol: "gRPC", source: source.into() }
}

/// `HealthCheckRequest { string service = 1; }`, with the five bytes that gRPC puts in front of a message.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(0x80 | u8::try_from(length & 0x7f).expect("seven bits fit"));
            length >>= 7;
        }
        message.push(u8::try_from(length).expect("it is below 0x80"));
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).expect("a service's name is shorter than 4 GiB");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

fn succeeded(trailers: &HeaderMap) -> Result<(), Failure> {
    let status = trailers.get("grpc-status").and_then(|value| value.to_str().ok()).unwrap_or("missing");
    if status != "0" {
        return Err(Failure::GrpcStatus(status.chars().take(16).collect()));
    }
    Ok(())
}

/// `HealthCheckResponse { ServingStatus status = 1; }`: nothing else is in it, and an absent field is 0.
fn serving(body: &[u8]) -> Result<(), Failure> {
    let Some(([0, a, b, c, d], message)) = body.split_first_chunk::<5>() else {
        return Err(broken("no uncompressed message in it"));
    };
    if usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok() != Some(message.len()) {
        return Err(broken("a message of another length than announced"));
    }
    match message {
        [0x08, 1] => Ok(()),
        [] | [0x08, 0] => Err(Failure::NotServing("UNKNOWN")),
        [0x08, 2] => Err(Failure::NotServing("NOT_SERVING")),
        [0x08, 3] => Err(Failure::NotServing("SERVICE_UNKNOWN")),
        _ => Err(broken("no HealthCheckResponse")),
    }
}

/// The answer has seven bytes.
const MAX_ANSWER: usize = 1024;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_service_in_one_length_prefixed_message() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"a".repeat(300));
        assert_eq!(long.get(..8), Some(&[0, 0, 0, 1, 47, 0x0a, 0xac, 2][..]));
    }

    #[test]
    fn only_serving_is_serving() {
        assert!(serving(&[0, 0, 0, 0, 2, 8, 1]).is_ok());
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[0, 0, 0, 0, 2, 8, 3],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 9, 8, 1],
            &[0, 255, 255, 255, 255, 8, 1],
            b"<html>",
        ] {
            assert!(serving(body).is_err(), "{body:?}");
        }
    }
}
