//! No way of writing a header gets past a policy that looks at its value: a deny hears every value there is, an allow
//! wants all of them right (catalogue row 46; CVE-2026-26308, CVE-2026-73552).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Empty};
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::figures::report;

use crate::lab::{Lab, Way, raw, status};

/// Lines of `x-role`, and whether a deny of `admin` and an allow of `user` let them in.
const WRITTEN: &[(&[&[u8]], bool, bool)] = &[
    (&[], true, false),
    (&[b"user"], true, true),
    (&[b"admin"], false, false),
    (&[b"user", b"admin"], false, false),
    (&[b"admin", b"user"], false, false),
    (&[b"user", b"user"], true, true),
    (&[b"user,admin"], false, false),
    (&[b"user, admin"], false, false),
    (&[b"user ,\tadmin"], false, false),
    (&[b"user,user"], true, true),
    (&[b",admin"], false, false),
    (&[b"admin,"], false, false),
    (&[b"user,"], true, false),
    (&[b"user", b""], true, false),
    (&[b""], true, false),
    (&[b"user", b"x,admin,y"], false, false),
    (&[b"user", b"\xff"], false, false),
    (&[b"\xff\xfeadmin"], false, false),
    (&[b"user\x80"], false, false),
    (&["usér".as_bytes()], false, false),
    (&[b"Admin"], true, false),
    (&[b"administrator"], true, false),
    (&[b" admin"], false, false),
    (&[b"admin\t"], false, false),
    (&[b" user "], true, true),
    (&[b"user;admin"], true, false),
    (&[b"\"user\""], true, false),
];

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: role, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deny_hears_every_value_of_a_header_and_an_allow_wants_them_all_right() {
    let lab = Lab::open("").await;
    let mut requests = 0;
    for (spec, side) in [
        ("action: Deny, rules: [{to: [{headers: [{name: x-role, values: [admin]}]}]}]", 0),
        ("action: Allow, rules: [{to: [{headers: [{name: X-Role, values: [user]}]}]}]", 1),
    ] {
        lab.mesh.apply("role.yaml", &policy(spec)).await;
        for way in Way::ALL {
            for (lines, denied, allowed) in WRITTEN {
                let expected = if [*denied, *allowed][side] { 200 } else { 403 };
                let found = if way.is_h2() {
                    let mut headers = HeaderMap::new();
                    for line in *lines {
                        headers.append(
                            HeaderName::from_static("x-role"),
                            HeaderValue::from_bytes(line).unwrap(),
                        );
                    }
                    let mut request = http::Request::get("http://api/").body(Empty::<Bytes>::new()).unwrap();
                    *request.headers_mut() = headers;
                    let mut client = call::h2c(lab.door(way)).await;
                    let response = soon("a response", client.send_request(request)).await.unwrap();
                    let status = response.status().as_u16();
                    soon("its end", response.into_body().collect()).await.unwrap();
                    status
                } else {
                    let lines = lines.iter().map(|line| [b"x-ROLE: ".as_slice(), line, b"\r\n"].concat());
                    let head = b"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n".to_vec();
                    let request = [head, lines.collect::<Vec<_>>().concat(), b"\r\n".to_vec()].concat();
                    status(&raw(lab.door(way), &request).await)
                };
                requests += 1;
                let arrived = lab.witness.take().len();
                assert_eq!(
                    (found, arrived),
                    (expected, usize::from(expected == 200)),
                    "{lines:?} {spec} by {way:?}"
                );
            }
        }
    }
    report(
        8,
        format!("{requests} requests with one header written in {} ways, 0 past a policy", WRITTEN.len()),
        true,
    );
}
