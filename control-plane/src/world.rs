//! What is: the declared objects, what was learned besides (registrations, health, trust), and the revision that
//! counts the changes. One task writes it ([`Writer`]), everybody else reads a [`View`] that is swapped whole.
//!
//! Revisions give an order to what hashes cannot: a proxy never goes back to a lower one of the same epoch. So a
//! range of them is set aside on disk before the first of it is used, and a restart begins above it.

pub mod overlay;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use weft_certs::bundle::TrustBundle;
use weft_manifests::diagnostic::Diagnostic;
use weft_manifests::set::{Change, ObjectSet};
use weft_policy::object::ObjectRef;

pub use writer::{Reserve, Writer};

use crate::source::{Placed, Reading, Texts};

/// The world at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Everything that is in force.
    pub set: ObjectSet,
    /// What was declared, and where.
    pub declared: Arc<BTreeMap<ObjectRef, Placed>>,
    /// At which revision each declared object became what it is.
    pub since: Arc<BTreeMap<ObjectRef, u64>>,
    /// What is wrong with what was declared.
    pub findings: Arc<Vec<Diagnostic>>,
    /// Grows with every change.
    pub revision: u64,
}

/// How everybody but the writer sees the world, and tells it things.
#[derive(Clone, Debug)]
pub struct WorldHandle {
    orders: mpsc::Sender<Order>,
    view: Arc<ArcSwap<View>>,
}

/// What the writer is told. It does one after the other.
#[derive(Debug)]
enum Order {
    /// What is declared now, as a whole; `None`: the same as the last time. The answer is the revision.
    Declared(Option<Box<Reading>>, oneshot::Sender<u64>),
    /// Something was learned.
    Learned(Vec<Change>),
    /// Somebody has seen this revision.
    Past(u64),
    /// The trust domain trusts somebody else now.
    Trust(Arc<TrustBundle>),
}

impl WorldHandle {
    /// The world of the moment.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Declares what these texts say. Returns the revision in which it is in force; `None` if the control plane
    /// is shutting down.
    pub async fn files(&self, texts: Texts) -> Option<u64> {
        let reading = tokio::task::spawn_blocking(move || Reading::of(&texts)).await.ok()?;
        self.declare(reading).await
    }

    /// Declares what was read.
    pub async fn declare(&self, reading: Reading) -> Option<u64> {
        self.ask(Some(Box::new(reading))).await
    }

    /// The revision in which everything is that was declared or learned before the call.
    pub async fn revision(&self) -> Option<u64> {
        self.ask(None).await
    }

    /// Takes note of what was learned: registrations and health.
    pub async fn learn(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            // Nobody is left to learn it when the writer has gone.
            let _gone = self.orders.send(Order::Learned(changes)).await;
        }
    }

    /// Goes on with the revision after `revision`, if that is ahead: a proxy has been told so much by this control plane as
    /// it was before its state came back older.
    pub async fn move_past(&self, revision: u64) {
        let _gone = self.orders.send(Order::Past(revision)).await;
    }

    /// Takes note of a new bundle.
    pub async fn trust(&self, bundle: Arc<TrustBundle>) {
        let _gone = self.orders.send(Order::Trust(bundle)).await;
    }

    async fn ask(&self, reading: Option<Box<Reading>>) -> Option<u64> {
        let (reply, revision) = oneshot::channel();
        self.orders.send(Order::Declared(reading, reply)).await.ok()?;
        revision.await.ok()
    }
}
