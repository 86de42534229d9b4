//! A structural schema, in as few words as a definition needs.

use serde_json::{Map, Value, json};

/// A schema.
#[derive(Clone, Debug)]
pub(super) struct Schema(Map<String, Value>);

impl Schema {
    fn of(kind: &str) -> Self {
        Self(Map::new()).with("type", kind)
    }

    /// Fields, and no others.
    pub(super) fn object(says: &str) -> Self {
        Self::of("object").says(says)
    }

    /// Text.
    pub(super) fn text() -> Self {
        Self::of("string")
    }

    /// One of these.
    pub(super) fn words(words: &[&str]) -> Self {
        Self::text().with("enum", json!(words))
    }

    /// A duration (GEP-2257).
    pub(super) fn duration() -> Self {
        Self::text().pattern("^([0-9]{1,5}(h|m|s|ms)){1,4}$").up_to(32)
    }

    /// A whole number.
    pub(super) fn number(min: i64, max: i64) -> Self {
        let bounded = Self::of("integer").with("format", "int64").with("minimum", min);
        if max == i64::MAX { bounded } else { bounded.with("maximum", max) }
    }

    /// A port.
    pub(super) fn port() -> Self {
        Self::number(1, 65_535)
    }

    /// `true` or `false`.
    pub(super) fn flag() -> Self {
        Self::of("boolean")
    }

    /// A number or a text.
    pub(super) fn number_or_text() -> Self {
        Self(Map::new()).with("x-kubernetes-int-or-string", true)
    }

    /// Something whose type a schema cannot say, because it has two.
    pub(super) fn anything() -> Self {
        Self(Map::new()).with("x-kubernetes-preserve-unknown-fields", true)
    }

    /// Any number of these.
    pub(super) fn list(items: impl Into<Value>) -> Self {
        Self::of("array").with("items", items)
    }

    pub(super) fn says(self, text: &str) -> Self {
        self.with("description", text)
    }

    pub(super) fn up_to(self, characters: u64) -> Self {
        self.with("maxLength", characters)
    }

    pub(super) fn not_empty(self) -> Self {
        let word = if self.0.get("type") == Some(&"array".into()) { "minItems" } else { "minLength" };
        self.with(word, 1)
    }

    pub(super) fn at_most(self, items: usize) -> Self {
        self.with("maxItems", items)
    }

    pub(super) fn pattern(self, pattern: &str) -> Self {
        self.with("pattern", pattern)
    }

    pub(super) fn format(self, format: &str) -> Self {
        self.with("format", format)
    }

    /// No two items have the same value there.
    pub(super) fn by_key(self, key: &str) -> Self {
        self.with("x-kubernetes-list-type", "map").with("x-kubernetes-list-map-keys", json!([key]))
    }

    /// A rule in CEL.
    pub(super) fn rule(self, rule: &str, message: &str) -> Self {
        let mut rules = self.0.get("x-kubernetes-validations").cloned().unwrap_or_else(|| json!([]));
        if let Some(rules) = rules.as_array_mut() {
            rules.push(json!({"rule": rule, "message": message}));
        }
        self.with("x-kubernetes-validations", rules)
    }

    /// Exactly one of these fields. Not in CEL, whose cost counts every item of every list around it.
    pub(super) fn one_of(self, fields: &[&str]) -> Self {
        self.choice("oneOf", fields)
    }

    /// At least one of these fields.
    pub(super) fn any_of(self, fields: &[&str]) -> Self {
        self.choice("anyOf", fields)
    }

    /// At least one field.
    pub(super) fn says_something(self) -> Self {
        self.with("minProperties", 1)
    }

    /// A field that may be absent.
    pub(super) fn may(mut self, name: &str, field: impl Into<Value>) -> Self {
        let fields = self.0.entry("properties").or_insert_with(|| json!({}));
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(name.to_owned(), field.into());
        }
        self
    }

    /// A field that has to be there.
    pub(super) fn needs(mut self, name: &str, field: impl Into<Value>) -> Self {
        let needed = self.0.entry("required").or_insert_with(|| json!([]));
        if let Some(needed) = needed.as_array_mut() {
            needed.push(name.into());
        }
        self.may(name, field)
    }

    /// Keeps what it does not know, at every depth: somebody else decides what that means.
    pub(super) fn keeping_the_unknown(self) -> Self {
        let mut value = Value::Object(self.0);
        keep(&mut value);
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn choice(self, word: &str, fields: &[&str]) -> Self {
        let each: Vec<Value> = fields.iter().map(|field| json!({"required": [field]})).collect();
        self.with(word, each)
    }

    fn with(mut self, word: &str, value: impl Into<Value>) -> Self {
        self.0.insert(word.to_owned(), value.into());
        self
    }
}

impl From<Schema> for Value {
    fn from(schema: Schema) -> Self {
        Self::Object(schema.0)
    }
}

fn keep(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if schema.get("type") == Some(&"object".into()) {
        schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
    }
    if let Some(items) = schema.get_mut("items") {
        keep(items);
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields.into_iter().flat_map(|fields| fields.values_mut()).for_each(keep);
}
