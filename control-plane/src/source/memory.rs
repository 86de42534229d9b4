//! Files that are only in memory: for tests, which then need no disk and no waiting.

use std::sync::Arc;

use super::{Reading, Texts};

/// A handful of texts by name.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    texts: Texts,
}

impl Memory {
    /// Writes a file.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.texts.insert(name.into(), Ok(text.into()));
        self
    }

    /// Deletes a file.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.texts.remove(&Arc::<str>::from(name));
        self
    }

    /// The files.
    #[must_use]
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// What is in the files.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading::of(&self.texts)
    }
}
