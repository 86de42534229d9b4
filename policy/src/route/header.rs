//! Headers and query parameters of matches.

use std::sync::Arc;

use http::HeaderName;

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
