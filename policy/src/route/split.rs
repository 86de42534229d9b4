//! Which backend of a rule: by weight.

use super::Backend;
use crate::draw::Draw;

/// Draws a backend with the chance `weight / sum of weights`. `None` where there is none to draw: no backends,
/// or weights that sum to zero, which is answered 500 (Gateway API `HTTPRouteRule.backendRefs`).
///
/// A backend that leads nowhere takes part with its weight, so it spoils exactly its own share; with weight 0
/// it spoils nothing.
#[must_use]
pub fn pick<'r>(backends: &'r [Backend], draw: &mut Draw) -> Option<&'r Backend> {
    if let [only] = backends {
        return (only.weight > 0).then_some(only);
    }
    let mut left = draw.below(total(backends));
    backends.iter().find(|backend| {
        let weight = u64::from(backend.weight);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}

/// The sum of all weights, of which a backend's own is its share.
#[must_use]
pub fn total(backends: &[Backend]) -> u64 {
    backends.iter().map(|backend| u64::from(backend.weight)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ServicePort;
    use crate::route::{BackendRef, InvalidBackend};

    fn backends(weights: &[u32]) -> Vec<Backend> {
        let to = |at| BackendRef::Service(ServicePort::new("shop", &format!("v{at}"), 80));
        weights
            .iter()
            .enumerate()
            .map(|(at, weight)| Backend { weight: *weight, to: to(at), filters: Vec::new() })
            .collect()
    }

    #[test]
    fn weights_that_sum_to_zero_lead_nowhere() {
        let mut draw = Draw::from_seed(1);
        for weights in [&[][..], &[0], &[0, 0]] {
            assert_eq!(pick(&backends(weights), &mut draw), None, "{weights:?}");
        }
    }

    #[test]
    fn each_backend_gets_its_share_and_weight_zero_gets_nothing() {
        // MeshHTTPRouteWeight, MeshGRPCRouteWeight: 0 is no traffic, even where that backend does not exist.
        let weights = [70, 0, 30, 100];
        let mut backends = backends(&weights);
        for at in [1, 2] {
            backends[at].to = BackendRef::Invalid { name: "x".into(), why: InvalidBackend::BackendNotFound };
        }
        let mut draw = Draw::from_seed(7);
        let mut hits = [0u32; 4];
        for _ in 0..20_000 {
            let drawn = pick(&backends, &mut draw).unwrap();
            hits[backends.iter().position(|backend| std::ptr::eq(backend, drawn)).unwrap()] += 1;
        }
        assert_eq!(hits[1], 0);
        for (hits, weight) in hits.into_iter().zip(weights) {
            let want = 100 * weight;
            assert!(hits.abs_diff(want) < 500, "{hits} of 20000, wanted about {want}");
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let backends = backends(&[u32::MAX; 16]);
        assert!(pick(&backends, &mut Draw::from_seed(3)).is_some());
    }
}
