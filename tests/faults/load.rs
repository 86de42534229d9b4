//! Calls that go on while something breaks. Each has a number of its own, and whoever answers counts it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use weft_tests::call::{self, Client, Form};
use weft_tests::eventually::{eventually, soon};
use weft_tests::figures;
use weft_tests::origin::Origin;

/// Services of the shop.
pub(crate) const API: &str = "
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
";

/// Clients of one sidecar that call `api` one time after the other: every second call is not idempotent.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Told>>,
}

/// What one client was told of one call.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The number of the call, which is in its path.
    pub(crate) path: String,
    /// Whether a second time would be one too many.
    pub(crate) once: bool,
    /// 0: the connection broke.
    pub(crate) status: u16,
    /// Whatever the mesh says about it, or the connection's end.
    #[expect(dead_code, reason = "it is printed where a call should not have failed")]
    pub(crate) why: String,
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Load {
    /// So many clients.
    pub(crate) fn start(outbound: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..clients {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            all.spawn(async move {
                let mut told = Vec::new();
                let mut client = Client::connect(outbound, Form::Absolute).await;
                while !stop.load(Ordering::Relaxed) {
                    let path = format!("/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
                    let once = told.len() % 2 == 0;
                    let method = if once { Method::POST } else { Method::GET };
                    let request = call::request(method, &format!("http://api{path}"), "");
                    let response = soon("an answer", client.try_send(request)).await;
                    let (status, why) = match response {
                        Ok(response) => {
                            let reply = call::Reply::collect(response).await;
                            (reply.status.as_u16(), reply.refusal().to_owned())
                        }
                        Err(error) => {
                            client = Client::connect(outbound, Form::Absolute).await;
                            (0, error.to_string())
                        }
                    };
                    answered.fetch_add(1, Ordering::Relaxed);
                    told.push(Told { path, once, status, why });
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                told
            });
        }
        Self { stop, answered, clients: all }
    }

    /// Returns once so many more have been answered.
    pub(crate) async fn past(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        eventually(format!("{more} more answers"), async || {
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Ends it: what every client was told.
    pub(crate) async fn end(mut self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        while let Some(client) = soon("the last answers", self.clients.join_next()).await {
            told.extend(client.expect("a client that is answered goes on"));
        }
        told
    }
}

/// Panics unless each call was answered with 200 and arrived once, or perhaps more often where that is as good. How many
/// there were.
pub(crate) fn all_well(told: &[Told], origins: &[&Origin]) -> usize {
    let once = none_failed(told, origins);
    figures::report(16, format!("{once} that are not idempotent, each arrived once"), true);
    told.len()
}

/// The same of a part of them. How many were not idempotent.
pub(crate) fn none_failed(told: &[Told], origins: &[&Origin]) -> usize {
    let failed: Vec<_> = told.iter().filter(|told| told.status != 200).take(5).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    at_most_once(told, origins)
}

/// Panics if a call that is not idempotent arrived twice, or was said to have succeeded and did not arrive. How many of
/// them there were.
pub(crate) fn at_most_once(told: &[Told], origins: &[&Origin]) -> usize {
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for seen in origins.iter().flat_map(|origin| origin.seen()) {
        *arrived.entry(seen.path).or_default() += 1;
    }
    for told in told.iter().filter(|told| told.once) {
        let times = arrived.get(&told.path).copied().unwrap_or(0);
        let right = if told.status == 200 { times == 1 } else { times <= 1 };
        assert!(right, "{told:?} arrived {times} times");
    }
    told.iter().filter(|told| told.once).count()
}
