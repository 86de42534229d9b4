//! What of a file survives what is done to it.

use super::*;
use crate::source::memory::Memory;

const API: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80}]}
";
const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
";
const POLICY: &str = "
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: callers, namespace: shop}
spec: {action: Allow, rules: [{from: [{serviceAccounts: [shop/web]}]}]}
";

fn names(reading: &Reading) -> Vec<String> {
    reading.objects.keys().map(ToString::to_string).collect()
}

#[test]
fn a_broken_object_keeps_its_last_good_version_and_nothing_else_is_kept() {
    let both = format!("{API}---{WEB}");
    let good = Memory::default().with("shop.yaml", &both).reading();
    let kept = ["Service shop/api", "Service shop/web"];
    let web_only = ["Service shop/web"];
    // (what becomes of the file, what is in force then)
    let table: &[(&str, String, &[&str])] = &[
        ("a wrong type", both.replacen("ports: [{port: 80}]", "ports: 7", 1), &kept),
        ("a wrong value", both.replacen("port: 80", "port: 99999", 1), &kept),
        ("a name that is gone", both.replacen("name: api, ", "", 1), &kept),
        ("YAML that ends too soon", both.replacen("[{port: 80}]", "[{port: 80", 1), &kept),
        ("a kind that is misspelt", both.replacen("kind: Service", "kind: Servcie", 1), &kept),
        ("no object at all", format!("- 1\n- 2\n---{WEB}"), &kept),
        ("a document that is deleted", WEB.to_owned(), &web_only),
        ("a rename", both.replacen("name: api", "name: apis", 1), &["Service shop/apis", "Service shop/web"]),
        ("nothing left", String::new(), &[]),
        ("only a comment", "# gone\n".to_owned(), &[]),
    ];
    for (what, text, want) in table {
        let reading = Memory::default().with("shop.yaml", text).reading().keeping(&good.objects);
        assert_eq!(names(&reading), *want, "{what}: {:?}", reading.findings);
        let kept_says_so = reading.findings.iter().any(|finding| finding.message.contains("last good"));
        let is_kept = reading.objects.values().any(|placed| {
            good.objects.get(&placed.object.key()) == Some(placed)
                && placed.object.meta().name.as_ref() == "api"
        });
        assert_eq!(kept_says_so, is_kept, "{what}");
    }
}

#[test]
fn what_is_kept_stays_kept_until_it_is_repaired_or_deleted() {
    let memory = Memory::default().with("api.yaml", API).with("web.yaml", WEB);
    let good = memory.reading();
    let broken = memory.clone().with("api.yaml", "}{");
    let first = broken.reading().keeping(&good.objects);
    let second = broken.reading().keeping(&first.objects);
    assert_eq!(first.objects, good.objects);
    assert_eq!(second.objects, good.objects);
    let elsewhere = broken.with("new.yaml", &API.replace("80", "81")).reading().keeping(&second.objects);
    let moved = &elsewhere.objects[&ObjectRef::new(weft_policy::object::Kind::Service, "shop", "api")];
    assert_eq!(&*moved.place.file, "new.yaml", "a good version anywhere comes before the last good one");
    let gone = memory.without("api.yaml").reading().keeping(&second.objects);
    assert_eq!(names(&gone), ["Service shop/web"]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_everything_that_was_in_it() {
    let good = Memory::default().with("api.yaml", API).with("web.yaml", WEB).reading();
    let mut texts = Texts::new();
    texts.insert("api.yaml".into(), Err("permission denied".to_owned()));
    texts.insert("web.yaml".into(), Ok(WEB.into()));
    let reading = Reading::of(&texts).keeping(&good.objects);
    assert_eq!(reading.objects, good.objects);
    assert!(reading.findings.iter().any(|finding| finding.message.contains("permission denied")));
}

#[test]
fn a_security_policy_that_is_not_understood_is_not_replaced_by_an_older_one_that_was() {
    let good = Memory::default().with("policy.yaml", POLICY).reading();
    let stricter =
        POLICY.replace("serviceAccounts: [shop/web]", "serviceAccounts: [shop/web], moonPhase: full");
    let reading = Memory::default().with("policy.yaml", &stricter).reading().keeping(&good.objects);
    assert_eq!(names(&reading), ["AuthorizationPolicy shop/callers"]);
    assert_ne!(reading.objects, good.objects, "it denies now; the older one would let somebody in");
}
