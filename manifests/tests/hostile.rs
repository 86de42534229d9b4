//! Whatever a file holds: nothing panics, nothing vanishes that keeps somebody out, nothing takes others along.

use proptest::prelude::*;
use weft_manifests::check::check;
use weft_manifests::load::load;
use weft_manifests::object::{Object, is_security};

const FIXTURES: [&str; 3] = [
    include_str!("fixtures/shop.yaml"),
    include_str!("fixtures/shop-grpc.yaml"),
    include_str!("fixtures/mistakes.yaml"),
];

/// One document of a fixture.
fn document() -> impl Strategy<Value = &'static str> {
    let documents: Vec<&str> = FIXTURES.iter().flat_map(|file| file.split("\n---\n")).collect();
    proptest::sample::select(documents)
}

/// One AuthorizationPolicy of a fixture, without mistakes.
fn policy() -> impl Strategy<Value = &'static str> {
    let documents = FIXTURES.iter().flat_map(|file| file.split("\n---\n"));
    let policies =
        documents.filter(|text| text.contains("kind: AuthorizationPolicy") && !text.contains("typo"));
    proptest::sample::select(policies.collect::<Vec<_>>())
}

/// Words that mean something to YAML or to an object, to hit more than noise does.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "---\n",
        "...\n",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "|\n",
        ">\n",
        "&a ",
        "*a",
        "<<: *a",
        "!!int ",
        "? ",
        "# ",
        "%YAML 1.2\n",
        "\t",
        "\n",
        "\r\n",
        "\u{feff}",
        "\u{0}",
        "null",
        "~",
        "true",
        "-1",
        "99999999999999999999",
        "1e999",
        ".nan",
        "0x",
        "spec:",
        "kind: List\nitems:",
        "metadata:",
        "targetRefs:",
        "rules:",
        "from:",
        "(a{1000}){1000}",
        "(?i)",
        "%2f",
        "..",
        "*",
        "/*",
        "日本",
        "\u{202e}",
    ];
    prop_oneof![3 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,12}"]
}

/// A text with some of its characters cut out and some words put in.
fn mutated(text: &str, edits: Vec<(usize, usize, String)>) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, cut, word) in edits {
        let at = at % (chars.len() + 1);
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, word.chars());
    }
    chars.into_iter().collect()
}

fn edits() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
    proptest::collection::vec((any::<usize>(), 0..20_usize, word()), 1..8)
}

/// Everything that is asked of a text: it is checked, and every finding can be told.
fn survives(text: &str) {
    let report = check(&[("hostile.yaml", text)]);
    for found in &report.diagnostics {
        assert!(!found.to_string().is_empty());
    }
    serde_json::to_string(&report).expect("a report is made of text and numbers");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_text_can_be_checked(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_sequence_of_words_can_be_checked(words in proptest::collection::vec(word(), 0..80)) {
        survives(&words.concat());
    }

    #[test]
    fn any_damage_to_a_file_can_be_checked(file in 0..FIXTURES.len(), edits in edits()) {
        survives(&mutated(FIXTURES[file], edits));
    }

    #[test]
    fn damage_to_one_document_loses_no_other(damaged in document(), edits in edits()) {
        // Named apart from the shop's objects, and one document whatever is put in.
        let damaged = mutated(&damaged.replace("shop", "ruin").replace("bank", "ruin"), edits);
        let damaged = damaged.replace("\n---", "\n ---").replace("\n...", "\n ...").replace("\r", " ");
        let around = load(&[("shop.yaml", format!("{}\n---\n {damaged}\n---\n{}", FIXTURES[0], FIXTURES[1]))]);
        let alone = load(&[("shop.yaml", format!("{}\n---\n{}", FIXTURES[0], FIXTURES[1]))]);
        for (key, found) in &alone.objects {
            let kept = around.objects.get(key).map(|found| &found.object);
            prop_assert_eq!(kept, Some(&found.object), "{} is lost to\n{}", key, damaged);
        }
    }

    #[test]
    fn a_damaged_security_policy_is_kept_under_its_name_and_denies_or_is_whole(
        policy in policy(),
        edits in edits(),
    ) {
        let (head, spec) = policy.split_once("\nspec:").expect("every policy has a spec");
        let text = format!("{head}\nspec:{}", mutated(spec, edits));
        let text = text.replace("\n---", "\n ---").replace("\n...", "\n ...");
        let loaded = load(&[("policy.yaml", text.as_str())]);
        let kept = loaded.accepted().find(|object| is_security(object.kind()));
        match kept {
            Some(Object::AuthorizationPolicy(policy)) => {
                let errors = loaded.diagnostics.iter().any(|found| found.is_error());
                prop_assert_eq!(policy.not_understood.is_some(), errors, "{:?}\n{}", loaded.diagnostics, text);
            }
            other => prop_assert!(false, "{:?}\n{}", other, text),
        }
    }
}
