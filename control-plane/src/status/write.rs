//! Fetches what an object says, and writes what it is to say: read, change our part, write it at the version that was
//! read, and begin again where somebody else was faster.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Client, Error, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use weft_manifests::cluster::Edition;
use weft_policy::object::{Kind, ObjectRef};

use super::event::event;
use super::merge::{Merged, merge};
use super::wanted::Wanted;
use crate::source::kubernetes::WATCHED;

/// Writes statuses and events.
pub(super) struct Writer {
    client: Client,
    replica: Arc<str>,
    /// How each kind is asked for, of those that the API server has.
    served: BTreeMap<Kind, ApiResource>,
    /// What the last look at everything has brought, for one use each.
    seen: BTreeMap<ObjectRef, Value>,
    events: Allowance,
}

/// What has become of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// There was nothing to do.
    Nothing,
    /// It was written.
    Status,
    /// There is no such object.
    Gone,
    /// Others write faster than we.
    NotNow,
}

impl Writer {
    pub(super) fn new(client: Client, replica: Arc<str>) -> Self {
        let (served, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { client, replica, served, seen, events: Allowance::full() }
    }

    /// Reads all objects: a few requests, where one for each would take as long as there are objects.
    ///
    /// # Errors
    /// What the API server says.
    pub(super) async fn look_at_all(&mut self) -> Result<(), Error> {
        self.seen.clear();
        for kind in SAID_OF {
            self.served.remove(&kind);
            let Some(api) = self.served(kind).await? else { continue };
            let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &api);
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let list = all.list(&page).await?;
                for object in list.items {
                    let namespace = object.namespace().unwrap_or_default();
                    let key = ObjectRef::new(kind, &namespace, &object.name_any());
                    self.seen.insert(key, value(&object));
                }
                match list.metadata.continue_.filter(|next| !next.is_empty()) {
                    Some(next) => page = page.continue_token(&next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// How the kind is asked for; `None` if there is no such kind (any more).
    async fn served(&mut self, kind: Kind) -> Result<Option<ApiResource>, Error> {
        if let Some(api) = self.served.get(&kind) {
            return Ok(Some(api.clone()));
        }
        let Some(watched) = WATCHED.iter().find(|watched| watched.kind == kind.as_str()) else {
            return Ok(None);
        };
        let api = watched.served(&self.client).await?.here();
        self.served.extend(api.clone().map(|api| (kind, api)));
        Ok(api)
    }

    /// Makes the object say what is wanted.
    ///
    /// # Errors
    /// What the API server says, unless that is a conflict or that there is no such object.
    pub(super) async fn write(&mut self, key: &ObjectRef, wanted: &Wanted) -> Result<Wrote, Error> {
        let Some(api) = self.served(key.kind).await? else { return Ok(Wrote::Gone) };
        let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &api);
        // What was seen a while ago may be an older edition, of which there is nothing to say any more.
        let is_judged = |seen: &Value| {
            let Edition { uid, generation } = Edition::of(seen);
            uid == wanted.uid && generation == wanted.generation
        };
        let mut seen = self.seen.remove(key).filter(is_judged);
        for _ in 0..TRIES {
            let object = match seen.take() {
                Some(seen) => seen,
                None => match objects.get_opt(&key.name).await? {
                    Some(object) => value(&object),
                    None => return Ok(Wrote::Gone),
                },
            };
            let Some(Merged { status, news }) = merge(&object, wanted, &now(SECONDS)) else {
                return Ok(Wrote::Nothing);
            };
            let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
            let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
            match objects.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {
                    tracing::debug!(object = %key, "its status was written");
                    for condition in &news {
                        let event =
                            event(key, &api.api_version, &wanted.uid, condition, &self.replica, &now(MICROS));
                        self.tell(&key.namespace, event).await;
                    }
                    return Ok(Wrote::Status);
                }
                Err(Error::Api(status)) if status.code == 409 => {}
                Err(Error::Api(status)) if status.code == 404 => return Ok(Wrote::Gone),
                Err(error) => return Err(error),
            }
        }
        tracing::debug!(object = %key, "others write its status all the time; it is tried again");
        Ok(Wrote::NotNow)
    }

    /// Events are a courtesy: the status says the same, and whoever misses one reads it there.
    async fn tell(&mut self, namespace: &str, event: Value) {
        if !self.events.take(Instant::now()) {
            tracing::debug!("more events than are sent; the status says the same");
            return;
        }
        let api = ApiResource {
            group: "events.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "events.k8s.io/v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
        };
        let events: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &api);
        let Ok(event) = serde_json::from_value(event) else { return };
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // The same was said before.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                tracing::warn!(%error, "an event could not be written; the object's status says the same")
            }
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

/// How many events may be sent: a burst, and one a second.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn full() -> Self {
        Self { left: BURST, since: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.since).as_secs();
        if grown > 0 {
            self.since = now;
            self.left = self.left.saturating_add(u32::try_from(grown).unwrap_or(BURST)).min(BURST);
        }
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }
}

fn value(object: &DynamicObject) -> Value {
    // The object came from JSON a moment ago.
    serde_json::to_value(object).unwrap_or_default()
}

/// RFC 3339, with so many digits behind the second.
fn now(digits: usize) -> String {
    format!("{:.digits$}", Timestamp::now())
}

/// As `metav1.Time`.
const SECONDS: usize = 0;
/// As `metav1.MicroTime`.
const MICROS: usize = 6;
/// The kinds that have a status of ours.
const SAID_OF: [Kind; 6] = [
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TrafficPolicy,
    Kind::AuthorizationPolicy,
    Kind::AuthenticationPolicy,
    Kind::Workload,
];
const PAGE: u32 = 500;
const TRIES: usize = 4;
const BURST: u32 = 25;
