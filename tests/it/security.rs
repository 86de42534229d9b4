//! `SECURITY.md` promises nothing that no test shows: each row of its table of threats names tests, and they exist.

use std::collections::BTreeSet;
use std::path::Path;

use weft_tests::figures;

#[test]
fn every_threat_names_a_test_and_every_test_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let table = text.split("| threat | ").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<&str> = table.lines().skip(2).collect();
    let tests = tests_below(&root);
    let mut named = BTreeSet::new();
    for row in &rows {
        let [threat, _, shown] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three columns: {row}")
        };
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows:{threat}");
        for name in names {
            assert!(tests.contains(name), "{threat}: there is no test {name}");
            named.insert(name);
        }
    }
    for promise in ["1 working day", "90 days"] {
        assert!(text.contains(promise), "{promise}");
    }
    let ours = format!(
        "{} threats, shown by {} tests that exist; triage in 1 working day, a fix in 90",
        rows.len(),
        named.len()
    );
    figures::report(31, ours, rows.len() >= 30);
}

/// The names of all tests: whatever function stands below an attribute that makes it one, or inside `proptest!`.
fn tests_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.append(&mut tests_below(&path));
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
                    && std::mem::take(&mut is_test)
                {
                    found.insert(rest.split('(').next().unwrap_or_default().to_owned());
                }
            }
        }
    }
    found
}
