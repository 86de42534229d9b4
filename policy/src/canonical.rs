//! One form for a path, so that the same path is matched, authorized, recorded, forwarded and explained.
//!
//! Two parsers that read a path in two ways are a way around a policy (catalogue row 45): what is ambiguous is refused,
//! not guessed.

use std::borrow::Cow;

use crate::refuse::Refusal;

/// RFC 3986 §6.2.2: percent-encoded unreserved characters are decoded, hex digits written in upper case, dot
/// segments resolved. `%2F` and `%5C` stay as they are: decoding them would make another path.
///
/// # Errors
/// `BadRequest` for what servers read in different ways: a broken escape, `%00`, a backslash, a climb above
/// the root, a path that does not begin with `/`.
pub fn path(path: &str) -> Result<Cow<'_, str>, Refusal> {
    if !path.starts_with('/') {
        return Err(Refusal::BadRequest);
    }
    let plain = !path.bytes().any(|b| matches!(b, b'%' | b'\\')) && !path.contains("/.");
    if plain {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in decoded.split('/').skip(1) {
        ends_in_slash = matches!(segment, "." | ".." | "");
        match segment {
            "." => {}
            ".." => {
                segments.pop().ok_or(Refusal::BadRequest)?;
            }
            other => segments.push(other),
        }
    }
    if ends_in_slash && segments.last().is_some_and(|last| !last.is_empty()) {
        segments.push("");
    }
    let canonical = format!("/{}", segments.join("/"));
    Ok(if canonical == path { Cow::Borrowed(path) } else { Cow::Owned(canonical) })
}

/// Whether servers read this path, which has its one form already, in different ways: one decodes `%2F` and `%5C`
/// before it looks, another merges `//`, a third cuts `;…` off every segment. No policy about paths can tell where
/// such a request ends up.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    let slash = |window: &[u8]| matches!(window, b"%2F" | b"%5C");
    let bytes = path.as_bytes();
    bytes.contains(&b';') || bytes.windows(2).any(|two| two == b"//") || bytes.windows(3).any(slash)
}

fn decode_unreserved(path: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Refusal::BadRequest) };
                let value = u8::try_from(high * 16 + low).map_err(|_| Refusal::BadRequest)?;
                match value {
                    0 => return Err(Refusal::BadRequest),
                    b'-' | b'.' | b'_' | b'~' => out.push(char::from(value)),
                    _ if value.is_ascii_alphanumeric() => out.push(char::from(value)),
                    _ => out.push_str(&format!("%{value:02X}")),
                }
            }
            b'\\' => return Err(Refusal::BadRequest),
            _ if byte.is_ascii() => out.push(char::from(byte)),
            _ => return Err(Refusal::BadRequest),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_read_in_different_ways_is_ambiguous() {
        for path in ["/a%2Fb", "/..%2Fa", "/a%5C..", "/a//b", "//", "/a/..;/b", "/a/.;x=1/b", "/a;v=1/b"] {
            assert!(is_ambiguous(&super::path(path).unwrap()), "{path}");
        }
        for path in ["/", "/a/b/", "/a..b", "/caf%C3%A9", "/100%25", "/a/..."] {
            assert!(!is_ambiguous(&super::path(path).unwrap()), "{path}");
        }
    }

    #[test]
    fn a_path_has_one_form() {
        let table: &[(&str, Result<&str, Refusal>)] = &[
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/a/./b", Ok("/a/b")),
            ("/a/../b", Ok("/b")),
            ("/a/%2e%2E/b", Ok("/b")),
            ("/a/.", Ok("/a/")),
            ("/a/b/..", Ok("/a/")),
            ("/a/..", Ok("/")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/a//b/", Ok("/a//b/")),
            ("/%41dmin", Ok("/Admin")),
            ("/a%2fb", Ok("/a%2Fb")),
            ("/a%5cb", Ok("/a%5Cb")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/..", Err(Refusal::BadRequest)),
            ("/a/../../b", Err(Refusal::BadRequest)),
            ("/a%00", Err(Refusal::BadRequest)),
            ("/a%2", Err(Refusal::BadRequest)),
            ("/a%zz", Err(Refusal::BadRequest)),
            ("/a\\b", Err(Refusal::BadRequest)),
            ("a", Err(Refusal::BadRequest)),
        ];
        for (path, want) in table {
            let got = super::path(path);
            assert_eq!(got.as_deref(), want.as_deref(), "{path}");
            if let Ok(form) = got {
                assert_eq!(super::path(&form).as_deref(), Ok(&*form), "{path} is not stable");
            }
        }
    }
}
