//! What `meshctl check` finds, with its words and lines.

use super::*;

const SHOP: &str = include_str!("../../tests/fixtures/shop.yaml");
const SHOP_GRPC: &str = include_str!("../../tests/fixtures/shop-grpc.yaml");
const MISTAKES: &str = include_str!("../../tests/fixtures/mistakes.yaml");

#[test]
fn there_is_nothing_to_say_about_the_shop() {
    let report = check(&[("shop.yaml", SHOP), ("grpc.yaml", SHOP_GRPC)]);
    assert!(report.diagnostics.is_empty(), "{:#?}", report.diagnostics);
    assert_eq!(report.objects, 20);
}

#[test]
fn every_mistake_is_found_and_named_with_what_to_do() {
    let report = check(&[("mistakes.yaml", MISTAKES)]);
    // (severity, object, words)
    let table = [
        (Severity::Error, "Service shop/broken", "this is not YAML"),
        (Severity::Error, "HTTPRoot shop/unknown", "did you mean HTTPRoute?"),
        (Severity::Error, "HTTPRoute shop/nowhere", "there is no Service shop/goood"),
        (Severity::Error, "HTTPRoute shop/to-nothing", "there is no Service shop/god (did you mean `good`?)"),
        (Severity::Warning, "HTTPRoute shop/zero", "the weights sum to zero"),
        (
            Severity::Warning,
            "HTTPRoute shop/same",
            "rule 0 of HTTPRoute shop/good has an equal match and comes first",
        ),
        (Severity::Error, "HTTPRoute shop/future", "`PathPerfix` is not known (did you mean `PathPrefix`?)"),
        (Severity::Error, "AuthorizationPolicy bank/typo", "(did you mean `identities`?)"),
        (Severity::Error, "AuthorizationPolicy bank/typo", "denies all it applies to"),
        (Severity::Warning, "TrafficPolicy shop/extra", "(did you mean `timeouts`?); it is ignored"),
        (Severity::Warning, "TrafficPolicy shop/aimless", "there is no Service shop/nobody"),
        (Severity::Warning, "Service shop/lonely", "matches the labels of no Workload"),
        (Severity::Warning, "Service shop/typo", "no port named `htpp` (did you mean `http`?)"),
    ];
    for (severity, object, words) in table {
        let found = report.diagnostics.iter().find(|found| {
            found.severity == severity
                && found.object.as_ref().is_some_and(|name| name.to_string() == object)
                && found.message.contains(words) | found.help.contains(words)
        });
        let found = found.unwrap_or_else(|| panic!("{object}: {words}\n{:#?}", report.diagnostics));
        assert!(found.line.is_some() && !found.help.is_empty(), "{found}");
    }
    assert!(!report.diagnostics.iter().any(|found| found.to_string().contains("HTTPRoute shop/good: ")));
}

#[test]
fn a_finding_names_the_line_of_its_field() {
    let report = check(&[("mistakes.yaml", MISTAKES)]);
    let line =
        |needle: &str| MISTAKES.lines().position(|line| line.contains(needle)).map(|line| line as u32 + 1);
    let table = [
        ("HTTPRoute shop/future", line("PathPerfix")),
        ("HTTPRoute shop/to-nothing", line("name: god,")),
        ("HTTPRoute shop/zero", line("weight: 0")),
        ("AuthorizationPolicy bank/typo", line("identites")),
        ("TrafficPolicy shop/extra", line("timeout:")),
        ("Service shop/lonely", line("{app: lonely}")),
    ];
    for (object, want) in table {
        let found = report
            .diagnostics
            .iter()
            .find(|found| found.object.as_ref().is_some_and(|name| name.to_string() == object));
        assert_eq!(found.and_then(|found| found.line), want, "{object}");
        assert_eq!(found.and_then(|found| found.file.as_deref()), Some("mistakes.yaml"));
    }
}

#[test]
fn one_bad_object_changes_nothing_for_the_others() {
    let alone = load(&[("shop.yaml", SHOP)]);
    let among = load(&[("a.yaml", MISTAKES), ("shop.yaml", SHOP), ("z.yaml", MISTAKES)]);
    let alone = ObjectSet::of(MeshSettings::default(), alone.accepted());
    let among = ObjectSet::of(MeshSettings::default(), among.accepted());
    for key in alone.keys() {
        assert_eq!(lower::resource(&alone, &key), lower::resource(&among, &key), "{key:?}");
    }
}

#[test]
fn an_object_in_two_files_is_an_error_unless_both_say_the_same() {
    let policy = "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: x}\nspec: {action: Deny}\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}]}\n";
    let table = [
        (service, "80", "80", Severity::Warning, "both say the same"),
        (service, "80", "81", Severity::Error, "the first one holds"),
        (policy, "Deny", "Allow", Severity::Error, "denies all it applies to"),
    ];
    for (text, old, new, severity, words) in table {
        let other = text.replace(old, new);
        let report = check(&[("b.yaml", other.as_str()), ("a.yaml", text)]);
        let found =
            report.diagnostics.iter().find(|found| found.message.contains("already defined at a.yaml:1"));
        let found = found.unwrap_or_else(|| panic!("{:?}", report.diagnostics));
        assert_eq!((found.severity, found.file.as_deref()), (severity, Some("b.yaml")));
        assert!(found.message.contains(words), "{found}");
    }
    let loaded = load(&[("a", policy.to_owned()), ("b", policy.replace("Deny", "Allow"))]);
    let Some(object::Object::AuthorizationPolicy(kept)) = loaded.accepted().next() else {
        panic!("it is kept")
    };
    assert!(kept.not_understood.is_some());
}

#[test]
fn two_sidecars_on_one_address_and_two_services_with_one_are_errors() {
    let workload = |name: &str| {
        format!(
            "---\napiVersion: weft.mesh/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{address: 127.0.0.1}}\n"
        )
    };
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: 10.0.0.1, ports: [{{port: 80}}]}}\n"
        )
    };
    let report = check(&[("x.yaml", workload("a") + &workload("b") + &service("s") + &service("t"))]);
    let said = |words: &str| {
        report.diagnostics.iter().any(|found| found.is_error() && found.message.contains(words))
    };
    assert!(
        said("the sidecar of Workload default/a listens on 127.0.0.1:4143 too"),
        "{:?}",
        report.diagnostics
    );
    assert!(said("Service default/s has the clusterIP 10.0.0.1 too"), "{:?}", report.diagnostics);
}

#[test]
fn a_policy_that_asks_for_paths_where_nobody_sees_them_is_told_so() {
    let yaml = "apiVersion: weft.mesh/v1alpha1\nkind: Workload\nmetadata: {name: db}\nspec: {address: 10.0.0.1, ports: [{port: 5432}]}\n\
                ---\napiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {rules: [{to: [{methods: [GET]}]}]}\n";
    let report = check(&[("x.yaml", yaml)]);
    assert_eq!(report.diagnostics.len(), 1, "{:?}", report.diagnostics);
    assert!(report.diagnostics[0].message.contains("there it allows nothing"));
    assert_eq!(report.diagnostics[0].field, "spec.rules[0].to");
}

#[test]
fn a_report_is_the_same_whatever_the_order_of_files() {
    let one = check(&[("a.yaml", SHOP), ("b.yaml", MISTAKES)]);
    let two = check(&[("b.yaml", MISTAKES), ("a.yaml", SHOP)]);
    assert_eq!(one.diagnostics, two.diagnostics);
    let json = serde_json::to_value(&one).unwrap();
    assert!(json["diagnostics"].as_array().is_some_and(|found| !found.is_empty()));
}

#[test]
fn an_object_by_itself_is_judged_by_what_it_says_and_not_by_what_is_missing() {
    let route = |path: &str| {
        serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "api", "namespace": "shop"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "api"}], "rules": [{
                "matches": [{"path": {"type": "RegularExpression", "value": path}}],
                "backendRefs": [{"name": "not-there", "port": 80}]}]}})
    };
    assert_eq!(check_object(&route("/a+")), []);
    let found = check_object(&route("("));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].is_error());
    assert!(
        found[0]
            .to_string()
            .starts_with("HTTPRoute shop/api: spec.rules[0].matches[0].path.value: this is not")
    );
    assert!(check_object(&serde_json::json!({"kind": "Pod"})).iter().any(Diagnostic::is_error));
}
