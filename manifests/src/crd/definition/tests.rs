//! The schemas and the readers say the same, and the chart has what the types say.

use std::path::Path;

use super::*;
use crate::document::{self, Document};
use crate::load::load;
use crate::node::{Node, Value as Tree};
use crate::object::decode;

const SHOP: &str = include_str!("../../../tests/fixtures/shop.yaml");

fn schema_of(kind: &str) -> Option<Value> {
    let definition = all().into_iter().find(|definition| definition.kind() == kind)?;
    Some(
        definition.to_json()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            .clone(),
    )
}

#[test]
fn the_files_of_the_chart_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/weft/crds");
    if std::env::var_os("WRITE_CRDS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for definition in all() {
            std::fs::write(folder.join(definition.file()), definition.to_yaml()).unwrap();
        }
    }
    for definition in all() {
        let file = folder.join(definition.file());
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(there == definition.to_yaml(), "{} is out of date: run `make crds`", file.display());
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, all().len(), "a file in {} is of no kind", folder.display());
}

#[test]
fn what_is_written_as_yaml_is_what_was_meant() {
    for definition in all() {
        let read = document::read(&definition.to_yaml());
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let [document] = read.documents.as_slice() else { panic!("{}", definition.to_yaml()) };
        assert_eq!(plain(&document.root), definition.to_json());
    }
}

fn plain(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Bool(flag) => (*flag).into(),
        Tree::Int(number) => (*number).into(),
        Tree::Float(number) => (*number).into(),
        Tree::String(text) => text.to_string().into(),
        Tree::List(items) => items.iter().map(plain).collect(),
        Tree::Map(fields) => fields.iter().map(|(name, node)| (name.to_string(), plain(node))).collect(),
    }
}

/// An object that says everything that a schema allows; `choice` takes one of those that exclude one another.
fn example(schema: &Value, field: &str, choice: usize) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let alternatives = schema["oneOf"].as_array();
            let excluded = |name: &String| {
                let of = |all: &Vec<Value>| all.iter().position(|one| one["required"][0] == name.as_str());
                alternatives.and_then(of).is_some_and(|place| place != choice % 3)
            };
            let fields = schema["properties"].as_object().unwrap().iter();
            fields
                .filter(|(name, _)| !excluded(name))
                // The two words of the API for one thing, and what CEL excludes.
                .filter(|(name, _)| !matches!(name.as_str(), "sourceAddress" | "group"))
                .map(|(name, schema)| (name.clone(), example(schema, name, choice)))
                .collect()
        }
        Some("array") => json!([example(&schema["items"], field, choice)]),
        Some("integer") => schema["minimum"].as_i64().unwrap().max(1).into(),
        Some("boolean") => true.into(),
        Some(_) => match (field, schema["enum"].as_array()) {
            ("type", Some(_)) => "RingHash".into(),
            (_, Some(words)) => words[choice % words.len()].clone(),
            ("address", _) => "192.0.2.1".into(),
            ("listen", _) => "127.0.0.1:8080".into(),
            ("identities", _) => "spiffe://weft.local/ns/shop/sa/web".into(),
            ("serviceAccounts", _) => "shop/web".into(),
            ("cidrs" | "ipBlocks", _) => "10.0.0.0/8".into(),
            ("methods", _) => "GET".into(),
            ("path", _) => "/healthz".into(),
            ("appProtocol" | "protocol", _) => "http".into(),
            _ if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("h|m|s|ms")) => {
                "10s".into()
            }
            _ => "x".into(),
        },
        None => match field {
            "paths" => "/orders/*".into(),
            "statuses" => "5xx".into(),
            "grpcCodes" => "UNAVAILABLE".into(),
            "minSuccessRate" => "90%".into(),
            other => panic!("{other} has no type"),
        },
    }
}

#[test]
fn readers_know_every_field_and_word_of_the_schemas() {
    for definition in all() {
        for choice in 0..3 {
            let spec = example(&schema_of(definition.kind()).unwrap(), "", choice);
            let object = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": definition.kind(),
                "metadata": {"name": "x", "namespace": "shop"}, "spec": spec});
            let decoded = decode(&Document::from_json(&object));
            assert!(
                decoded.diagnostics.is_empty() && decoded.object.is_some(),
                "{object:#}: {:#?}",
                decoded.diagnostics
            );
        }
    }
}

#[test]
fn schemas_know_every_field_that_people_are_shown() {
    let mut checked = 0;
    for document in document::read(SHOP).documents {
        let object = plain(&document.root);
        if let Some(schema) = object["kind"].as_str().and_then(schema_of) {
            check(&schema, &object["spec"], object["kind"].as_str().unwrap());
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked}");
}

/// As an API server would, as far as it is needed: types, unknown and missing fields, words.
fn check(schema: &Value, value: &Value, path: &str) {
    match schema["type"].as_str() {
        Some("object") => {
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{path} is no object")) {
                let known = &schema["properties"][name];
                assert!(!known.is_null(), "{path}.{name} is not in the schema");
                check(known, value, &format!("{path}.{name}"));
            }
            for needed in schema["required"].as_array().into_iter().flatten() {
                assert!(value.get(needed.as_str().unwrap()).is_some(), "{path} lacks {needed}");
            }
        }
        Some("array") => {
            value.as_array().unwrap().iter().for_each(|item| check(&schema["items"], item, path));
        }
        Some("string") => {
            assert!(value.is_string(), "{path} is no text");
            let words = schema["enum"].as_array();
            assert!(words.is_none_or(|words| words.contains(value)), "{path}: {value}");
        }
        Some("integer") => assert!(value.is_i64(), "{path} is no number"),
        Some("boolean") => assert!(value.is_boolean(), "{path} is no flag"),
        _ => {}
    }
}

#[test]
fn what_is_unknown_is_kept_in_the_security_kinds_and_then_denies() {
    for (kind, kept) in
        [("AuthorizationPolicy", true), ("AuthenticationPolicy", true), ("TrafficPolicy", false)]
    {
        let schema = schema_of(kind).unwrap();
        let target = &schema["properties"]["targetRefs"]["items"];
        for object in [&schema, target] {
            assert_eq!(object["x-kubernetes-preserve-unknown-fields"] == true, kept, "{kind}");
        }
    }
    let loaded = load(&[(
        "p.yaml",
        "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n\
         spec: {action: Deny, rules: [{to: [{methods: [GET], prots: [80]}]}]}\n",
    )]);
    assert!(loaded.diagnostics[0].to_string().contains("denies all it applies to"));
}
