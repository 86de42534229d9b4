//! An object by which one can tell whether a validator answers: the API server's schema takes it, and
//! [`check_object`](super::check_object) does not. It is sent by a dry run, and is never kept.

use serde_json::{Value, json};

use crate::crd::{GROUP, VERSION};

/// The object, in a namespace.
#[must_use]
pub fn refused_object(namespace: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "weft-validator-proof", "namespace": namespace},
        // No network has a prefix of 99 bits; were it ever in force, nobody would be let in by it.
        "spec": {"action": "Allow", "rules": [{"from": [{"cidrs": ["192.0.2.0/99"]}]}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_object;

    #[test]
    fn it_is_refused_for_that_and_for_nothing_else() {
        let errors: Vec<_> =
            check_object(&refused_object("shop")).into_iter().filter(|found| found.is_error()).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].field, "spec.rules[0].from[0].cidrs[0]");
    }
}
