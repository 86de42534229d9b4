//! Any text where manifests are: it costs what it weighs, takes no other object down, and lowers to something.

use std::collections::BTreeSet;

use super::*;
use crate::check;
use crate::lower;
use crate::set::{Change, ObjectSet};
use crate::settings::MeshSettings;

/// An object that stands beside whatever is wrong.
const BYSTANDER: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: bystander-77, namespace: elsewhere}\n\
                         spec: {ports: [{port: 80}]}\n";

#[test]
fn any_text_costs_what_it_weighs_and_takes_no_other_object_down() {
    weft_fuzz::law!("manifest", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let ahead = format!("{BYSTANDER}---\n{text}");
        for files in [vec![("a.yaml", BYSTANDER), ("b.yaml", &*text)], vec![("a.yaml", &*ahead)]] {
            let loaded = load(&files);
            let stands = loaded.objects.values().any(|found| &*found.object.key().name == "bystander-77");
            assert!(stands, "{:?}", loaded.diagnostics);
            let weight = text.len() + BYSTANDER.len();
            assert!(loaded.objects.len() + loaded.rejected.len() <= weight, "an object has a name");
            let lines: usize = loaded.diagnostics.iter().map(|found| found.to_string().len()).sum();
            assert!(lines <= 4096 + 600 * weight, "{lines} bytes are said of {weight}");
            let printable =
                |found: &Diagnostic| !found.to_string().contains(['\u{1b}', '\u{7}', '\u{9b}', '\r']);
            assert!(loaded.diagnostics.iter().all(printable), "a terminal stays as it was");

            let again = load(&files);
            assert_eq!(again.diagnostics, loaded.diagnostics, "the same files, the same words");
            lowers(&loaded);
        }
        // What is asked of `meshctl check` is answered with at least what stops an object from being loaded.
        let report = check::check(&[("b.yaml", &*text)]);
        assert!(!load(&[("b.yaml", &*text)]).has_errors() || report.count(Severity::Error) > 0);
    });
}

/// Everything that is touched is lowered, whatever the order, to the same resources and statuses.
fn lowers(loaded: &Loaded) {
    let objects: Vec<Object> = loaded.accepted().collect();
    let mut set = ObjectSet::new(MeshSettings::default());
    let mut keys = BTreeSet::new();
    for object in &objects {
        keys.extend(set.apply(Change::Upsert(object.clone())));
    }
    let backwards = ObjectSet::of(MeshSettings::default(), objects.iter().rev().cloned());
    for key in &keys {
        let lowered = lower::resource(&set, key);
        assert_eq!(lower::resource(&backwards, key), lowered, "{key:?} does not depend on the order");
    }
    for object in &objects {
        assert_eq!(lower::status(&backwards, &object.key()), lower::status(&set, &object.key()));
        assert!(
            set.apply(Change::Upsert(object.clone())).is_empty(),
            "what is there already changes nothing"
        );
    }
    let snapshot = lower::snapshot(&set, "shop", None);
    assert!(snapshot.vips.values().all(|service| snapshot.services.contains_key(service)));
    for object in &objects {
        set.apply(Change::Delete(object.key()));
    }
    assert_eq!(set.objects().count(), 0);
    assert!(keys.iter().all(|key| lower::resource(&set, key).value.is_none()), "nothing is made of nothing");
}
