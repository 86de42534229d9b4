//! The architecture as a test: who may use whom, what a file may look like. The tables here are the ones of
//! ARCHITECTURE.md; a change of either is a change of the design and is made in both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weft_tests::figures;

/// Which crates of ours a crate may use, outside of its own tests.
const MAY_USE: &[(&str, &[&str])] = &[
    ("weft-policy", &[]),
    ("weft-fuzz", &[]),
    ("weft-manifests", &["weft-policy"]),
    ("weft-proto", &["weft-policy"]),
    ("weft-certs", &["weft-policy"]),
    ("weft-control-plane", &["weft-policy", "weft-manifests", "weft-proto", "weft-certs"]),
    ("weft-proxy", &["weft-policy", "weft-proto", "weft-certs"]),
    ("weft-cni", &[]),
    ("weft-meshctl", &["weft-policy", "weft-manifests", "weft-proto", "weft-certs"]),
    (
        "weft-tests",
        &["weft-policy", "weft-manifests", "weft-proto", "weft-certs", "weft-control-plane", "weft-proxy"],
    ),
    (
        "weft-benches",
        &["weft-policy", "weft-manifests", "weft-proto", "weft-certs", "weft-control-plane", "weft-proxy"],
    ),
];

/// Which of our crates may use an outside crate. One that is not listed may be used by all but `weft-policy`.
const ONLY: &[(&str, &[&str])] = &[
    ("granit-parser", &["weft-manifests"]),
    ("prost", &["weft-proto", "weft-control-plane"]),
    ("tonic", &["weft-proto", "weft-control-plane", "weft-proxy", "weft-meshctl"]),
    ("rcgen", &["weft-certs"]),
    ("rustls", &["weft-certs", "weft-control-plane", "weft-proxy"]),
    ("notify", &["weft-control-plane"]),
    ("kube", &["weft-control-plane", "weft-meshctl"]),
    ("k8s-openapi", &["weft-control-plane", "weft-meshctl"]),
    ("socket2", &["weft-proxy"]),
    ("hickory-resolver", &["weft-proxy"]),
    ("hickory-proto", &["weft-proxy"]),
    ("opentelemetry", &["weft-proxy"]),
    ("h2", &["weft-proxy"]),
    ("hyper", &["weft-control-plane", "weft-proxy", "weft-meshctl"]),
    ("clap", &["weft-control-plane", "weft-proxy", "weft-meshctl"]),
    ("clap_complete", &["weft-meshctl"]),
    ("turmoil", &[]),
];

/// All that `policy` may use: it is pure.
const PURE: &[&str] = &["http", "ipnet", "regex", "thiserror"];

#[test]
fn crates_use_only_what_the_table_says() {
    for (krate, uses) in dependencies() {
        let row = MAY_USE.iter().find(|(name, _)| *name == krate);
        let (_, allowed) = row.unwrap_or_else(|| panic!("{krate} has no row: say what it may use"));
        let ours = uses.iter().filter(|used| used.starts_with("weft-"));
        let forbidden: Vec<_> = ours.filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "{krate} uses {forbidden:?}");
    }
}

#[test]
fn outside_crates_are_used_where_the_table_says() {
    for (krate, uses) in dependencies() {
        if ["weft-tests", "weft-benches"].contains(&krate.as_str()) {
            continue; // they stand outside and may use all
        }
        for (outside, allowed) in ONLY {
            let fits = !uses.contains(*outside) || allowed.contains(&krate.as_str());
            assert!(fits, "{krate} uses {outside}, which is for {allowed:?}");
        }
    }
}

#[test]
fn policy_is_pure() {
    let uses = &dependencies()["weft-policy"];
    assert_eq!(uses.iter().map(String::as_str).collect::<Vec<_>>(), PURE);
    let bans = fs::read_to_string(root().join("policy/clippy.toml")).unwrap();
    for banned in ["std::time::Instant::now", "std::time::SystemTime::now", "std::env::var"] {
        assert!(bans.contains(banned), "policy/clippy.toml no longer bans {banned}");
    }
}

#[test]
fn there_is_one_of_each_of_these() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for single in ["hyper", "h2", "http", "rustls", "tokio", "tonic", "prost"] {
        let versions = lock.matches(&format!("name = \"{single}\"\n")).count();
        assert_eq!(versions, 1, "{versions} versions of {single} in Cargo.lock");
    }
    // The lock also names what no feature of ours asks for; the tree has what is built.
    let tree = cargo(&["tree", "--workspace", "--prefix", "none", "--offline"]);
    assert!(tree.contains("\naws-lc-rs v"), "the tree could not be read: {tree}");
    let asks =
        cargo(&["tree", "--workspace", "--prefix", "none", "--offline", "--depth", "1", "--invert", "ring"]);
    let asking: Vec<_> = asks.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        asking,
        ["weft-certs"],
        "ring is a cipher of records here, and nobody else's provider: {asks}"
    );
}

#[test]
fn every_file_says_what_it_does_and_holds_one_idea() {
    for file in sources() {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let is_test = name.contains("/tests") || name.starts_with("tests/");
        assert!(is_test || text.starts_with("//!"), "{name} does not open with what it does and why");
        let body = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = body.lines().count();
        assert!(is_test || lines <= LONGEST, "{name}: {lines} lines; split it by step");
        let stem = file.file_stem().unwrap().to_string_lossy();
        assert!(!NO_IDEA.contains(&&*stem), "{name}: a thing with no home is a concept with no name yet");
    }
}

#[test]
fn nothing_unsafe_stands_in_our_code() {
    let files = sources();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found: Vec<_> =
            code.filter(|line| line.contains(concat!("unsafe", " ")) && !line.contains('"')).collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
    let lints = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(lints.contains(concat!("unsafe", "_code = \"deny\"")), "the compiler no longer denies it");
    figures::report(13, format!("0 lines of unsafe in {} files", files.len()), true);
}

#[test]
fn the_table_of_contents_of_a_path_is_in_the_order_of_the_path() {
    assert!(fs::read_to_string(root().join("rustfmt.toml")).unwrap().contains("reorder_modules = false"));
    for (krate, path) in PATHS {
        let contents = fs::read_to_string(root().join(krate).join("src/lib.rs")).unwrap();
        let modules: Vec<_> =
            contents.lines().filter_map(|line| line.split("mod ").nth(1)?.strip_suffix(';')).collect();
        let found: Vec<_> = modules.into_iter().filter(|module| path.contains(module)).collect();
        assert_eq!(&found, path, "{krate}/src/lib.rs");
    }
}

/// The steps that a request, and a change, pass, in their order.
const PATHS: &[(&str, &[&str])] = &[
    (
        "proxy",
        &["accept", "original_dst", "way_in", "detect", "gate", "inbound", "outbound", "upstream", "relay"],
    ),
    ("control-plane", &["source", "world", "compile", "publish", "serve"]),
    ("certs", &["request", "authority", "bundle", "verify", "tls", "rotation"]),
];

/// Lines of a file before its tests.
const LONGEST: usize = 420;
const NO_IDEA: &[&str] = &["utils", "util", "common", "helpers", "misc", "mod"];

/// What each of our crates uses, without what only its tests and its build use.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let uses = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let own = all.filter(|dependency| dependency["kind"].is_null());
        own.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
    };
    packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), uses(package))).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let said = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every Rust source of ours.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for krate in [
        "policy",
        "manifests",
        "proto",
        "certs",
        "control-plane",
        "proxy",
        "cni",
        "meshctl",
        "tests",
        "benches",
    ] {
        collect(&root().join(krate), &mut found);
    }
    assert!(found.len() > 200, "only {} sources found", found.len());
    found
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}
