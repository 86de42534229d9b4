//! What the author of a pod says to us, in its annotations and one label, and how it is read: a word that is not understood
//! is refused, since what somebody meant to turn off would otherwise stay on.

use serde_json::Value;

use super::NotInjected;

/// What a pod's author says to us.
pub(super) struct Annotations<'p>(pub(super) Option<&'p Value>);

impl Annotations<'_> {
    /// What an annotation means; `None`: it is not there.
    pub(super) fn one_of<T>(
        &self,
        name: &'static str,
        help: &'static str,
        meaning: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, NotInjected> {
        let Some(text) = self.0.and_then(|all| all.get(name)).and_then(Value::as_str) else {
            return Ok(None);
        };
        let value = crate::reader::shorten(text);
        meaning(text).map(Some).ok_or(NotInjected::Annotation { name, value, help })
    }
}

/// `5432,9000-9010`, as the redirection takes it.
pub(super) fn ports(text: &str) -> Option<String> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => {
            port(from).zip(port(to)).filter(|(from, to)| from <= to).map(|(a, b)| format!("{a}-{b}"))
        }
        None => port(text).map(|port| port.to_string()),
    };
    let ranges: Option<Vec<String>> = text.split(',').map(range).collect();
    ranges.map(|ranges| ranges.join(","))
}

/// A quantity, well enough that the API server's own complaint is about nothing else.
pub(super) fn is_quantity(text: &str) -> bool {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let units = ["", "m", "k", "M", "G", "Ki", "Mi", "Gi"];
    number.parse::<f64>().is_ok() && text.len() <= 20 && units.contains(&unit)
}
