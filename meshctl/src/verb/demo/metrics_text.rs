//! Metrics in the text format of OpenMetrics, as far as somebody reads them who knows what to look for.

/// One line: `name{label="value",…} 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'t> {
    pub(super) name: &'t str,
    labels: &'t str,
    pub(super) value: f64,
}

impl<'t> Sample<'t> {
    /// A label's value. Escapes are left as they are: the names of this mesh need none.
    pub(super) fn label(&self, name: &str) -> Option<&'t str> {
        let mut rest = self.labels;
        loop {
            let (key, after) = rest.split_once("=\"")?;
            let end = closing_quote(after)?;
            let (value, after) = after.split_at(end);
            if key.trim_start_matches(',').trim() == name {
                return Some(value);
            }
            rest = after.get(1..)?;
        }
    }
}

/// The samples of a page. Comments, and lines of any other shape, are passed over.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, labels, rest) = match line.split_once('{') {
        Some((name, after)) => {
            // A label's value may hold a brace.
            let mut end = 0;
            loop {
                let rest = after.get(end..)?;
                match rest.find(['"', '}'])? {
                    at if rest.as_bytes().get(at) == Some(&b'}') => {
                        end += at;
                        break;
                    }
                    at => end += at + 1 + closing_quote(rest.get(at + 1..)?)? + 1,
                }
            }
            (name, after.get(..end)?, after.get(end + 1..)?)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, "", rest)
        }
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// Where the text's first quote without a backslash before it is.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_whatever_their_values_hold() {
        let line = r#"weft_x_total{service="a,b=\"}\\",backend="shop/api:80"} 12 1700000000"#;
        let found: Vec<_> = samples(line).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name, found[0].value), ("weft_x_total", 12.0));
        assert_eq!(found[0].label("backend"), Some("shop/api:80"));
        assert_eq!(found[0].label("service"), Some(r#"a,b=\"}\\"#));
        assert_eq!(found[0].label("route"), None);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for text in ["", "# HELP a b", "a", "a{", "a{b=\"c", "a{b=\"c\"}", "a{b=\"c\"} x", "{\"", "é{ü=\"}"]
        {
            assert_eq!(samples(text).count(), 0, "{text}");
        }
        assert_eq!(samples("up 1").next().map(|sample| sample.value), Some(1.0));
    }
}
