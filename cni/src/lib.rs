//! A pod's connections, brought to its proxy by the node: two programs, so that no pod needs a right.
//!
//! `weft-cni` is the CNI plugin: the container runtime runs it on the node for every pod, last in the chain of plugins. It
//! decides nothing and needs nothing of the node: it asks `weft-cni-agent`, which runs in a DaemonSet, has `nft` and
//! `weft-proxy` in its image, and runs `weft-proxy redirect` in the pod's network namespace: the very rules that the init
//! container would have made. The agent keeps the plugin in the node's CNI configuration, and looks for pods that have
//! started without it.
//!
//! Invariant: a pod that is to have the rules gets them before anything in it runs, or does not start; and a pod that is to
//! have none is never kept from starting, whether or not the agent is there.

pub mod call;
pub mod plugin;
pub mod question;
pub mod rules;
pub mod conflist;
pub mod agent;
