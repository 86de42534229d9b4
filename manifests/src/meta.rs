//! `metadata`: what every object has, and the rules for names that everything after relies on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::Value;
use crate::reader::{At, Fields};

/// What every object says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `default` where none is written.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
    /// For selectors.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// For people.
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// `creationTimestamp` in seconds since 1970; 0 where there is none (files).
    pub created: u64,
    /// Counts changes of `spec`; 0 where there is none (files).
    pub generation: u64,
}

impl Metadata {
    /// An object by name, with nothing else said.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            created: 0,
            generation: 0,
        }
    }

    /// Older first, then by namespace and name: who wins a conflict (Gateway API, "Conflicts").
    #[must_use]
    pub fn seniority(&self) -> (u64, &str, &str) {
        (self.created, &self.namespace, &self.name)
    }
}

/// Reads `metadata`. `None` if there is no usable name or namespace; the log says why.
pub(crate) fn read(at: &At<'_>, is_name: fn(&str) -> Result<(), &'static str>) -> Option<Metadata> {
    let mut fields = at.fields()?;
    let name = fields.need("name").and_then(|at| named(&at, is_name));
    let namespace = match fields.get("namespace") {
        Some(at) => at.parse(|text| namespace(text).map(|()| text.into()), "give the namespace another name"),
        None => Some("default".into()),
    };
    let labels = words(&mut fields, "labels");
    let annotations = words(&mut fields, "annotations");
    let created = fields
        .get("creationTimestamp")
        .and_then(|at| {
            at.parse(|text| unix_seconds(text).ok_or("not a UTC time"), "write 2026-01-31T12:00:00Z")
        })
        .unwrap_or(0);
    let generation = fields.get("generation").and_then(|at| at.number(0, i64::MAX)).unwrap_or(0);
    fields.skip(&[
        "uid",
        "resourceVersion",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "generateName",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ]);
    fields.finish();
    Some(Metadata { namespace: namespace?, name: name?, labels, annotations, created, generation })
}

fn named(at: &At<'_>, is_name: fn(&str) -> Result<(), &'static str>) -> Option<Arc<str>> {
    at.parse(|text| is_name(text).map(|()| text.into()), "use lower-case letters, digits and dashes")
}

/// A map of text to text. Labels that are numbers in YAML are a common slip with a clear meaning; Kubernetes
/// refuses them, and so do we, or a file would work here and not there.
pub(crate) fn words(fields: &mut Fields<'_>, name: &'static str) -> BTreeMap<Arc<str>, Arc<str>> {
    let Some(at) = fields.get(name) else { return BTreeMap::new() };
    at.entries()
        .into_iter()
        .filter_map(|(key, value)| match value.value() {
            Value::Null => Some((Arc::clone(key), "".into())),
            _ => Some((Arc::clone(key), value.text()?)),
        })
        .collect()
}

/// A DNS label, and none of the two words by which the protocol tells an address (`ip/10.0.0.1`) and a host name
/// (`host/api.shop`) from an object (`shop/api`): proxies would read the names of its objects as something else.
pub(crate) fn namespace(text: &str) -> Result<(), &'static str> {
    if matches!(text, "ip" | "host") {
        return Err("`ip` and `host` are words of the mesh's own and cannot be namespaces");
    }
    dns_label(text)
}

/// A DNS label (RFC 1123 §2.1): names of namespaces, Services and ports.
pub(crate) fn dns_label(text: &str) -> Result<(), &'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty()
        || text.len() > 63
        || !text.bytes().all(inner)
        || text.starts_with('-')
        || text.ends_with('-')
    {
        return Err("a DNS label has 1 to 63 of a-z, 0-9 and dash, and no dash at either end");
    }
    Ok(())
}

/// A DNS subdomain (RFC 1123 §2.1): names of all other objects.
pub(crate) fn dns_subdomain(text: &str) -> Result<(), &'static str> {
    if text.len() > 253 || !text.split('.').all(|label| dns_label(label).is_ok()) {
        return Err("a name has at most 253 of a-z, 0-9, dash and dot, and no empty part between dots");
    }
    Ok(())
}

/// RFC 3339 in UTC without fractions, the only form an API server writes.
fn unix_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let three = |text: &str, by: char| -> Option<[u64; 3]> {
        let mut parts = text
            .split(by)
            .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u64>().ok()).flatten());
        let found = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(time.split('.').next()?, ':')?;
    let plausible = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !plausible {
        return None;
    }
    // Days from civil: years begin in March, so that the leap day is the last of its year.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creation_timestamps_are_seconds_since_1970() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:30:45Z", Some(951_827_445)),
            ("2026-07-16T00:00:00Z", Some(1_784_160_000)),
            ("2026-07-16T00:00:00.123Z", Some(1_784_160_000)),
            ("2026-07-16T00:00:00+02:00", None),
            ("2026-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("2026-07-16", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
        ];
        for (text, want) in table {
            assert_eq!(unix_seconds(text), want, "{text}");
        }
    }

    #[test]
    fn a_namespace_is_no_word_of_the_protocol() {
        for reserved in ["ip", "host"] {
            let text =
                format!("{{apiVersion: v1, kind: Service, metadata: {{name: a, namespace: {reserved}}}}}");
            let loaded = crate::load::load(&[("a.yaml", text.as_str())]);
            let about = |found: &&crate::diagnostic::Diagnostic| found.field == "metadata.namespace";
            let finding = loaded.diagnostics.iter().find(about).unwrap();
            assert!(finding.is_error() && loaded.objects.is_empty(), "{finding}");
            assert!(finding.message.contains("words of the mesh's own"), "{finding}");
            assert!(namespace(reserved).is_err() && dns_label(reserved).is_ok(), "a name may be: {reserved}");
        }
        assert!(namespace("hosts").is_ok() && namespace("ip4").is_ok());
    }

    #[test]
    fn names_are_what_dns_and_spiffe_can_carry() {
        for good in ["a", "web", "web-1", "0web"] {
            assert!(dns_label(good).is_ok() && dns_subdomain(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "..", "a..b", &"a".repeat(254)] {
            assert!(dns_label(bad).is_err() && dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(dns_label("a.b").is_err() && dns_subdomain("a.b").is_ok());
    }
}
