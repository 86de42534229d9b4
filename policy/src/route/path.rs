//! Paths and gRPC methods of matches.

use std::sync::Arc;

/// How a path is matched. The path is canonical and case-sensitive.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// All of it, trailing slash included.
    Exact(Arc<str>),
    /// Whole segments: `/v2` matches `/v2`, `/v2/` and `/v2/x`, not `/v2example`. Kept without trailing slash;
    /// the prefix `/` is the empty string.
    Prefix(Arc<str>),
    /// Anchored at both ends.
    Regex(Pattern),
    /// `/service/method` of gRPC; `None` is any.
    Grpc {
        /// Fully qualified: `shop.v1.Cart`.
        service: Option<StringMatch>,
        /// `Add`
        method: Option<StringMatch>,
    },
}

/// A string compared whole.
#[derive(Clone, Debug, PartialEq)]
pub enum StringMatch {
    /// Byte for byte.
    Exact(Arc<str>),
    /// Anchored at both ends.
    Regex(Pattern),
}

/// A regular expression that has been checked: at most 1024 characters, a compiled size of at most 64 KiB, and
/// a linear-time engine (catalogue row 49). Anchored at both ends.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    regex: regex::Regex,
}

impl Default for PathMatch {
    /// What the Gateway API fills in where no path is given: `PathPrefix /`.
    fn default() -> Self {
        Self::Prefix("".into())
    }
}

impl PathMatch {
    /// Whether a canonical path falls under this. An empty path counts as `/` (RFC 9110 §4.2.3).
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = if path.is_empty() { "/" } else { path };
        match self {
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => has_prefix(path, prefix),
            Self::Regex(pattern) => pattern.matches(path),
            Self::Grpc { service: None, method: None } => true,
            Self::Grpc { service, method } => grpc_method(path).is_some_and(|(of_service, name)| {
                let fits = |want: &Option<StringMatch>, is| want.as_ref().is_none_or(|want| want.matches(is));
                fits(service, of_service) && fits(method, name)
            }),
        }
    }
}

impl StringMatch {
    /// Whether all of `value` matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => value == &**exact,
            Self::Regex(pattern) => pattern.matches(value),
        }
    }
}

/// Whether `prefix` (without trailing slash) covers `path` by whole segments: `/v2` covers `/v2`, `/v2/` and
/// `/v2/x`, not `/v2example` (Gateway API `PathMatchPathPrefix`). The prefix `/`, kept empty, covers everything,
/// the `*` of `OPTIONS *` included.
#[must_use]
pub fn has_prefix(path: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `service` and `method` of a gRPC path `/service/method` (gRPC over HTTP/2, "Requests"); `None` for any
/// other path.
#[must_use]
pub fn grpc_method(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some((service, method))
}

impl Pattern {
    /// Compiles `text`, anchored.
    ///
    /// # Errors
    /// If it is too long, not a regular expression, or too large once compiled.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        if text.chars().count() > MAX_PATTERN {
            return Err(BadPattern::TooLong);
        }
        // Alone first: `)(` is no expression, but `^(?:)()$` around it would be one.
        regex_syntax_of(text)?;
        regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(MAX_COMPILED)
            .build()
            .map(|regex| Self { text: text.into(), regex })
            .map_err(BadPattern::from)
    }

    /// As written, without the anchors.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of `value` matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn regex_syntax_of(text: &str) -> Result<(), BadPattern> {
    regex::RegexBuilder::new(text).size_limit(MAX_COMPILED).build().map(drop).map_err(BadPattern::from)
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Over 1024 characters.
    #[error("a regular expression may have at most 1024 characters")]
    TooLong,
    /// Over 64 KiB once compiled.
    #[error("this regular expression compiles to more than 64 KiB; use smaller repetitions")]
    TooLarge,
    /// Not a regular expression.
    #[error("this is not a regular expression: {0}")]
    Syntax(String),
}

impl From<regex::Error> for BadPattern {
    fn from(error: regex::Error) -> Self {
        match error {
            regex::Error::CompiledTooBig(_) => Self::TooLarge,
            // The engine draws a picture over several lines; its last one says what is wrong.
            other => Self::Syntax(other.to_string().lines().last().unwrap_or_default().trim().into()),
        }
    }
}

const MAX_PATTERN: usize = 1024;
const MAX_COMPILED: usize = 64 << 10;

#[cfg(test)]
mod fuzz;
