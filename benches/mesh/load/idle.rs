//! Connections that have asked once and then stay: what a proxy keeps for each of them is measured.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{IpAddr, ServerName};

use super::http1::{self, Http1, Requests};
use super::{Asked, Caller, HANG};

/// They.
#[derive(Debug)]
pub(crate) enum Idle {
    Plaintext(Vec<Http1<TcpStream>>),
    Tls(Vec<Http1<TlsStream<TcpStream>>>),
}

impl Idle {
    /// None yet.
    pub(crate) const fn none(tls: bool) -> Self {
        if tls { Self::Tls(Vec::new()) } else { Self::Plaintext(Vec::new()) }
    }

    /// Opens as many as are missing to `count`, a few at a time; each asks once.
    ///
    /// # Errors
    /// If one is refused or gets a wrong answer.
    pub(crate) async fn grow(
        &mut self,
        count: usize,
        entry: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        asked: &Asked,
    ) -> anyhow::Result<()> {
        let requests = Requests::of(asked);
        let body = asked.body.clone();
        match self {
            Self::Plaintext(all) => {
                let open = || Http1::open(entry, requests.clone(), body.clone());
                many(all, count, open).await
            }
            Self::Tls(all) => {
                let connector = TlsConnector::from(Arc::clone(tls.context("nobody to be")?));
                let open = || {
                    let (connector, requests, body) = (connector.clone(), requests.clone(), body.clone());
                    async move {
                        // Its identity is in its certificate, not in a name.
                        let name = ServerName::IpAddress(IpAddr::from(entry.ip()));
                        let stream = connector.connect(name, http1::connect(entry).await?).await;
                        Ok(Http1::over(stream.context("no mutual TLS")?, requests, body))
                    }
                };
                many(all, count, open).await
            }
        }
    }

    /// Has every hundredth ask again.
    ///
    /// # Errors
    /// If one has been closed meanwhile.
    pub(crate) async fn are_still_there(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Plaintext(all) => some(all).await,
            Self::Tls(all) => some(all).await,
        }
        .context("an idle connection was not kept")
    }
}

async fn many<S, F>(all: &mut Vec<Http1<S>>, count: usize, open: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Http1<S>>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut opening = JoinSet::new();
    while all.len() + opening.len() < count || !opening.is_empty() {
        while opening.len() < AT_A_TIME && all.len() + opening.len() < count {
            let one = open();
            opening.spawn(timeout(HANG, async move {
                let mut one = one.await?;
                one.ask().await?;
                one.rest();
                anyhow::Ok(one)
            }));
        }
        if let Some(opened) = opening.join_next().await {
            all.push(opened.context("a caller panicked")?.context("no answer")??);
        }
    }
    Ok(())
}

async fn some<S>(all: &mut [Http1<S>]) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    for one in all.iter_mut().step_by(100) {
        timeout(HANG, one.ask()).await.context("no answer")??;
        one.rest();
    }
    Ok(())
}

/// How many are opened at once: so many connections to the origin are kept, too.
const AT_A_TIME: usize = 32;
