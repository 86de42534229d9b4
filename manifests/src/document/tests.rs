//! Files that are hard to read, or were made to be.

use super::*;

/// Kind, name and line of a document.
type Outline = (String, String, u32);
/// Line and message of what is wrong.
type Wrong = (Option<u32>, String);

fn outline(text: &str) -> (Vec<Outline>, Vec<Wrong>) {
    let read = read(text);
    let problems = read.documents.iter().flat_map(|document| &document.problems).chain(&read.problems);
    let problems = problems.map(|problem| (problem.line, problem.message.clone())).collect();
    let documents = read.documents.iter().map(|document| {
        let name = document.name();
        let kind = name.as_ref().map(|name| name.kind.clone()).unwrap_or_default();
        (kind, name.map(|name| name.name).unwrap_or_default(), document.line)
    });
    (documents.collect(), problems)
}

fn names(text: &str) -> Vec<String> {
    outline(text).0.into_iter().map(|(_, name, _)| name).collect()
}

#[test]
fn documents_are_cut_at_their_markers_and_know_their_lines() {
    let file = "\u{feff}# a comment only\n---\nkind: A\nmetadata: {name: a}\n--- # why not\nkind: B\r\nmetadata:\r\n  name: b\n...\n%YAML 1.2\n---\nkind: C\nmetadata: {name: c}\n---\n---\n";
    let (documents, problems) = outline(file);
    assert_eq!(problems, []);
    let at = |kind: &str, name: &str, line| (kind.to_owned(), name.to_owned(), line);
    assert_eq!(documents, [at("A", "a", 3), at("B", "b", 6), at("C", "c", 12)]);
}

#[test]
fn a_marker_inside_a_block_of_text_is_text_if_it_is_indented() {
    let file = "kind: A\nmetadata: {name: a}\ntext: |\n  ---\n  not a document\n";
    assert_eq!(names(file), ["a"]);
}

#[test]
fn one_malformed_document_loses_neither_the_others_nor_its_own_name() {
    let file = "kind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\nspec: [1, 2\n---\nkind: C\nmetadata: {name: c}\n";
    let (documents, problems) = outline(file);
    assert_eq!(documents.iter().map(|(_, name, _)| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].0.is_some_and(|line| (6..=7).contains(&line)), "{problems:?}");
    assert!(problems[0].1.starts_with("this is not YAML"));
}

#[test]
fn the_items_of_a_list_are_documents() {
    let file = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- kind: B\n  metadata: {name: b}\n";
    let (documents, problems) = outline(file);
    assert_eq!(problems, []);
    assert_eq!(
        documents.iter().map(|(_, name, line)| (&**name, *line)).collect::<Vec<_>>(),
        [("a", 4), ("b", 6)]
    );
}

#[test]
fn what_the_text_says_twice_or_cannot_mean_is_a_problem_at_its_line() {
    let table = [
        ("kind: A\nkind: B\n", 2, "stands twice"),
        ("a: 1\nb: {c: 1, c: 2}\n", 2, "stands twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge keys"),
        ("a: !!binary aGk=\n", 1, "tag"),
        ("a: *nobody\n", 1, "not YAML"),
        ("a:\n\t- b\n", 2, "not YAML"),
        ("? {a: 1}\n: b\n", 1, "a key is a list or a map"),
        ("spec: {{ .Values.port }}\n", 1, "a key is a list or a map"),
    ];
    for (text, line, words) in table {
        let (_, problems) = outline(text);
        let found = problems.iter().any(|(at, message)| *at == Some(line) && message.contains(words));
        assert!(found, "{text:?}: {problems:?}");
    }
}

#[test]
fn values_have_the_types_of_yaml_1_2() {
    let table = [
        ("~", Value::Null),
        ("", Value::Null),
        ("true", Value::Bool(true)),
        ("yes", Value::String("yes".into())),
        ("off", Value::String("off".into())),
        ("12", Value::Int(12)),
        ("-3", Value::Int(-3)),
        ("0x1f", Value::Int(31)),
        ("0o17", Value::Int(15)),
        ("1.5", Value::Float(1.5)),
        (".inf", Value::String(".inf".into())),
        ("nan", Value::String("nan".into())),
        ("1.2.3", Value::String("1.2.3".into())),
        ("10.0.0.0/8", Value::String("10.0.0.0/8".into())),
        ("99999999999999999999", Value::Float(1e20)),
        ("\"12\"", Value::String("12".into())),
        ("!!str 12", Value::String("12".into())),
        ("2026-01-31", Value::String("2026-01-31".into())),
    ];
    for (text, want) in table {
        let read = read(&format!("a: {text}\n"));
        assert_eq!(read.documents[0].root.field("a").unwrap().value, want, "{text:?}");
    }
}

#[test]
fn aliases_are_written_out_within_a_budget() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    let (_, problems) = outline(&bomb);
    assert!(problems.iter().any(|(_, message)| message.contains("too many values")), "{problems:?}");

    let mut deep = String::from("a0: &a0 [x]\n");
    for level in 1..1000 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let (_, problems) = outline(&deep);
    assert!(problems.iter().any(|(_, message)| message.contains("nested")), "{problems:?}");

    let own_collection = outline("a: &a [1, *a]\n");
    assert!(!own_collection.1.is_empty());
}

#[test]
fn what_is_too_large_is_refused_and_not_read() {
    let nested = format!("a: {}", "[".repeat(100_000));
    assert!(!outline(&nested).1.is_empty());
    let large = format!("a: {}\n", "x".repeat(MAX_FILE));
    assert!(outline(&large).1[0].1.contains("bytes"));
    let many = "---\nkind: A\nmetadata: {name: a}\n".repeat(MAX_DOCUMENTS + 1);
    let (documents, problems) = outline(&many);
    assert_eq!(documents.len(), MAX_DOCUMENTS);
    assert!(problems[0].1.contains("documents"));
}
