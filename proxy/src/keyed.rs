//! The maps that a request is looked up in: how to hash is the question, and the answer is the same for all of them.
//!
//! The standard library's hash withstands clients that choose the keys and see how long it takes. These keys are mostly
//! names and addresses that the control plane has sent, and none is many: a quick hash with a seed of its own in each
//! process is enough.

use std::collections::HashMap;

/// A map that a client cannot fill with keys of its choice.
pub(crate) type Keyed<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
