//! Shared text out of JSON. serde has it behind a feature that every crate of the workspace would be built with again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text; `null` is empty, as Go writes what was never set.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    Ok(optional(from)?.unwrap_or_default())
}

/// A text that may be absent.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<str>>, D::Error> {
    Ok(Option::<Text>::deserialize(from)?.map(|text| text.0))
}

/// Texts by name.
pub(super) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Arc<str>, Arc<str>>, D::Error> {
    let words = Option::<BTreeMap<Text, Option<Text>>>::deserialize(from)?.unwrap_or_default();
    Ok(words.into_iter().map(|(name, word)| (name.0, word.map(|word| word.0).unwrap_or_default())).collect())
}

/// Texts in a row.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Arc<str>>, D::Error> {
    let texts = Option::<Vec<Text>>::deserialize(from)?.unwrap_or_default();
    Ok(texts.into_iter().map(|text| text.0).collect())
}

/// A list that is `null` is empty: Go writes one that it never made so.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(Arc<str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(AsText).map(Self)
    }
}

struct AsText;

impl Visitor<'_> for AsText {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(text.into())
    }
}
