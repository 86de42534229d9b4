//! Which installations of Weft are in a cluster: each is known by the Service that its webhooks lead to.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ApiError, Cluster, items};

/// The namespaces of other installations than that in `mesh`, by two lists of webhook configurations.
pub(crate) fn others<'v>(configurations: [&'v Value; 2], mesh: &str) -> Vec<&'v str> {
    let ours = |it: &&Value| {
        it.pointer("/metadata/labels/app.kubernetes.io~1part-of").is_some_and(|of| of == "weft")
    };
    let all = configurations.into_iter().flat_map(items).filter(ours).filter_map(namespace_of);
    let others: BTreeSet<&str> = all.filter(|namespace| *namespace != mesh).collect();
    others.into_iter().collect()
}

/// Where the Service of a configuration's first webhook is.
pub(crate) fn namespace_of(configuration: &Value) -> Option<&str> {
    configuration.pointer("/webhooks/0/clientConfig/service/namespace")?.as_str()
}

impl Cluster {
    /// Makes sure that there is no installation of Weft but in the namespace that is meant.
    ///
    /// # Errors
    /// If there is one, with what to do. Whoever may not see whether there is installs nothing either, and is told that.
    pub(crate) async fn is_ours_alone(&self) -> anyhow::Result<()> {
        let [mutating, validating] = ["mutating", "validating"].map(path);
        let (mutating, validating) = tokio::join!(self.list(&mutating), self.list(&validating));
        let unseen = |error: ApiError| {
            anyhow::anyhow!("whether another installation of Weft is in this cluster cannot be seen: {error}")
        };
        let (mutating, validating) = (mutating.map_err(unseen)?, validating.map_err(unseen)?);
        match others([&mutating, &validating], &self.namespace).first() {
            None => Ok(()),
            Some(other) => anyhow::bail!(
                "another installation of Weft is in this cluster, in the namespace {other}: there is one in a cluster. \
                 Upgrade it with --mesh-namespace {other}, or uninstall it first"
            ),
        }
    }
}

fn path(does: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/{does}webhookconfigurations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_installation_is_known_by_where_its_webhooks_lead_whatever_it_is_called() {
        let configuration = |part_of: &str, namespace: Value| {
            json!({"metadata": {"name": "weft", "labels": {"app.kubernetes.io/part-of": part_of}},
                "webhooks": [{"clientConfig": {"service": {"name": "weft", "namespace": namespace}}}]})
        };
        let nothing = json!({"items": []});
        let table = [
            (vec![configuration("weft", json!("mesh"))], vec![]),
            (vec![configuration("weft", json!("blue")), configuration("weft", json!("mesh"))], vec!["blue"]),
            (vec![configuration("weft", json!("blue")), configuration("weft", json!("blue"))], vec!["blue"]),
            (vec![configuration("else", json!("blue"))], vec![]),
            (vec![configuration("weft", json!(7)), json!({"webhooks": []}), json!(null)], vec![]),
        ];
        for (all, expected) in table {
            let all = json!({"items": all});
            assert_eq!(others([&all, &nothing], "mesh"), expected, "{all}");
            assert_eq!(others([&nothing, &all], "mesh"), expected, "{all}");
        }
    }
}
