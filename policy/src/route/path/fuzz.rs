//! Any pattern on any text: bounded, anchored, and never a surprise.

use super::{PathMatch, Pattern, StringMatch, grpc_method, has_prefix};

#[test]
fn any_pattern_is_bounded_and_matches_whole_texts_only() {
    weft_fuzz::law!("pattern", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let (pattern, value) = text.split_once('\n').unwrap_or((text, ""));
        let Ok(compiled) = Pattern::new(pattern) else { return };
        assert!(pattern.chars().count() <= 1024);
        let matches = compiled.matches(value);
        if matches {
            // Anchored at both ends: what is beside it is never swallowed by an alternative.
            let only = Pattern::new(&format!("(?:{pattern})")).map(|same| same.matches(value));
            assert!(only.unwrap_or(true), "a group changes nothing");
        }
        let literal = pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/');
        assert!(!literal || matches == (pattern == value), "{pattern:?} on {value:?}");
        assert_eq!(StringMatch::Regex(compiled.clone()).matches(value), matches);
        assert!(value.is_empty() || PathMatch::Regex(compiled).matches(value) == matches);
    });
}

#[test]
fn any_prefix_covers_whole_segments_only() {
    weft_fuzz::law!("prefix", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let (prefix, path) = text.split_once('\n').unwrap_or(("", text));
        let prefix = prefix.trim_end_matches('/');
        let naive = prefix.is_empty() || {
            let (wanted, given): (Vec<_>, Vec<_>) = (prefix.split('/').collect(), path.split('/').collect());
            given.get(..wanted.len()) == Some(wanted.as_slice())
        };
        assert_eq!(has_prefix(path, prefix), naive, "{prefix:?} on {path:?}");
        let exact = PathMatch::Exact(path.into());
        assert!(path.is_empty() || exact.matches(path));
        assert!(path.is_empty() || PathMatch::Prefix(prefix.into()).matches(path) == naive);

        if let Some((service, method)) = grpc_method(path) {
            assert_eq!(format!("/{service}/{method}"), path, "two segments and nothing else");
            let exactly = |text: &str| Some(StringMatch::Exact(text.into()));
            let (both, neither) = ((exactly(service), exactly(method)), (exactly(method), exactly(service)));
            assert!(PathMatch::Grpc { service: both.0, method: both.1 }.matches(path));
            let swapped = PathMatch::Grpc { service: neither.0, method: neither.1 }.matches(path);
            assert_eq!(swapped, service == method);
        }
        assert!(PathMatch::Grpc { service: None, method: None }.matches(path), "any path is a method's");
    });
}
