//! What operators write: YAML and Kubernetes objects in, policy values and diagnostics out. Pure: no I/O, no
//! clock; the same code answers `meshctl check`, runs in a control plane and is shown to property tests.
//!
//! The way of a file, in the order of the modules:
//!
//! ```
//! use weft_manifests::{load::load, lower, set::{Change, ObjectSet}, settings::MeshSettings};
//!
//! let file = "
//! apiVersion: v1
//! kind: Service
//! metadata: {name: api, namespace: shop}
//! spec: {ports: [{port: 80}]}
//! ";
//! let loaded = load(&[("shop.yaml", file)]);              // documents → objects + diagnostics
//! assert!(!loaded.has_errors());
//! let mut set = ObjectSet::new(MeshSettings::default());
//! for object in loaded.accepted() {
//!     for key in set.apply(Change::Upsert(object)) {      // which resources may differ now
//!         let lowered = lower::resource(&set, &key);      // the resource, and conditions for statuses
//!         println!("{key:?}: {:?}", lowered.value);
//!     }
//! }
//! ```
//!
//! Objects of an API server take the same way; [`cluster::Cluster`] keeps them, and makes workloads of pods.
//!
//! Which version of a resource a client gets depends on its namespace:
//! [`ObjectSet::class_of_service`](set::ObjectSet::class_of_service) and
//! [`ObjectSet::class_of_routes`](set::ObjectSet::class_of_routes) give the class for its key. Names and addresses
//! that a proxy asks for lead to Services by [`ObjectSet::service_named`](set::ObjectSet::service_named) and
//! [`ObjectSet::service_at`](set::ObjectSet::service_at).
//!
//! Invariant: one bad object changes nothing but itself. A security policy that is not understood is kept, and
//! denies what it applies to; any other object that cannot be used is left out, and a diagnostic says so.

// Words for what is found.
pub mod diagnostic;
mod suggest;

// Text into trees, trees into values.
pub mod document;
pub mod node;
mod reader;
mod duration;
mod app_protocol;

// The kinds of object.
pub mod meta;
pub mod core;
pub mod gateway_api;
pub mod crd;
pub mod object;

// All objects together, and what proxies are told of them.
pub mod load;
pub mod cluster;
pub mod settings;
pub mod set;
pub mod lower;
pub mod check;

// A pod with our proxy in it.
pub mod inject;
