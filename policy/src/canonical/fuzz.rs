//! Any path, against a second implementation that follows RFC 3986 §5.2.4 word by word and nothing else.

use super::{falls_under, is_ambiguous, path, readings, same, unescape};

#[test]
fn any_path_has_the_form_that_the_rfc_gives_it_or_none() {
    weft_fuzz::law!("path", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let form = path(text).ok();
        assert_eq!(form.as_deref(), by_the_rfc(text).as_deref(), "{text:?}");
        let Some(form) = form else { return };

        assert_eq!(path(&form).as_deref(), Ok(&*form), "the form of a form is itself");
        assert!(form.len() <= 3 * text.len(), "a form is no longer than all of it in escapes: {text:?}");
        assert!(form.starts_with('/') && form.is_ascii() && !form.contains(['?', '#']));
        assert!(!form.split('/').any(|segment| matches!(segment, "." | "..")), "{form}");
        // What another server decodes or merges before it looks is known to be in doubt.
        let decoded = form.replace("%2F", "/").replace(['\\'], "/").replace("%5C", "/");
        if decoded.contains("//") || decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
            assert!(is_ambiguous(&form), "{form}");
        }
        assert!(is_ambiguous(&form) || unescape(&form).is_some(), "{form}");
        let readings = readings(&form);
        assert!(readings.contains(&*form), "it may be read as it is written: {form}");
        assert!(readings.iter().all(|read| read.len() <= form.len()), "no reading makes it longer: {form}");

        // It is itself, falls under itself, and does not care which of its characters are written as escapes.
        let escaped = form.replace('!', "%21");
        assert!(same(&form, &escaped) && same(&escaped, &form), "{form}");
        assert!(falls_under(&form, "") && falls_under(&form, form.trim_end_matches('/')), "{form}");
        assert!(falls_under(&escaped, form.trim_end_matches('/')), "{form}");
    });
}

/// §6.2.2.1, §6.2.2.2, then `remove_dot_segments`, on strings, one step at a time.
fn by_the_rfc(text: &str) -> Option<String> {
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return None;
    }
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (byte, written, length) = match first {
            '%' => {
                let digits =
                    rest.get(1..3).filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
                (u8::from_str_radix(digits, 16).ok()?, format!("%{}", digits.to_ascii_uppercase()), 3)
            }
            first if first.is_ascii() => (u8::try_from(first).ok()?, first.to_string(), 1),
            first => (
                b'x',
                rest[..first.len_utf8()].bytes().map(|byte| format!("%{byte:02X}")).collect(),
                first.len_utf8(),
            ),
        };
        match byte {
            _ if byte.is_ascii_control() => return None,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' if first == '%' => {
                decoded.push(byte.into());
            }
            _ => decoded.push_str(&written),
        }
        rest = &rest[length..];
    }

    let (mut input, mut output) = (decoded, String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("/./") {
            input = format!("/{rest}");
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            // The RFC stays at the root where a path climbs above it; we refuse.
            output.truncate(output.rfind('/')?);
            input = format!("/{}", input.strip_prefix("/../").unwrap_or_default());
        } else {
            let end = input.get(1..)?.find('/').map_or(input.len(), |slash| slash + 1);
            output.push_str(&input[..end]);
            input = input[end..].to_owned();
        }
    }
    Some(output)
}
