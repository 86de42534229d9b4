//! What replicas tell each other, through a Lease each: a line in an annotation, renewed together with it, so that who
//! has gone is no longer heard. It is what one writes, all read, and nobody has to be connected for.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{MOMENT, term};
use crate::source::kubernetes::full;

/// What the others say, by their names.
pub type Heard = BTreeMap<String, String>;

/// A replica among the others.
pub struct Member {
    leases: Api<Lease>,
    /// The Lease that all agree on: its name is what ours are found by.
    group: String,
    name: String,
    owner: Option<OwnerReference>,
    /// Of every other one: its last renewal, and when that was first seen.
    seen: BTreeMap<String, (Option<MicroTime>, Instant)>,
    failing: bool,
}

impl Member {
    /// The replica `name` of those that agree on the Lease `group`. `pod` is the uid of the pod of that name, whose end
    /// is also that of its Lease.
    #[must_use]
    pub fn new(client: &Client, group: &str, name: &str, pod: Option<&str>) -> Self {
        let owner = pod.map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        });
        let (leases, seen) = (Api::default_namespaced(client.clone()), BTreeMap::new());
        let (group, name) = (group.to_owned(), name.to_owned());
        Self { leases, group, name, owner, seen, failing: false }
    }

    /// Says what there is to say, and tells what the others do, again and again.
    pub async fn run(&mut self, says: watch::Receiver<Arc<String>>, hear: impl Fn(Heard)) {
        loop {
            let line = Arc::clone(&says.borrow());
            match timeout(MOMENT, self.round(&line)).await {
                Ok(Ok(others)) => {
                    self.failing = false;
                    hear(others);
                }
                Ok(Err(error)) => self.trouble(&full(&error)),
                Err(_) => self.trouble("the API server does not answer in time"),
            }
            sleep(term::EVERY).await;
        }
    }

    /// Says this as a last word, so that nobody waits for more.
    pub async fn leave(mut self, line: &str) {
        let _late = timeout(MOMENT, self.round(line)).await;
    }

    fn trouble(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%why, "the other replicas are not heard of; it is tried again");
        }
    }

    async fn round(&mut self, line: &str) -> Result<Heard, Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.own()),
                labels: Some(BTreeMap::from([(GROUP.to_owned(), self.group.clone())])),
                annotations: Some(BTreeMap::from([(SAYS.to_owned(), line.to_owned())])),
                owner_references: self.owner.clone().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: i32::try_from(term::LASTS.as_secs()).ok(),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        // Nobody else writes it, and whether it is there does not matter.
        let ours = PatchParams::apply("weft-control-plane").force();
        self.leases.patch(&self.own(), &ours, &Patch::Apply(&lease)).await?;
        let all = self.leases.list(&ListParams::default().labels(&format!("{GROUP}={}", self.group))).await?;
        let now = Instant::now();
        let mut heard = Heard::new();
        let mut seen = BTreeMap::new();
        for lease in all.items {
            let spec = lease.spec.unwrap_or_default();
            let Some(name) = spec.holder_identity.filter(|name| *name != self.name) else { continue };
            let before = self.seen.remove(&name).filter(|(renewed, _)| *renewed == spec.renew_time);
            let since = before.map_or(now, |(_, since)| since);
            if now.saturating_duration_since(since) < term::LASTS {
                let said = lease.metadata.annotations.and_then(|mut annotations| annotations.remove(SAYS));
                heard.insert(name.clone(), said.unwrap_or_default());
            }
            seen.insert(name, (spec.renew_time, since));
        }
        self.seen = seen;
        Ok(heard)
    }

    fn own(&self) -> String {
        format!("{}-of-{}", self.name, self.group).chars().take(253).collect()
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

/// The label by which the replicas of one mesh are found.
const GROUP: &str = "weft.mesh/replica-of";
const SAYS: &str = "weft.mesh/says";
