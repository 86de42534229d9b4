//! The rules of HTTP/1 that a peer can break, each with a name of its own.
//!
//! The name stands in the log, in the metric and in `weft-error`, so that whoever is refused can see what to mend;
//! what was sent is never repeated.

use std::error::Error;
use std::fmt;
use std::io;

use weft_policy::refuse::Refusal;

/// A rule of HTTP/1, or a limit, that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// A line that ends in LF alone (RFC 9112 §2.2).
    BareLineFeed,
    /// CR that no LF follows (RFC 9112 §2.2).
    BareCarriageReturn,
    /// Not `method SP target SP version` (RFC 9112 §3).
    RequestLine,
    /// A method that is no token, is overlong, or is kept for this proxy's own use (RFC 9110 §9.1).
    Method,
    /// A target in none of the four forms, or with characters that no URI has (RFC 9112 §3.2).
    Target,
    /// The target is over [`super::head::MAX_TARGET`].
    TargetTooLong,
    /// Not HTTP/1.0 or HTTP/1.1 (RFC 9112 §2.3).
    Version,
    /// Not `version SP status SP reason` (RFC 9112 §4).
    StatusLine,
    /// A field name that is no token, or white space around it (RFC 9112 §5.1).
    FieldName,
    /// A control character in a field's value (RFC 9110 §5.5).
    FieldValue,
    /// A folded field line (RFC 9112 §5.2).
    Fold,
    /// More fields than a head may have.
    TooManyFields,
    /// A longer head than may be.
    HeadTooLarge,
    /// No Host, two of them, or one that is no `host[:port]` (RFC 9112 §3.2).
    Host,
    /// A length that is no plain number, or two lengths (RFC 9110 §8.6).
    ContentLength,
    /// A transfer coding other than one `chunked` (RFC 9112 §6.1).
    TransferEncoding,
    /// A transfer coding that exists and is not carried (RFC 9112 §6.1).
    UnknownCoding,
    /// A length beside a transfer coding (RFC 9112 §6.3).
    TwoLengths,
    /// A body where there can be none: `CONNECT`, `TRACE` (RFC 9110 §9.3.6, §9.3.8).
    Body,
    /// `Expect` with anything but `100-continue` (RFC 9110 §10.1.1).
    Expect,
    /// A chunk's size that is not plain hexadecimal, or is too large (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension with characters it cannot have, or an overlong one (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A chunk that does not end where its size says (RFC 9112 §7.1).
    ChunkEnd,
    /// A malformed trailer section (RFC 9112 §7.1.2).
    Trailer,
    /// A longer trailer section than may be.
    TrailersTooLarge,
    /// A head that took longer than [`super::HEAD`].
    HeadTimeout,
    /// A body that stood still for longer than [`super::QUIET`].
    BodyTimeout,
    /// More interim responses than one request may get.
    TooManyInterim,
    /// None of theirs: a head that was not complete when our memory came to its end.
    NoRoom,
}

impl Rule {
    /// Every rule, in the order of declaration.
    pub(crate) const ALL: [Self; 29] = [
        Self::BareLineFeed,
        Self::BareCarriageReturn,
        Self::RequestLine,
        Self::Method,
        Self::Target,
        Self::TargetTooLong,
        Self::Version,
        Self::StatusLine,
        Self::FieldName,
        Self::FieldValue,
        Self::Fold,
        Self::TooManyFields,
        Self::HeadTooLarge,
        Self::Host,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::UnknownCoding,
        Self::TwoLengths,
        Self::Body,
        Self::Expect,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailer,
        Self::TrailersTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::TooManyInterim,
        Self::NoRoom,
    ];

    /// Its name in `weft-error`, in the log and in the metric.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BareLineFeed => "bare_line_feed",
            Self::BareCarriageReturn => "bare_carriage_return",
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::Target => "target",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "version",
            Self::StatusLine => "status_line",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::Fold => "folded_line",
            Self::TooManyFields => "too_many_fields",
            Self::HeadTooLarge => "head_too_large",
            Self::Host => "host",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::UnknownCoding => "unknown_coding",
            Self::TwoLengths => "two_lengths",
            Self::Body => "body",
            Self::Expect => "expect",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailer => "trailer",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::TooManyInterim => "too_many_interim",
            Self::NoRoom => "no_room",
        }
    }

    /// The answer that a client gets who broke it.
    pub(crate) const fn refusal(self) -> Refusal {
        match self {
            Self::TooManyFields | Self::HeadTooLarge | Self::TrailersTooLarge => Refusal::HeadTooLarge,
            Self::TargetTooLong => Refusal::TargetTooLong,
            Self::HeadTimeout | Self::BodyTimeout => Refusal::HeadTimeout,
            Self::UnknownCoding => Refusal::NotSupported,
            Self::Version => Refusal::BadVersion,
            Self::Expect => Refusal::BadExpectation,
            Self::NoRoom => Refusal::Overloaded,
            _ => Refusal::BadRequest,
        }
    }

    /// The rule with that name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name().as_bytes() == name)
    }

    /// The rule whose breach `error` comes from, however deep it lies.
    pub(crate) fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut error = Some(error);
        while let Some(this) = error {
            if let Some(rule) = this.downcast_ref::<Self>() {
                return Some(*rule);
            }
            // An io::Error hides what it was made of from `source`.
            let inner = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(rule) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
                return Some(*rule);
            }
            error = this.source();
        }
        None
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/1 rule broken: {}", self.name())
    }
}

impl Error for Rule {}

impl From<Rule> for io::Error {
    fn from(rule: Rule) -> Self {
        Self::new(io::ErrorKind::InvalidData, rule)
    }
}

/// The method of the head that stands in a refused one's place: what the semantic conventions of OpenTelemetry call a
/// method that is not to be repeated. Nobody's head passes the gate with it.
pub(super) const REFUSED_METHOD: &str = "_OTHER";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_has_a_name_of_its_own_by_which_it_is_found() {
        let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name().as_bytes()), Some(rule));
        }
    }

    #[test]
    fn a_rule_is_found_behind_the_errors_it_travelled_in() {
        let error = io::Error::other(io::Error::from(Rule::ChunkSize));
        assert_eq!(Rule::behind(&io::Error::from(Rule::ChunkSize)), Some(Rule::ChunkSize));
        assert_eq!(Rule::behind(&error), None, "an io::Error does not say what it was made of");
        assert_eq!(Rule::behind(&io::Error::other("else")), None);
    }
}
