//! Our kinds as CustomResourceDefinitions: what an API server checks before anybody else sees an object.
//!
//! A schema says what can be said without context: types, words, bounds, what excludes what. Everything beyond is said
//! by the reader of the kind, in the object's status. Where the two overlap they agree: tests read what the schema
//! allows, and check what the reader allows against the schema.
//!
//! An API server drops the fields that a schema does not have. In a security kind that would make a policy of its own
//! out of one that nobody understands, so these keep what is unknown, and the reader denies.

mod kinds;
mod schema;
mod yaml;

use serde_json::{Map, Value, json};

use super::{GROUP, VERSION};
use schema::Schema;

/// A definition.
#[derive(Clone, Debug)]
pub struct Definition {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
    spec: Schema,
    /// Name, type, path.
    columns: Vec<(&'static str, &'static str, &'static str)>,
}

/// Every definition, in the order of their names.
#[must_use]
pub fn all() -> Vec<Definition> {
    vec![kinds::authentication(), kinds::authorization(), kinds::traffic(), kinds::workload()]
}

impl Definition {
    /// `weft.mesh_trafficpolicies.yaml`
    #[must_use]
    pub fn file(&self) -> String {
        format!("{GROUP}_{}.yaml", self.plural)
    }

    /// The kind that it defines.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// As an API server takes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns = self.columns.iter().copied().chain([
            ("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].status"),
            ("Age", "date", ".metadata.creationTimestamp"),
        ]);
        let columns: Vec<Value> =
            columns.map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path})).collect();
        let mut metadata = Map::new();
        metadata.insert("name".into(), format!("{}.{GROUP}", self.plural).into());
        metadata.insert("labels".into(), json!({"app.kubernetes.io/part-of": "weft"}));
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": metadata,
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "plural": self.plural,
                    "singular": self.singular,
                    "shortNames": [self.short],
                    "categories": ["weft"],
                },
                "scope": "Namespaced",
                "versions": [{
                    "name": VERSION,
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "apiVersion": {"type": "string"},
                            "kind": {"type": "string"},
                            "metadata": {"type": "object"},
                            "spec": self.spec.to_json(),
                            "status": status().to_json(),
                        },
                    }},
                }],
            },
        })
    }

    /// As a file of the chart.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let head = "# Generated from the Rust types by `make crds`; a test compares. Do not edit.\n";
        format!("{head}{}", yaml::write(&self.to_json()))
    }
}

/// What we say of an object, in the words of the API conventions.
fn status() -> Schema {
    let text = || Schema::text().up_to(32_768);
    let condition = Schema::object("One thing that is so, or is not.")
        .needs("type", Schema::text().up_to(316))
        .needs("status", Schema::words(&["True", "False", "Unknown"]))
        .needs("reason", Schema::text().up_to(1024))
        .needs("message", text())
        .needs("lastTransitionTime", Schema::text().format("date-time"))
        .may("observedGeneration", Schema::number(0, i64::MAX));
    Schema::object("What the control plane says of it.").may(
        "conditions",
        Schema::list(condition).at_most(8).by_key("type").says("Accepted, ResolvedRefs and Programmed."),
    )
}

#[cfg(test)]
mod tests;
