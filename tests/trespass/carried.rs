//! The same in a running mesh: each path once, by every way in, under policies as an operator writes them. What arrives
//! is the one form of the path, or nothing.

use std::collections::BTreeSet;

use weft_policy::canonical;
use weft_tests::figures::report;

use crate::lab::{H2, Lab, Way, get_h1};
use crate::policies::{self, Meant};
use crate::servers::Server;
use crate::spellings::{CRAFTED, each_escape};

fn authorization(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

/// What an operator writes, and what of [`policies::all`] it means.
fn written() -> Vec<(String, &'static [&'static str])> {
    let public = authorization("public", "action: Allow, rules: [{to: [{paths: [/public/*]}]}]");
    let secret = authorization("secret", "action: Deny, rules: [{to: [{paths: [/public/secret/*]}]}]");
    let denies = authorization(
        "admin",
        "action: Deny, rules: [{to: [{paths: [/admin, /admin/*, /joe@x, /public/café]}]}]",
    );
    let regex =
        authorization("regex", "action: Deny, rules: [{to: [{paths: [{regex: '/adm[^/]*(/.*)?'}]}]}]");
    let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: public, namespace: shop},
        spec: {parentRefs: [{kind: Service, group: '', name: api}],
               rules: [{matches: [{path: {value: /public}}], backendRefs: [{name: api, port: 80}]}]}}";
    vec![
        (format!("{public}\n---\n{secret}"), &["allow /public/* and deny /public/secret/*"]),
        (denies, &["deny /admin", "deny /admin/*", "deny /joe@x", "deny /public/caf\u{e9}"]),
        (regex, &["deny ~/adm[^/]*(/.*)?"]),
        (route.to_owned(), &["route /public"]),
        (String::new(), &[]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_the_one_form_of_a_path_and_nothing_that_a_policy_denies() {
    let lab = Lab::open("").await;
    let (all, servers) = (policies::all(), Server::all());
    let escapes = each_escape();
    let paths: Vec<&str> = CRAFTED.iter().copied().chain(escapes.iter().map(String::as_str)).collect();
    let (mut requests, mut arrived) = (0, 0);
    for (manifests, names) in written() {
        lab.mesh.apply("policy.yaml", &manifests).await;
        let meant: Vec<&Meant> = all.iter().filter(|meant| names.contains(&meant.name)).collect();
        assert_eq!(meant.len(), names.len());
        for way in Way::ALL {
            // A route is the client's side of the mesh.
            let meant = if names == ["route /public"] && !way.is_hop() { &[] } else { meant.as_slice() };
            let mut h2 = if way.is_h2() { Some(H2::connect(lab.door(way)).await) } else { None };
            for path in &paths {
                let said = match &mut h2 {
                    Some(h2) => match h2.get(path).await {
                        Some((status, headers)) => (status, format!("{headers:?}")),
                        None => continue,
                    },
                    None => {
                        let (status, response) = get_h1(lab.door(way), path).await;
                        (status, String::from_utf8_lossy(&response).into_owned())
                    }
                };
                requests += 1;
                let seen = lab.witness.take();
                let told = format!("{names:?}, {way:?}, {path}: {said:?}, {seen:?}");
                let form = canonical::path(path).ok();
                let passes = form.as_ref().is_some_and(|form| meant.iter().all(|meant| meant.passes(form)));
                match (seen.as_slice(), said.0) {
                    ([], 200) => panic!("somebody else has answered: {told}"),
                    ([seen], 200) => {
                        arrived += 1;
                        assert_eq!(Some(&*seen.path), form.as_deref(), "{told}");
                        for found in
                            servers.iter().map(|server| server.finds(&seen.path)).collect::<BTreeSet<_>>()
                        {
                            let denied =
                                meant.iter().find(|meant| (meant.denies)(&found)).map(|meant| meant.name);
                            assert_eq!(denied, None, "{told}");
                        }
                    }
                    ([], 400 | 403 | 404) => {
                        assert!(!passes || !path.is_ascii(), "refused needlessly: {told}")
                    }
                    _ => panic!("{told}"),
                }
            }
        }
    }
    report(
        7,
        format!("{requests} requests through a mesh by 4 ways in, {arrived} arrived, 0 bypasses"),
        true,
    );
}
