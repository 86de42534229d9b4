//! Any pattern on any text: bounded, anchored, and never a surprise.

use super::{PathMatch, Pattern, has_prefix};

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
    });
}
