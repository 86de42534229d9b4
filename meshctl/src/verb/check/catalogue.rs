//! Every check of a cluster: its name, what it claims, and what to do where that is not so. Each has a section in
//! `charts/CHECKS.md`, which a test sees to.

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// By which scripts and the documentation know it.
    pub(super) id: &'static str,
    /// What is so where nothing is wrong.
    pub(super) claim: &'static str,
    /// What to do where it is not.
    pub(super) remedy: &'static str,
    /// Whether it is asked before the mesh is installed.
    pub(super) before: bool,
    /// Whether it is asked of a mesh that is installed.
    pub(super) after: bool,
}

impl Check {
    /// Where it is explained.
    pub(super) fn link(&self) -> String {
        format!("charts/CHECKS.md#{}", self.id)
    }
}

/// The one of this name.
pub(super) fn check(id: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.id == id).expect("every verdict names a row of the table")
}

const fn both(id: &'static str, claim: &'static str, remedy: &'static str) -> Check {
    Check { id, claim, remedy, before: true, after: true }
}

const fn before(id: &'static str, claim: &'static str, remedy: &'static str) -> Check {
    Check { id, claim, remedy, before: true, after: false }
}

const fn after(id: &'static str, claim: &'static str, remedy: &'static str) -> Check {
    Check { id, claim, remedy, before: false, after: true }
}

/// In the order in which they are asked: what comes first explains what comes after.
pub(super) const CHECKS: &[Check] = &[
    both(
        "api-reachable",
        "the API server answers",
        "check that it is up, and that the kubeconfig's context is the one you mean",
    ),
    both("api-version", "Kubernetes is 1.29 or newer, which native sidecars need", "upgrade the cluster"),
    before(
        "install-rights",
        "you may make what an installation consists of",
        "ask whoever administers the cluster for these rights, or to install",
    ),
    both(
        "one-installation",
        "no other installation of Weft is in the cluster",
        "uninstall one of the two: whoever came first acts, and the other stands back until it has gone",
    ),
    both(
        "gateway-kinds",
        "the kinds of the Gateway API are served",
        "install its CRDs (v1.1 or newer) to use routes",
    ),
    both(
        "weft-kinds",
        "Weft's own kinds are served in the version that is read",
        "meshctl install --crds-only --apply, or kubectl apply --server-side -f charts/weft/crds",
    ),
    after(
        "control-plane-runs",
        "every replica of the control plane is ready",
        "kubectl -n <mesh namespace> describe and logs of deployment/weft-control-plane",
    ),
    after(
        "control-plane-answers",
        "the control plane answers questions",
        "get the right to create pods/portforward in the mesh's namespace; upgrade what has no --inspect",
    ),
    after("same-version", "the control plane is of this meshctl's version", "upgrade the older of the two"),
    after(
        "lease-held",
        "one of the replicas holds the Lease, and so writes statuses",
        "see the control plane's log for why it cannot renew the Lease",
    ),
    after(
        "identity-kept",
        "the mesh's identity is kept in its Secret",
        "do not stop all replicas: the holder of the Lease puts it back; otherwise restore it from a backup",
    ),
    after(
        "roots-live",
        "no root of the mesh ends within 30 days",
        "meshctl rotate, in the control plane's pod",
    ),
    after(
        "webhooks-trusted",
        "the API server trusts the webhooks by a root of the mesh",
        "see the control plane's log: it patches caBundle in, and says what keeps it from that",
    ),
    after(
        "injector-answers",
        "a pod of a labelled namespace gets a proxy (tried by a dry run)",
        "check that the API server reaches the Service weft-control-plane at port 15017 (firewalls of private clusters)",
    ),
    after(
        "validator-answers",
        "a policy that nobody could act by is refused (tried by a dry run)",
        "check that the API server reaches the Service weft-control-plane at port 15017, and `webhooks-trusted`",
    ),
    after(
        "pods-allowed",
        "no labelled namespace forbids the container that redirects connections",
        "set injection.redirect=node and have the rules set on the node, or enforce a lower Pod Security level there",
    ),
    after(
        "pods-meshed",
        "every running pod of a labelled namespace has a proxy",
        "kubectl -n <namespace> rollout restart deployment,statefulset,daemonset",
    ),
    after(
        "proxies-attached",
        "every proxy is attached to a control plane",
        "see the log of the container weft-proxy in that pod",
    ),
    after(
        "strict-ready",
        "nobody calls in plaintext, whom a strict mode would cut off",
        "bring the callers into the mesh, or leave who they call permissive by an AuthenticationPolicy of its own",
    ),
    after(
        "proxies-current",
        "every proxy has what it should have, and rejects nothing",
        "meshctl status says what is rejected; a proxy that is older than the control plane is upgraded by a restart",
    ),
    after(
        "objects-hold",
        "every route and policy is in force",
        "meshctl status says why not, for each; meshctl check FILE before it is applied",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_explained_and_nothing_else_is() {
        let explained = include_str!("../../../../charts/CHECKS.md");
        let sections: Vec<_> = explained.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let ids: Vec<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(sections, ids);
    }
}
