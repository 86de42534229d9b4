//! One form for a path, so that the same path is matched, authorized, recorded, forwarded and explained.
//!
//! Two parsers that read a path in two ways are a way around a policy (catalogue row 45). The rule has three parts.
//!
//! 1. **Always**: [`path`] brings a path into its one form before anybody looks at it, and that form is what goes on.
//!    Whatever it undoes is no longer there for a server to read differently. What is no path at all is refused.
//! 2. **Where policy looks at paths**: some spellings survive that, because undoing them would make another path, and
//!    servers read them in different ways ([`is_ambiguous`]). In authorization they match every path of a deny and no
//!    path of an allow; in routing they are refused where one of their [`readings`] falls under another rule. Both
//!    answer 400. Where nothing looks at paths they pass untouched: an object store's keys have `%2F` in them.
//! 3. **Beyond that** a path is compared with its escapes undone ([`same`], [`falls_under`]): `@` and `%40` are two
//!    paths by RFC 3986 and one resource to every server, and a policy is about resources.
//!
//! Paths are case-sensitive (RFC 3986 §6.2.2.1). A server that ignores case needs policies that say so, by a regular
//! expression.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::refuse::Refusal;

/// RFC 3986 §6.2.2: percent-encoded unreserved characters are decoded, hex digits written in upper case, dot
/// segments resolved. What is not ASCII is written in escapes. All other escapes stay as they are.
///
/// # Errors
/// `BadRequest` for what is no path: a broken escape, a control character (`%00` to `%1F`, `%7F`, or as such), a `#`, a
/// climb above the root, anything that does not begin with `/`.
pub fn path(path: &str) -> Result<Cow<'_, str>, Refusal> {
    if !path.starts_with('/') {
        return Err(Refusal::BadRequest);
    }
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let canonical = without_dots(&normalized(path)?, AboveRoot::Refused)?;
    Ok(if canonical == path { Cow::Borrowed(path) } else { Cow::Owned(canonical) })
}

/// Whether servers read this path, which has its one form already, in different ways. No policy about paths can tell
/// where such a request ends up. These are:
///
/// - `%2F`, `%5C` and `\`, which some take for a slash;
/// - `//`, which some take for one;
/// - `;` and `%3B`, from which on some cut a segment off;
/// - `%3F` and `%23`, where those that decode first cut the path off;
/// - `%25` before two digits, which some decode twice;
/// - escapes that are no UTF-8, among them the overlong forms of `.` and `/`;
/// - segments that end in `.` or `%20`, which some file systems drop.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut escapes_beyond_ascii = false;
    for (at, byte) in bytes.iter().enumerate() {
        let next = || bytes.get(at + 1).copied();
        let ends_segment = |after: usize| matches!(bytes.get(at + after), None | Some(b'/'));
        match byte {
            b';' | b'\\' => return true,
            b'/' if next() == Some(b'/') => return true,
            b'.' if ends_segment(1) => return true,
            b'%' => match (escaped(bytes, at), bytes.get(at + 3), bytes.get(at + 4)) {
                (Some(b'/' | b'\\' | b';' | b'?' | b'#'), ..) => return true,
                (Some(b' '), ..) if ends_segment(3) => return true,
                (Some(b'%'), Some(high), Some(low))
                    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                {
                    return true;
                }
                (Some(0x80..), ..) => escapes_beyond_ascii = true,
                _ => {}
            },
            _ => {}
        }
    }
    escapes_beyond_ascii && unescape(path).is_none()
}

/// What servers may take a path for that [is ambiguous](is_ambiguous): decoded once, twice or without a look at whether
/// it is UTF-8, with or without each of the things listed there. All have their dot segments resolved and climb no
/// further than the root.
///
/// There is no end to how software may read a path, so these show that one is unsafe and never that it is safe:
/// authorization does not go by them.
#[must_use]
pub fn readings(path: &str) -> BTreeSet<String> {
    let twice = normalized(&path.replace("%25", "%")).unwrap_or_else(|_| path.to_owned());
    let mut found = BTreeSet::from([path.to_owned(), unchecked(&twice), twice]);
    for read in [without_end, with_slashes, without_parameters, without_trailing_dots, with_single_slashes] {
        found.extend(found.iter().map(|path| read(path)).collect::<Vec<_>>());
    }
    found.iter().filter_map(|path| without_dots(path, AboveRoot::IsRoot).ok()).collect()
}

/// Whether a canonical path names what `wanted` names, by whichever of the two characters are written as escapes.
#[must_use]
pub fn same(path: &str, wanted: &str) -> bool {
    path == wanted || (has_escapes(path, wanted) && unescaped(path).eq(unescaped(wanted)))
}

/// Whether a canonical path falls under `prefix` by whole segments, by whichever of the two characters are written as
/// escapes. `prefix` has no slash at its end; the empty one covers everything, the `*` of `OPTIONS *` included.
///
/// Not for paths that are [ambiguous](is_ambiguous): an escaped slash would end a segment here.
#[must_use]
pub fn falls_under(path: &str, prefix: &str) -> bool {
    if !has_escapes(path, prefix) {
        return crate::route::path::has_prefix(path, prefix);
    }
    let mut path = unescaped(path);
    unescaped(prefix).all(|wanted| path.next() == Some(wanted)) && matches!(path.next(), None | Some(b'/'))
}

/// A path with its escapes undone, once; `None` if that is no UTF-8.
#[must_use]
pub fn unescape(path: &str) -> Option<Cow<'_, str>> {
    if path.contains('%') {
        String::from_utf8(unescaped(path).collect()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(path))
    }
}

fn has_escapes(path: &str, wanted: &str) -> bool {
    path.contains('%') || wanted.contains('%')
}

/// The bytes behind the escapes.
fn unescaped(path: &str) -> impl Iterator<Item = u8> {
    written(path).map(|(byte, _)| byte)
}

/// Every byte, and how it is written. A `%` that begins no escape stands for itself.
fn written(path: &str) -> impl Iterator<Item = (u8, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at;
        let byte = *path.as_bytes().get(begin)?;
        let (byte, length) = escaped(path.as_bytes(), begin).map_or((byte, 1), |byte| (byte, 3));
        at += length;
        // Only inside a character that is not ASCII, and then nobody asks how it is written, is this no text.
        Some((byte, path.get(begin..at).unwrap_or_default()))
    })
}

/// The byte that the escape at `at` stands for, if there is one.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = *bytes.get(at..at + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether nothing is to be done: no escape, no dot segment, nothing that has no place in a path.
fn is_plain(path: &str) -> bool {
    let mut after_slash = false;
    path.bytes().all(|byte| {
        let dot_segment = after_slash && byte == b'.';
        after_slash = byte == b'/';
        !dot_segment && matches!(byte, 0x21..=0x7E) && !matches!(byte, b'%' | b'#' | b'?')
    })
}

/// Every character in its one form, with dot segments as they are.
fn normalized(path: &str) -> Result<String, Refusal> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match byte {
            b'%' => (escaped(bytes, at).ok_or(Refusal::BadRequest)?, 3),
            b'#' | b'?' => return Err(Refusal::BadRequest),
            byte => (*byte, 1),
        };
        at += length;
        match byte {
            0..=0x1F | 0x7F => return Err(Refusal::BadRequest),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() || (length == 1 && byte.is_ascii()) => {
                out.push(char::from(byte))
            }
            _ => out.extend(['%', hex(byte >> 4), hex(byte & 0xF)]),
        }
    }
    Ok(out)
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Cut off where a `?` or `#` appears once it is decoded.
fn without_end(path: &str) -> String {
    let end = [path.find("%3F"), path.find("%23"), path.find(['?', '#'])].into_iter().flatten().min();
    path.get(..end.unwrap_or(path.len())).unwrap_or(path).to_owned()
}

fn with_slashes(path: &str) -> String {
    path.replace("%2F", "/").replace("%5C", "/").replace('\\', "/")
}

fn without_parameters(path: &str) -> String {
    each_segment(&path.replace("%3B", ";"), |segment| segment.split(';').next().unwrap_or_default())
}

/// As some file systems take names. `.` and `..` are names of their own.
fn without_trailing_dots(path: &str) -> String {
    each_segment(path, |segment| {
        let mut name = segment;
        while let Some(shorter) = name.strip_suffix("%20").or_else(|| name.strip_suffix(' ')).or_else(|| {
            let is_a_name = name.bytes().any(|byte| byte != b'.');
            name.strip_suffix('.').filter(|_| is_a_name)
        }) {
            name = shorter;
        }
        name
    })
}

fn with_single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    }
    single
}

fn each_segment(path: &str, read: impl Fn(&str) -> &str) -> String {
    path.split('/').map(read).collect::<Vec<_>>().join("/")
}

/// Overlong UTF-8 taken for the ASCII that it is by its low seven bits, as decoders do that check nothing.
fn unchecked(path: &str) -> String {
    let written: Vec<_> = written(path).collect();
    let mut rest = written.as_slice();
    let mut out = String::with_capacity(path.len());
    while let Some(((_, text), after)) = rest.split_first() {
        rest = match rest {
            [(high @ (0xC0 | 0xC1), _), (low, _), after @ ..]
            | [(0xE0, _), (high @ (0x80 | 0x81), _), (low, _), after @ ..]
            | [(0xF0, _), (0x80, _), (high @ (0x80 | 0x81), _), (low, _), after @ ..] => {
                out.push(char::from((high & 1) << 6 | (low & 0x3F)));
                after
            }
            _ => {
                out.push_str(text);
                after
            }
        };
    }
    out
}

/// What becomes of a `..` that has nothing above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AboveRoot {
    /// Such a path is an attempt at something.
    Refused,
    /// RFC 3986 §5.2.4: it is dropped.
    IsRoot,
}

/// Dot segments resolved (RFC 3986 §5.2.4).
fn without_dots(path: &str, above_root: AboveRoot) -> Result<String, Refusal> {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split('/').skip(1) {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." if segments.pop().is_none() && above_root == AboveRoot::Refused => {
                return Err(Refusal::BadRequest);
            }
            ".." => {}
            other => segments.push(other),
        }
    }
    if ends_in_dots {
        segments.push("");
    }
    Ok(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
