//! Where in a message something is wrong: errors know the field from the inside out, and nothing is paid for
//! where nothing is wrong.
//!
//! A decoder of a part knows only its own field; each level on the way out puts its name in front. What comes
//! out is the path that an operator and a test can follow: `ports[0].routes[1].rules[0].matches[0].path`.

use std::fmt::Display;
use std::time::Duration;

/// Why a resource is not taken over. It travels in `Ack.rejected` and ends in an object's status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{detail}", path, if path.is_empty() { "" } else { ": " })]
pub struct Rejected {
    /// Of the field, from the body of the resource; empty: the resource as a whole.
    pub path: String,
    /// What is wrong with it, for an operator. At most 512 bytes.
    pub detail: String,
}

/// A longer explanation is cut here: it is kept by the control plane for every proxy.
pub(crate) const MAX_DETAIL: usize = 512;

/// The most entries any list may have, where no smaller bound is named.
pub(crate) const MAX_LIST: usize = 4096;

/// The most bytes a text may have: the longest header values in use, and a path of that length.
pub(crate) const MAX_TEXT: usize = 8192;

/// The longest duration: ten thousand years, as `google.protobuf.Duration` documents it.
pub(crate) const MAX_SECONDS: u64 = 315_576_000_000;

impl Rejected {
    /// Something is wrong with the value itself; callers put the field in front with [`Rejected::under`].
    pub(crate) fn because(detail: impl Display) -> Self {
        let mut detail = detail.to_string();
        let mut end = detail.len().min(MAX_DETAIL);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail.truncate(end);
        Self { path: String::new(), detail }
    }

    /// The field that was not set and must be.
    pub(crate) fn missing(field: &str) -> Self {
        Self::because("is missing").under(field)
    }

    /// The same, seen from the message around it.
    pub(crate) fn under(mut self, field: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{field}{joint}{}", self.path);
        self
    }

    /// The same, seen from the list around it.
    pub(crate) fn at(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }
}

/// What has a name in a message.
pub(crate) trait Named<T> {
    /// Puts the field's name in front of the error's path, where there is an error.
    fn named(self, field: &str) -> Result<T, Rejected>;
}

impl<T> Named<T> for Result<T, Rejected> {
    fn named(self, field: &str) -> Self {
        self.map_err(|rejected| rejected.under(field))
    }
}

/// Decodes a list of at most `most` entries.
pub(crate) fn bounded<W, T, C>(
    field: &str,
    wire: impl IntoIterator<Item = W, IntoIter: ExactSizeIterator>,
    most: usize,
    mut decode: impl FnMut(W) -> Result<T, Rejected>,
) -> Result<C, Rejected>
where
    C: FromIterator<T>,
{
    let wire = wire.into_iter();
    if wire.len() > most {
        return Err(Rejected::because(format!("has {} entries, of which {most} are allowed", wire.len()))
            .under(field));
    }
    wire.enumerate()
        .map(|(index, item)| decode(item).map_err(|rejected| rejected.at(index).under(field)))
        .collect()
}

/// Decodes a list of at most [`MAX_LIST`] entries.
pub(crate) fn list<W, T, C>(
    field: &str,
    wire: impl IntoIterator<Item = W, IntoIter: ExactSizeIterator>,
    decode: impl FnMut(W) -> Result<T, Rejected>,
) -> Result<C, Rejected>
where
    C: FromIterator<T>,
{
    bounded(field, wire, MAX_LIST, decode)
}

/// A message that must be there.
pub(crate) fn required<W, T>(
    field: &str,
    wire: Option<W>,
    decode: impl FnOnce(W) -> Result<T, Rejected>,
) -> Result<T, Rejected> {
    decode(wire.ok_or_else(|| Rejected::missing(field))?).named(field)
}

/// A message that may be there.
pub(crate) fn optional<W, T>(
    field: &str,
    wire: Option<W>,
    decode: impl FnOnce(W) -> Result<T, Rejected>,
) -> Result<Option<T>, Rejected> {
    wire.map(decode).transpose().named(field)
}

/// Any text, of bounded length.
pub(crate) fn text(wire: &str) -> Result<&str, Rejected> {
    if wire.len() > MAX_TEXT {
        return Err(Rejected::because(format!("has {} bytes, of which {MAX_TEXT} are allowed", wire.len())));
    }
    Ok(wire)
}

/// A text whose empty form means "not set".
pub(crate) fn set(wire: &str) -> Option<&str> {
    (!wire.is_empty()).then_some(wire)
}

/// Anything with a parser and an error that an operator can read.
pub(crate) fn parsed<T>(wire: &str) -> Result<T, Rejected>
where
    T: std::str::FromStr<Err: Display>,
{
    text(wire)?.parse().map_err(Rejected::because)
}

/// A port number: 1 to 65535.
pub(crate) fn port(wire: u32) -> Result<u16, Rejected> {
    match u16::try_from(wire) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Rejected::because(format!("{wire} is not a port number from 1 to 65535"))),
    }
}

/// An enum whose number nobody here knows: a newer control plane wrote it.
pub(crate) fn unknown(what: &str, number: i32) -> Rejected {
    Rejected::because(format!("{number} is not a {what} that this build knows"))
}

/// A duration: not negative, with its nanoseconds in range.
pub(crate) fn duration(wire: prost_types::Duration) -> Result<Duration, Rejected> {
    let seconds = u64::try_from(wire.seconds).ok().filter(|&seconds| seconds <= MAX_SECONDS);
    let nanos = u32::try_from(wire.nanos).ok().filter(|&nanos| nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(Rejected::because(format!(
            "{}s and {}ns is not a duration between zero and ten thousand years",
            wire.seconds, wire.nanos
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_from_the_inside_out() {
        let error = list::<_, (), Vec<()>>("matches", [1], |_| Err(Rejected::missing("path")))
            .map_err(|rejected| rejected.at(0).under("rules"))
            .unwrap_err();
        assert_eq!(error.path, "rules[0].matches[0].path");
        assert_eq!(error.to_string(), "rules[0].matches[0].path: is missing");
        assert_eq!(Rejected::because("is torn").to_string(), "is torn");
    }

    #[test]
    fn a_detail_is_cut_between_characters() {
        let error = Rejected::because("é".repeat(MAX_DETAIL));
        assert!(error.detail.len() <= MAX_DETAIL && error.detail.chars().all(|c| c == 'é'));
    }

    #[test]
    fn a_duration_is_neither_negative_nor_endless() {
        let table = [
            ((0, 0), Some(Duration::ZERO)),
            ((1, 999_999_999), Some(Duration::new(1, 999_999_999))),
            ((315_576_000_000, 0), Some(Duration::from_secs(MAX_SECONDS))),
            ((315_576_000_001, 0), None),
            ((i64::MAX, 0), None),
            ((-1, 0), None),
            ((0, -1), None),
            ((1, 1_000_000_000), None),
            ((i64::MIN, i32::MIN), None),
        ];
        for ((seconds, nanos), want) in table {
            assert_eq!(duration(prost_types::Duration { seconds, nanos }).ok(), want, "{seconds} {nanos}");
        }
    }
}
