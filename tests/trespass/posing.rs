//! Nobody poses as somebody by a header: whatever a client writes, in whatever place of a message, the application hears
//! who called from the proxy alone (catalogue rows 20 and 44, scorecard row 11).

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use weft_certs::tls::Hop;
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::figures::report;

use crate::insider::{Insider, say};
use crate::lab::{Lab, Way, raw, status};
use crate::witness::Seen;

/// What every forged value has in it.
const FORGED: &str = "spiffe://weft.local/ns/shop/sa/forged";

/// Fields by which a proxy of this mesh or of another says who called, and how they may be misspelt so that somebody
/// still reads them: CGI and what came of it knows no difference between `-` and `_`, and some know none at all.
const NAMES: [&str; 26] = [
    "weft-client-id",
    "Weft-Client-Id",
    "WEFT-CLIENT-ID",
    "weft_client_id",
    "weft-client_id",
    "weft_client-id",
    "Weft_Client-ID",
    "weft.client.id",
    "weft~client~id",
    "weft!client-id",
    "weft-client-id-",
    "weft-hop-port",
    "weft_hop_port",
    "weft-hop-version",
    "weft-error",
    "weft-anything-to-come",
    "x-weft-client-id",
    "x_weft_client_id",
    "x-forwarded-client-cert",
    "X-Forwarded-Client-Cert",
    "x_forwarded_client_cert",
    "x-forwarded_client-cert",
    "x.forwarded.client.cert",
    "l5d-client-id",
    "L5d_Client_Id",
    "l5d.client-id",
];

/// Where in a message it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    /// Three times, with other fields between them.
    Repeated,
    /// As one of a list of values.
    Listed,
    /// With blanks before and after it.
    Blanks,
    /// With bytes that are no text.
    Bytes,
    /// In the head, and named in `Connection`.
    Named,
    /// In the head, and named in the second of two `Connection` fields, beside bytes that are no text.
    NamedTwice,
    /// Not there, but named in `Connection`, so that the proxy's own would be taken for the client's.
    OnlyNamed,
    /// After the body.
    Trailer,
}

const PLACES: [Place; 9] = [
    Place::Head,
    Place::Repeated,
    Place::Listed,
    Place::Blanks,
    Place::Bytes,
    Place::Named,
    Place::NamedTwice,
    Place::OnlyNamed,
    Place::Trailer,
];

impl Place {
    /// A whole HTTP/1 request with the field in this place.
    fn h1(self, name: &str, more: &str) -> Vec<u8> {
        let field = format!("{name}: {FORGED}\r\n");
        let fields: Vec<u8> = match self {
            Self::Head => field.clone().into(),
            Self::Repeated => format!("{field}x-between: 1\r\n{field}x-between: 2\r\n{field}").into(),
            Self::Listed => format!("{name}: nobody, {FORGED}\r\n").into(),
            Self::Blanks => format!("{name}: \t {FORGED} \t \r\n").into(),
            Self::Bytes => [name.as_bytes(), b": \xff\xfe", FORGED.as_bytes(), b"\r\n"].concat(),
            Self::Named => format!("Connection: {name}, close\r\n{field}").into(),
            Self::NamedTwice => {
                let first = format!("{field}Connection: close\r\nConnection: x-\u{e9}, {name}, {name}\r\n");
                [first.as_bytes(), b"Connection: \xff, "]
                    .concat()
                    .into_iter()
                    .chain(format!("{name}\r\n").into_bytes())
                    .collect()
            }
            Self::OnlyNamed => {
                format!("Connection: {name}\r\nConnection: close, {}\r\n", name.to_uppercase()).into()
            }
            Self::Trailer => {
                format!("Transfer-Encoding: chunked\r\nTrailer: {name}, x-kept-trailer\r\n").into()
            }
        };
        let body = match self {
            Self::Trailer => format!("4\r\nbody\r\n0\r\n{field}x-kept-trailer: 1\r\n\r\n"),
            _ => "".to_owned(),
        };
        let length = if self == Self::Trailer { "" } else { "Content-Length: 0\r\n" };
        let closes = matches!(self, Self::Named | Self::NamedTwice | Self::OnlyNamed);
        let close = if closes { "" } else { "Connection: close\r\n" };
        let head = format!("POST /posing HTTP/1.1\r\nHost: api\r\nx-kept: 1\r\n{more}{length}{close}");
        [head.as_bytes(), &fields, b"\r\n", body.as_bytes()].concat()
    }

    /// Head and trailers of an HTTP/2 request with the field in this place; `None` where HTTP/2 has no such place.
    fn h2(self, name: &str) -> Option<(HeaderMap, HeaderMap)> {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_static(FORGED);
        let (mut head, mut trailers) = (HeaderMap::new(), HeaderMap::new());
        head.insert("x-kept", HeaderValue::from_static("1"));
        match self {
            Self::Head => {
                head.insert(name, value);
            }
            Self::Repeated => head.extend([&name; 3].map(|name| (name.clone(), value.clone()))),
            Self::Listed => drop(head.insert(name, format!("nobody, {FORGED}").parse().unwrap())),
            Self::Blanks => {
                drop(head.insert(name, HeaderValue::from_bytes(format!(" {FORGED}\t").as_bytes()).unwrap()))
            }
            Self::Bytes => drop(
                head.insert(name, HeaderValue::from_bytes(&[b"\xff", FORGED.as_bytes()].concat()).unwrap()),
            ),
            Self::Trailer => {
                trailers.insert(name, value);
                trailers.insert("x-kept-trailer", HeaderValue::from_static("1"));
            }
            Self::Named | Self::NamedTwice | Self::OnlyNamed => return None,
        }
        Some((head, trailers))
    }
}

/// One HTTP/2 request with trailers.
async fn post_h2(to: SocketAddr, head: HeaderMap, trailers: HeaderMap) -> u16 {
    let body = Full::new(Bytes::from_static(b"body"));
    let body = body.with_trailers(async move { (!trailers.is_empty()).then_some(Ok(trailers)) });
    let mut request = http::Request::post("http://api/posing").body(body.boxed()).unwrap();
    *request.headers_mut() = head;
    let response = soon("a response", call::h2c(to).await.send_request(request)).await.unwrap();
    response.status().as_u16()
}

/// Who has called, as far as the application may believe it.
#[track_caller]
fn hears(seen: &[Seen], caller: Option<&str>, told: &str) {
    let [seen] = seen else { panic!("{told}: {seen:?}") };
    let fields = seen.fields();
    assert!(!fields.iter().any(|field| field.contains("forged")), "{told}: {fields:#?}");
    let dashed = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let ours = ["weft-", "x-weft-", "l5d-client-id", "x-forwarded-client-cert"];
    let names = seen.headers.keys().chain(seen.trailers.keys());
    let mut of_proxies: Vec<_> = names
        .map(HeaderName::as_str)
        .filter(|name| ours.iter().any(|ours| dashed(name).starts_with(ours)))
        .collect();
    of_proxies.sort_unstable();
    let Some(caller) = caller else {
        return assert_eq!(of_proxies, Vec::<&str>::new(), "{told}: {fields:#?}");
    };
    assert_eq!(of_proxies, ["weft-client-id", "x-forwarded-client-cert"], "{told}: {fields:#?}");
    let once = |name: &str| {
        let values: Vec<_> = seen.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{told}: {fields:#?}");
        values[0].to_str().unwrap().to_owned()
    };
    let id = format!("spiffe://weft.local/ns/shop/sa/{caller}");
    assert_eq!(once("weft-client-id"), id, "{told}");
    assert_eq!(
        once("x-forwarded-client-cert"),
        format!("By=spiffe://weft.local/ns/shop/sa/api;URI={id}"),
        "{told}"
    );
    assert_eq!(seen.headers["x-kept"], "1", "{told}: {fields:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_hears_from_its_proxy_alone_who_has_called() {
    let lab = Lab::open("").await;
    let mut variants = 0;
    for way in Way::ALL {
        let caller = way.is_hop().then_some("web");
        for name in NAMES {
            for place in PLACES {
                let told = format!("{name} {place:?} by {way:?}");
                let status = match (way.is_h2(), place.h2(&name.to_ascii_lowercase())) {
                    (true, None) => continue,
                    (true, Some((head, trailers))) => post_h2(lab.door(way), head, trailers).await,
                    (false, _) => status(&raw(lab.door(way), &place.h1(name, "")).await),
                };
                variants += 1;
                assert_eq!(status, 200, "{told}");
                hears(&lab.witness.take(), caller, &told);
            }
        }
    }
    report(11, format!("{variants} variants by 4 ways in, 0 reached the application"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_can_somebody_of_the_mesh_who_has_no_sidecar_to_strip_it() {
    let lab = Lab::open("").await;
    let insider = Insider::enrol(&lab.mesh, "mallory").await;
    let hop = format!("weft-hop-port: {}\r\nweft-hop-version: 1.1\r\n", lab.witness.addr.port());
    let mut variants = 0;
    for name in NAMES.iter().filter(|name| !["weft-hop-port", "weft-hop-version"].contains(name)) {
        for place in PLACES {
            variants += 1;
            let told = format!("{name} {place:?} by an insider");
            let stream = insider.connect(&lab.api, "api", Hop::Http1).await;
            let response = say(stream, &place.h1(name, &hop)).await;
            assert_eq!(status(&response), 200, "{told}");
            hears(&lab.witness.take(), Some("mallory"), &told);
        }
    }
    report(11, format!("{variants} variants by a peer without a sidecar, 0 reached the application"), true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_say_nothing_that_only_a_head_may_say() {
    let lab = Lab::open("").await;
    let forbidden = [
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "connection",
        "expect",
        "content-encoding",
        "cache-control",
        "set-cookie",
        "upgrade",
        "trailer",
    ];
    for way in Way::ALL {
        for name in forbidden {
            let told = format!("{name} in trailers by {way:?}");
            if way.is_h2() {
                // Those of one connection break HTTP/2 itself.
                if ["connection", "te", "transfer-encoding", "upgrade", "content-length", "host"]
                    .contains(&name)
                {
                    continue;
                }
                let mut trailers = HeaderMap::new();
                trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("forged"));
                trailers.insert("x-kept-trailer", HeaderValue::from_static("1"));
                post_h2(lab.door(way), HeaderMap::new(), trailers).await;
            } else {
                let request = format!(
                    "POST /trailers HTTP/1.1\r\nHost: api\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
                     Trailer: {name}, x-kept-trailer\r\n\r\n4\r\nbody\r\n0\r\n{name}: forged\r\nx-kept-trailer: 1\r\n\r\n"
                );
                raw(lab.door(way), request.as_bytes()).await;
            }
            // Refused as a whole, or without it.
            for seen in lab.witness.take() {
                assert!(!seen.fields().iter().any(|field| field.contains("forged")), "{told}: {seen:?}");
                assert_eq!(seen.trailers["x-kept-trailer"], "1", "{told}: {seen:?}");
            }
        }
    }
}
