//! A connection that stops being HTTP: WebSocket and other upgrades, once the application has said 101.
//!
//! Until it has, everything is HTTP: bytes that a client sends too early are never passed on as if it had
//! (CVE-2026-2833). A connection that was upgraded never goes back to a pool.

use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::message::{Body, fields};
use crate::relay::{Relayed, relay};
use crate::upstream::h1::Tunnel;

/// A request that asks for another protocol.
pub(crate) struct Upgrade {
    /// The protocol it asks for.
    wanted: HeaderValue,
    /// The client's side, once it is free.
    client: OnUpgrade,
}

impl Upgrade {
    /// Whether `request` asks for one. Call before fields of one hop are stripped.
    pub(crate) fn asked(request: &mut Request<Incoming>) -> Option<Self> {
        let wanted = fields::upgrade_wanted(request.version(), request.headers())?;
        Some(Self { wanted, client: hyper::upgrade::on(request) })
    }

    /// Asks the next hop for the same. Call after fields of one hop have been stripped.
    pub(crate) fn ask(&self, headers: &mut http::HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.wanted.clone());
    }

    /// Where the answer is 101, joins the client to the `server` once it is free, and keeps what 101 needs in `response`
    /// through the stripping that `strip` does. Any other answer stays HTTP.
    pub(crate) fn answered(
        self,
        response: &mut Response<Body>,
        server: Option<Box<Tunnel>>,
        idle: Duration,
        counted: Rc<()>,
        strip: impl FnOnce(&mut http::HeaderMap),
    ) {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            strip(response.headers_mut());
            return;
        }
        let agreed = response.headers().get(UPGRADE).cloned().unwrap_or(self.wanted);
        strip(response.headers_mut());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, agreed);
        let client = self.client;
        tokio::task::spawn_local(async move {
            let (Ok(client), Some(mut server)) = (client.await, server) else { return };
            let mut client = TokioIo::new(client);
            let mut relayed = Relayed::default();
            // How it ends is the two sides' own business: both have heard it.
            let _ = relay(&mut client, &mut *server, idle, &mut relayed).await;
            drop(counted);
        });
    }
}
