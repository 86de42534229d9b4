//! What is passed on is read alike by all who may stand behind a proxy.
//!
//! The bytes that arrived at the recorder are sent to every server that is there, request by request on one
//! connection, with one more behind them: whoever takes a request to be longer or shorter than we do answers too
//! late, or too often. A server may refuse a request that it does not know what to do with (a method, `OPTIONS *`);
//! it may not read it in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use weft_tests::figures::report;

use crate::backends::{Backend, Backends, reading};
use crate::client::{Client, Response};
use crate::corpus;
use crate::lab::Lab;
use crate::reading::Seen;
use crate::requests::{Passed, join, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_passed_on_is_read_alike_by_every_server() {
    let vectors = corpus::read("requests");
    let lab = Lab::open().await;
    let mut passed: BTreeMap<Vec<Vec<u8>>, Passed> = BTreeMap::new();
    let lanes = lab.lanes.iter().filter(|lane| ["inbound", "mesh"].contains(&lane.name));
    for (_, through) in join(lanes.map(|lane| run(lane, &vectors))).await {
        let new = through.into_iter().filter(|passed| !passed.seen.is_empty());
        passed.extend(new.map(|new| (new.seen.iter().map(|seen| seen.raw.clone()).collect(), new)));
    }
    let passed: Vec<Passed> = passed.into_values().collect();
    let backends = Backends::start().await;
    let mut reads = tokio::task::JoinSet::new();
    let passed = std::sync::Arc::new(passed);
    for (nth, backend) in backends.running.iter().enumerate() {
        let (name, addr, passed) = (backend.name, backend.addr, std::sync::Arc::clone(&passed));
        reads.spawn(async move { (nth, read_all(name, addr, &passed).await) });
    }
    let mut table = String::new();
    let mut verdicts: Vec<_> = reads.join_all().await;
    verdicts.sort_by_key(|(nth, _)| *nth);
    for (nth, verdict) in verdicts {
        let Backend { name, .. } = backends.running[nth];
        println!("{name}: {} of {} read alike, refused {:?}", verdict.alike, passed.len(), verdict.refused);
        for (id, fault) in &verdict.faults {
            let _ = writeln!(table, "{name:<12} {id:<28} {fault}");
        }
        assert!(verdict.refused.len() * 4 < passed.len(), "{name} refuses most of it: what does it show?");
    }
    assert!(table.is_empty(), "\n{table}");
    let names: Vec<_> = backends.running.iter().map(|backend| backend.name).collect();
    let servers = names.join(", ");
    // With fewer than six it is a test, and not yet the promise.
    let figure =
        format!("{} forwarded messages, {} servers ({servers}), 0 disagreements", passed.len(), names.len());
    report(3, figure, names.len() >= 6);
}

/// What one server makes of everything.
#[derive(Debug, Default)]
struct Verdict {
    alike: usize,
    /// Vectors that it answers with an error of its own.
    refused: BTreeSet<String>,
    faults: Vec<(String, String)>,
}

enum Read {
    Alike,
    Refused,
}

async fn read_all(name: &str, addr: std::net::SocketAddr, passed: &[Passed]) -> Verdict {
    let mut verdict = Verdict::default();
    for one in passed {
        match read_one(name, addr, &one.seen).await {
            Ok(Read::Alike) => verdict.alike += 1,
            Ok(Read::Refused) => drop(verdict.refused.insert(one.id.clone())),
            Err(fault) => verdict.faults.push((one.id.clone(), fault)),
        }
        if verdict.faults.len() > 50 {
            verdict.faults.push((name.to_owned(), "and so on".to_owned()));
            break;
        }
    }
    verdict
}

async fn read_one(name: &str, addr: std::net::SocketAddr, requests: &[Seen]) -> Result<Read, String> {
    let mut client = Client::connect(addr).await;
    let last = Seen {
        method: "GET".to_owned(),
        target: "/last".to_owned(),
        fields: vec![("host".to_owned(), "last".to_owned())],
        raw: b"GET /last HTTP/1.1\r\nHost: last\r\n\r\n".to_vec(),
        ..Seen::default()
    };
    for request in requests.iter().chain([&last]) {
        client.send(&request.raw).await;
        let response = client.response(&request.method, None).await;
        let response = response.map_err(|missing| format!("no answer to {}: {missing:?}", request.target))?;
        let Some(read) = response.field("x-read") else {
            // `OPTIONS *` is about a server itself, so some do not pass it on.
            let is_own = response.status >= 400 || request.target == "*";
            return if is_own { Ok(Read::Refused) } else { Err(format!("{response:?}")) };
        };
        let host = request.field("host").unwrap_or_default();
        let ours = reading(&request.method, &request.target, host, &request.body);
        if !alike(name, read, &ours) {
            return Err(format!("we sent {ours}, it read {read}"));
        }
        if Response::says_close(&response) {
            return client.closed().await.map(|()| Read::Alike);
        }
    }
    Ok(Read::Alike)
}

/// Method, target, host, length and hash, apart from what names the same host (RFC 3986 §6.2.3) and from what is known
/// of a server.
fn alike(name: &str, read: &str, ours: &str) -> bool {
    let read: Vec<_> = read.split(' ').collect();
    let ours: Vec<_> = ours.split(' ').collect();
    let ([method, target, host, body @ ..], [our_method, our_target, our_host, our_body @ ..]) =
        (&*read, &*ours)
    else {
        return false;
    };
    let merged = our_target.replace("//", "/");
    method == our_method
        && (target == our_target || (MERGE_SLASHES.contains(&name) && **target == merged))
        && host_alone(host) == host_alone(our_host)
        && body == our_body
}

/// Without the default port and the root's dot.
fn host_alone(host: &str) -> String {
    let host = host.strip_suffix(":80").unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// They take `//` for `/` before they pass a path on. That is why a path with `//` is refused wherever a policy looks
/// at paths (`policy::canonical::is_ambiguous`).
const MERGE_SLASHES: [&str; 2] = ["http.server", "apache"];
