//! Whether this pod's connections come to the proxy, found out by making one.
//!
//! The rules let the proxy's own connections go, so none of them says anything; but for one place ([`redirect::SELF_TEST`]),
//! which is nobody's anywhere, they bring everybody's to a listener of the proxy. Whoever calls there and reaches himself has
//! the rules around him: they are put in force in one transaction, all or none.
//!
//! Without them nothing of the pod starts: the proxy is not ready, and says why. The listener stays open meanwhile and tells
//! whoever comes which rules are missing, so that the node's agent can find this pod and put it right.
//!
//! Bound: one listener for each family, one connection at a time, a line to each.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use weft_policy::draw::Draw;

use crate::observe::metrics::Level;
use crate::redirect;

/// Whether connections come here, as far as is known. Cloning it shares it.
#[derive(Clone, Debug)]
pub(crate) struct Interception(Arc<AtomicBool>);

impl Interception {
    /// Where nobody expects any: there is nothing to find out.
    pub(crate) fn not_expected() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Where somebody does, and has to see it first.
    pub(crate) fn expected() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Whether the application may start.
    pub(crate) fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tries until it has been seen. `rules` are the arguments of `weft-proxy redirect` that would make it so; 1 in `level`
    /// says that it is.
    pub(crate) async fn find_out(self, listener: TcpListener, rules: String, nonce: Draw, level: Level) {
        let places = redirect::SELF_TEST.map(|ip| SocketAddr::new(ip, redirect::SELF_TEST_PORT));
        self.find_out_at(&places, listener, rules, nonce, level).await;
    }

    async fn find_out_at(
        self,
        places: &[SocketAddr],
        listener: TcpListener,
        rules: String,
        mut nonce: Draw,
        level: Level,
    ) {
        level.set(0);
        let line = format!("{GREETING} {:016x} {rules}\n", nonce.bits());
        tokio::select! {
            () = greet(&listener, &line) => {}
            () = also_on_the_other_family(&listener, &line) => {}
            () = reached(places, &line) => {}
        }
        self.0.store(true, Ordering::Relaxed);
        level.set(1);
    }
}

/// Tells everybody who comes which rules are missing.
async fn greet(listener: &TcpListener, line: &str) {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                // Whoever does not read it has not asked.
                let _ = timeout(PATIENCE, stream.write_all(line.as_bytes())).await;
            }
            Err(_) => sleep(BREATHER).await,
        }
    }
}

async fn also_on_the_other_family(listener: &TcpListener, line: &str) {
    let port = listener.local_addr().map_or(redirect::SELF_TEST_PORT, |addr| addr.port());
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(twin) => greet(&twin, line).await,
        // There is no IPv6 here, and so nothing to be captured of it.
        Err(_) => std::future::pending().await,
    }
}

/// Returns when one of these places has been reached and was here.
async fn reached(places: &[SocketAddr], line: &str) {
    let mut said = false;
    loop {
        for place in places {
            if matches!(timeout(PATIENCE, is_here(*place, line)).await, Ok(Ok(true))) {
                if said {
                    tracing::info!("this pod's connections come to the proxy now");
                }
                return;
            }
        }
        if !std::mem::replace(&mut said, true) {
            tracing::error!(
                "this pod's connections do not come to the proxy, so nothing in it starts: the rules of `weft-proxy redirect` \
                 are missing in its network namespace. Where pods have no weft-redirect container, the CNI plugin makes \
                 them: see whether the DaemonSet of weft-cni runs on this node, and what it says"
            );
        }
        sleep(AGAIN).await;
    }
}

async fn is_here(place: SocketAddr, line: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(place).await?;
    let mut read = vec![0; line.len()];
    stream.read_exact(&mut read).await?;
    Ok(read == line.as_bytes())
}

/// Where the listener is: on loopback, as the rules redirect to.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), redirect::SELF_TEST_PORT);

/// The first word of what the listener says.
const GREETING: &str = "weft-redirect";
/// For one try. A place that is nobody's may swallow what is sent to it.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(300);
const BREATHER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Metrics, SeriesLimit};

    const LINE: &str = "weft-redirect 0123456789abcdef --proxy-uid=2102\n";

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    #[tokio::test]
    async fn who_reaches_himself_has_the_rules_around_him_and_who_reaches_another_has_not() {
        let (ours, addr) = listener().await;
        let (theirs, elsewhere) = listener().await;
        let other = LINE.replace('0', "9");
        let greeting = async { tokio::join!(greet(&ours, LINE), greet(&theirs, &other)) };
        let asking = async {
            assert!(is_here(addr, LINE).await.unwrap());
            assert!(!is_here(elsewhere, LINE).await.unwrap(), "a proxy, and not this one");
            // Of several places one is enough.
            reached(&[elsewhere, addr], LINE).await;
        };
        tokio::select! {
            _ = greeting => unreachable!("it greets for ever"),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn nothing_is_ready_where_the_rules_are_missing_and_whoever_asks_is_told_which() {
        let (ours, addr) = listener().await;
        let level = Metrics::new(SeriesLimit::default(), &[]).redirected();
        let expected = Interception::expected();
        let (theirs, elsewhere) = listener().await;
        let places = [elsewhere];
        let rules = "--proxy-uid=2102".to_owned();
        let finding = expected.clone().find_out_at(&places, ours, rules, Draw::from_seed(7), level);
        let asking = async {
            drop(theirs.accept().await);
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let mut line = String::new();
            stream.read_to_string(&mut line).await.unwrap();
            line
        };
        let line = tokio::select! {
            () = finding => panic!("it found what is not there"),
            line = asking => line,
        };
        assert!(line.starts_with("weft-redirect ") && line.ends_with(" --proxy-uid=2102\n"), "{line}");
        assert!(!expected.holds());
        assert!(Interception::not_expected().holds());
    }
}
