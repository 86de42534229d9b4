//! What a proxy does to the head of a request, with the proxy's own code: the target is read, what an outsider may not
//! say is taken out, what the next one must know is put in, and the whole takes the form in which it goes on.
//!
//! A head is edited in place, so each turn edits a copy; `head/copied` is the copy alone, to be taken off.

use std::hint::black_box;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request};
use weft_proxy::message::Http;
use weft_proxy::message::fields::{HOP_PORT, HOP_VERSION, ProvenCaller, strip_hop_by_hop, strip_identity};
use weft_proxy::message::target::{RequestTarget, write};
use weft_proxy::observe::trace::{Bits, Trace};

use crate::shop;

/// The head of a plain browser-like request, and no more.
#[must_use]
pub fn fields() -> HeaderMap {
    let fields = [
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("x-request-id", "0f3c2b1a-0000-4000-8000-000000000000"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

/// The copy that the others make first.
pub fn copied() -> impl FnMut() -> bool {
    let head = from_a_client();
    move || black_box(head.clone()).headers().len() == 6
}

/// Beside the caller: from an application, to the sidecar of another.
pub fn outbound() -> impl FnMut() -> bool {
    let head = from_a_client();
    move || {
        let Some((mut parts, target)) = understood(black_box(head.clone())) else { return false };
        parts.headers.insert(HOP_PORT, HeaderValue::from(8080_u16));
        parts.headers.insert(HOP_VERSION, HeaderValue::from_static("1.1"));
        write(&mut parts, Http::H2, &target.authority);
        black_box(&parts).headers.len() == 7
    }
}

/// Beside the application: from a sidecar whose identity is proven.
///
/// # Panics
/// If an identity of ours is none.
pub fn inbound() -> impl FnMut() -> bool {
    let mut head = from_a_client();
    head.headers_mut().insert(HOP_PORT, HeaderValue::from(8080_u16));
    head.headers_mut().insert(HOP_VERSION, HeaderValue::from_static("1.1"));
    let caller = ProvenCaller::new(&shop::identity("web"), &shop::identity("api")).expect("two identities");
    move || {
        let Some((mut parts, target)) = understood(black_box(head.clone())) else { return false };
        write(&mut parts, Http::H1, &target.authority);
        caller.tell(&mut parts.headers);
        black_box(&parts).headers.len() == 8
    }
}

/// What both do first, and the trace, which goes on from them.
fn understood(mut head: Request<()>) -> Option<(Parts, RequestTarget)> {
    let target = RequestTarget::read(&mut head).ok()?;
    strip_identity(head.headers_mut());
    let trace = Trace::begin(head.headers(), Bits { trace: 1, span: 2 }, false);
    let (mut parts, ()) = head.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    trace.inject(&mut parts.headers);
    Some((parts, target))
}

fn from_a_client() -> Request<()> {
    let mut head = Request::builder().uri("/path/1/cart/items?page=2").body(()).expect("a request");
    *head.headers_mut() = fields();
    head.headers_mut().insert(HOST, HeaderValue::from_static("api.shop"));
    head
}
