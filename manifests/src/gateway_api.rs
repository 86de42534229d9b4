//! The Gateway API as operators write it: own types for v1.6.1, standard and experimental channel in one.
//!
//! Enums are open: a value that nobody here knows is kept as written, so that the object can be told
//! `UnsupportedValue` on its status. A type that failed to decode would have no status to be told on.

pub mod parent;
pub mod backend;
pub mod filter;
pub mod http_route;
pub mod grpc_route;

use std::sync::Arc;

use crate::reader::At;

/// A value of an enum that may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open<T> {
    /// One of those in v1.6.1.
    Known(T),
    /// As written.
    Other(Arc<str>),
}

impl<T: Copy> Open<T> {
    /// Reads a word.
    pub(crate) fn read(at: &At<'_>, words: &[(&str, T)]) -> Option<Self> {
        let text = at.text()?;
        let known = words.iter().find(|(word, _)| *word == &*text);
        Some(known.map_or_else(|| Self::Other(Arc::clone(&text)), |(_, value)| Self::Known(*value)))
    }
}

/// How a header, a query parameter or a gRPC method is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Byte for byte.
    #[default]
    Exact,
    /// A regular expression, anchored.
    RegularExpression,
}

impl Comparison {
    pub(crate) const WORDS: [(&'static str, Self); 2] =
        [("Exact", Self::Exact), ("RegularExpression", Self::RegularExpression)];
}

/// A header or query parameter of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMatch {
    /// As written.
    pub name: Arc<str>,
    /// As written.
    pub value: Arc<str>,
    /// `type`
    pub comparison: Open<Comparison>,
}

impl NamedMatch {
    pub(crate) fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let name = fields.need("name").and_then(|at| at.text());
        let value = fields.need("value").and_then(|at| at.text());
        let comparison = fields.get("type").and_then(|at| Open::read(&at, &Comparison::WORDS));
        fields.finish();
        Some(Self {
            name: name?,
            value: value?,
            comparison: comparison.unwrap_or(Open::Known(Comparison::Exact)),
        })
    }
}

/// Limits of the CRDs, which an API server enforces and a file has nobody to.
pub(crate) mod limit {
    pub(crate) const PARENTS: usize = 32;
    pub(crate) const HOSTNAMES: usize = 16;
    pub(crate) const RULES: usize = 16;
    pub(crate) const MATCHES: usize = 64;
    pub(crate) const MATCHES_OF_ALL_RULES: usize = 128;
    pub(crate) const CONDITIONS: usize = 16;
    pub(crate) const FILTERS: usize = 16;
    pub(crate) const BACKENDS: usize = 16;
    pub(crate) const HEADERS: usize = 16;
}
