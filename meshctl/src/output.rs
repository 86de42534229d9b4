//! One answer, three ways to print it: a page for people, JSON and YAML for scripts.
//!
//! A verb fills a struct and says twice what is in it: by `Serialize` for scripts, by [`Tell`] for people. All
//! of it goes out in one write at the end, so that an answer is whole or absent, and a closed pipe is no crash.

mod page;
pub(crate) mod yaml;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use page::{Align, Page, Table, Tone};

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value.
    Json,
    /// The same value as YAML.
    Yaml,
}

/// What a person is told.
pub(crate) trait Tell {
    /// Writes the answer on a page.
    fn tell(&self, page: &mut Page);
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    /// Whether the page may have colours.
    pub(crate) colour: bool,
}

impl Output {
    /// Colours where a person looks and has not asked for none (<https://no-color.org>).
    pub(crate) fn new(format: Format) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { format, colour: io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// Whether a person reads along.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints an answer.
    pub(crate) fn print(&self, answer: &(impl Serialize + Tell)) -> anyhow::Result<()> {
        let text = self.render(answer)?;
        write_out(&text)
    }

    /// Prints documents: YAML unless JSON is asked for, and then a `List` where there are several.
    pub(crate) fn print_documents(&self, documents: &[serde_json::Value]) -> anyhow::Result<()> {
        write_out(&match (self.format, documents) {
            (Format::Json, [one]) => serde_json::to_string_pretty(one)? + "\n",
            (Format::Json, all) => {
                let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": all});
                serde_json::to_string_pretty(&list)? + "\n"
            }
            (Format::Table | Format::Yaml, all) => {
                all.iter().map(yaml::render).collect::<Vec<_>>().join("---\n")
            }
        })
    }

    fn render(&self, answer: &(impl Serialize + Tell)) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Table => {
                let mut page = Page::new(self.colour);
                answer.tell(&mut page);
                page.into_text()
            }
            Format::Json => serde_json::to_string_pretty(answer)? + "\n",
            Format::Yaml => yaml::render(&serde_json::to_value(answer)?),
        })
    }
}

/// Writes to standard output. Whoever reads it may have seen enough: a closed pipe is no error.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Answer {
        proxies: u32,
    }

    impl Tell for Answer {
        fn tell(&self, page: &mut Page) {
            page.line(format!("{} proxies", self.proxies));
        }
    }

    #[test]
    fn one_answer_reads_in_every_format() {
        for (format, want) in [
            (Format::Table, "3 proxies\n"),
            (Format::Json, "{\n  \"proxies\": 3\n}\n"),
            (Format::Yaml, "proxies: 3\n"),
        ] {
            let output = Output { format, colour: false };
            assert_eq!(output.render(&Answer { proxies: 3 }).unwrap(), want);
        }
    }
}
