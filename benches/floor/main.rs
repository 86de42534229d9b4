//! The floor: a proxy that does nothing but carry, made of the libraries that ours is made of. No routes, no rules, no
//! gate, no metrics, no traces. What ours costs beyond it is what the mesh does; what it costs itself is hyper's, rustls',
//! tokio's and the kernel's, and no setting of ours will change that.
//!
//! `floor LISTEN NEXT FROM TO` and a folder of certificates, where one side is TLS; `FROM` and `TO` are `h1`, `h2`, `h2-tls`,
//! `bytes` or `bytes-tls`.

mod http;
mod bytes;
mod hop;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use hop::Hop;

/// As our proxy has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is spoken on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
    Http2Tls,
    Bytes,
    BytesTls,
}

impl FromStr for Speaks {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "h1" => Self::Http1,
            "h2" => Self::Http2,
            "h2-tls" => Self::Http2Tls,
            "bytes" => Self::Bytes,
            "bytes-tls" => Self::BytesTls,
            _ => bail!("{text} is none of h1, h2, h2-tls, bytes, bytes-tls"),
        })
    }
}

/// Where everything goes, and how.
struct Way {
    next: SocketAddr,
    from: Speaks,
    to: Speaks,
    /// `None`: no side is TLS.
    hop: Option<Hop>,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (listen, next, from, to, certificates) = match args.as_slice() {
        [listen, next, from, to] => (listen, next, from, to, None),
        [listen, next, from, to, certificates] => (listen, next, from, to, Some(certificates)),
        _ => bail!("usage: floor LISTEN NEXT FROM TO [CERTIFICATES]"),
    };
    let hop = certificates.map(|dir| Hop::read(Path::new(dir))).transpose()?;
    let way = Rc::new(Way { next: next.parse()?, from: from.parse()?, to: to.parse()?, hop });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let upstream = Rc::new(http::Upstream::new(Rc::clone(&way)));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (way, upstream) = (Rc::clone(&way), Rc::clone(&upstream));
            spawn_local(async move {
                let served = match way.from {
                    Speaks::Bytes | Speaks::BytesTls => bytes::serve(&way, stream).await,
                    Speaks::Http1 | Speaks::Http2 | Speaks::Http2Tls => {
                        http::serve(&way, upstream, stream).await
                    }
                };
                // A client that leaves is no news; anything else shows in the answers, all of which are checked.
                drop(served);
            });
        }
    })
}
