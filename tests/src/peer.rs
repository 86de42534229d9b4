//! Applications that do not speak HTTP: a listener, and what it does with every connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running one. Dropping it closes everything of it.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Does `each` with every connection.
    ///
    /// # Panics
    /// If loopback has no port left.
    pub async fn start<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), each).await
    }

    /// As [`start`](Self::start), at an address.
    ///
    /// # Panics
    /// If it is taken.
    pub async fn start_at<F>(addr: SocketAddr, each: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let serving = each(stream);
                open.spawn(async move { drop(serving.await) });
                while open.try_join_next().is_some() {}
            }
        });
        Self { addr, accepted, _tasks: tasks }
    }

    /// Reads until the client is done, then sends everything back: what comes through shows that one direction
    /// can be closed without the other.
    pub async fn after_end() -> Self {
        Self::start(async |mut stream: TcpStream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            stream.write_all(format!("{} bytes: ", all.len()).as_bytes()).await?;
            stream.write_all(&all).await?;
            stream.shutdown().await
        })
        .await
    }

    /// Speaks first, as SMTP and MySQL do, then repeats each byte.
    pub async fn with_banner(banner: &'static [u8]) -> Self {
        Self::start(move |mut stream: TcpStream| async move {
            stream.write_all(banner).await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await?;
            write.shutdown().await
        })
        .await
    }

    /// How many connections it has had.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}
