//! Headers and query parameters of matches.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::path::StringMatch;

/// A header that must be there with this value. Of a repeated header its values are joined by `,` first, as
/// RFC 9110 §5.3 allows, so that no value can hide behind another.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// Names ignore case.
    pub name: HeaderName,
    /// Values do not.
    pub value: StringMatch,
}

/// A query parameter that must be there with this value. Of a repeated one only the first counts (Gateway API
/// `HTTPQueryParamMatch`). Names and values are compared after percent-decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryMatch {
    /// Case-sensitive.
    pub name: Arc<str>,
    /// The value.
    pub value: StringMatch,
}

impl HeaderMatch {
    /// Whether the header is there with this value. Allocates only for a regular expression over a header that
    /// is repeated: the engine wants the joined value in one piece.
    #[must_use]
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        let Some(first) = values.next() else { return false };
        match &self.value {
            StringMatch::Exact(want) => {
                let rest = want.as_bytes().strip_prefix(first.as_bytes());
                let rest =
                    values.fold(rest, |rest, value| rest?.strip_prefix(b",")?.strip_prefix(value.as_bytes()));
                rest.is_some_and(<[u8]>::is_empty)
            }
            StringMatch::Regex(pattern) => {
                let mut all = Cow::Borrowed(first.as_bytes());
                for value in values {
                    let joined = all.to_mut();
                    joined.push(b',');
                    joined.extend_from_slice(value.as_bytes());
                }
                std::str::from_utf8(&all).is_ok_and(|value| pattern.matches(value))
            }
        }
    }
}

impl QueryMatch {
    /// Whether the query (without `?`) has this parameter with this value. Allocates only for a regular
    /// expression over a value with percent escapes. `+` is itself: a query is not a form (RFC 3986 §3.4).
    #[must_use]
    pub fn matches(&self, query: Option<&str>) -> bool {
        let parameters = query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
        let mut named = parameters
            .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
            .filter(|(name, _)| decoded(name).eq(self.name.bytes()));
        let Some((_, value)) = named.next() else { return false };
        match &self.value {
            StringMatch::Exact(want) => decoded(value).eq(want.bytes()),
            StringMatch::Regex(pattern) => {
                let value = if value.contains('%') {
                    String::from_utf8(decoded(value).collect()).map(Cow::Owned)
                } else {
                    Ok(Cow::Borrowed(value))
                };
                value.is_ok_and(|value| pattern.matches(&value))
            }
        }
    }
}

/// The bytes of `text` with `%XX` decoded. What is no valid escape stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte == b'%' {
            let mut ahead = bytes.clone();
            if let (Some(high), Some(low)) = (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
                bytes = ahead;
                return Some(high << 4 | low);
            }
        }
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::path::Pattern;

    fn exact(value: &str) -> StringMatch {
        StringMatch::Exact(value.into())
    }

    fn regex(pattern: &str) -> StringMatch {
        StringMatch::Regex(Pattern::new(pattern).unwrap())
    }

    #[test]
    fn a_header_matches_by_any_case_of_its_name_and_the_exact_case_of_its_value() {
        let lines: &[(&str, &str)] =
            &[("Version", "two"), ("color", "blue"), ("Color", "green"), ("empty", "")];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers.insert("latin", http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let table = [
            ("version", exact("two"), true),
            ("version", exact("Two"), false),
            ("version", exact("tw"), false),
            ("version", exact("two,"), false),
            ("version", regex("t.o"), true),
            ("version", regex("t"), false),
            // Repeated: joined by a comma, so that no value can hide behind another (RFC 9110 §5.3).
            ("color", exact("blue"), false),
            ("color", exact("green"), false),
            ("color", exact("blue,green"), true),
            ("color", exact("blue,greener"), false),
            ("color", regex("blue"), false),
            ("color", regex("blue,gr.*"), true),
            ("empty", exact(""), true),
            ("absent", exact(""), false),
            ("absent", regex(".*"), false),
            ("latin", regex(".*"), false),
        ];
        for (name, value, want) in table {
            let header = HeaderMatch { name: name.parse().unwrap(), value };
            assert_eq!(header.matches(&headers), want, "{header:?}");
        }
    }

    #[test]
    fn of_a_repeated_query_parameter_only_the_first_counts() {
        // Gateway API `HTTPQueryParamMatch`: exact matches of names and values, after percent-decoding.
        let query = Some("animal=whale&animal=dolphin&a%20b=c%2Fd&flag&x=1=2&plus=a+b&bad=%zz%4&&=none");
        let table = [
            ("animal", exact("whale"), true),
            ("animal", exact("dolphin"), false),
            ("Animal", exact("whale"), false),
            ("animal", regex("wh.*"), true),
            ("animal", regex("wh"), false),
            ("a b", exact("c/d"), true),
            ("a b", regex("c/."), true),
            ("flag", exact(""), true),
            ("x", exact("1=2"), true),
            ("plus", exact("a+b"), true),
            ("bad", exact("%zz%4"), true),
            ("absent", exact(""), false),
        ];
        for (name, value, want) in table {
            let parameter = QueryMatch { name: name.into(), value };
            assert_eq!(parameter.matches(query), want, "{parameter:?}");
        }
        assert!(!QueryMatch { name: "a".into(), value: exact("") }.matches(None));
    }
}
