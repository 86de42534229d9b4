//! A caller that calls all the time, and says whenever one header of the answer is another than before: the microseconds
//! since 1970, and what it is.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The header that is looked at.
pub(crate) const HEADER: &str = "x-change";

/// Calls until it is ended.
pub(crate) async fn run(url: &str) -> anyhow::Result<()> {
    let host = url.strip_prefix("http://").context("http://host")?.trim_end_matches('/').to_owned();
    let at = if host.contains(':') { host.clone() } else { format!("{host}:80") };
    let mut before: Option<String> = None;
    loop {
        // Whom it calls may be there later than we are.
        let Ok(socket) = TcpStream::connect(&at).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        socket.set_nodelay(true)?;
        let Ok((mut sender, connection)) = handshake(TokioIo::new(socket)).await else { continue };
        tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            let request = Request::builder().uri("/").header("host", &host).body(Empty::<Bytes>::new())?;
            let Ok(response) = sender.send_request(request).await else { break };
            let header = response.headers().get(HEADER).and_then(|value| value.to_str().ok());
            let seen = header.unwrap_or_default().to_owned();
            let is_well = response.status().is_success();
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            response.into_body().collect().await?;
            if is_well && before.as_ref() != Some(&seen) {
                println!("{} {seen}", at.as_micros());
                std::io::stdout().flush()?;
                before = Some(seen);
            }
            // Often enough to see a change within two milliseconds, seldom enough to leave the machine its processors.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
