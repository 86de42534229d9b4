//! A page for people: lines, headings and tables, with colours where they are wanted.
//!
//! Colours are ANSI by hand: five of them do not need a library. A cell keeps its tone beside its text, so that
//! columns are as wide as what is seen and not as what is written.

use std::fmt::Write as _;

/// Text that grows.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    colour: bool,
}

/// What a piece of text means. The colour follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Works, and worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// A heading, or the point of the line.
    Strong,
    /// Beside the point.
    Faint,
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Page {
    /// An empty page.
    pub(crate) const fn new(colour: bool) -> Self {
        Self { text: String::new(), colour }
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref().trim_end());
        self.text.push('\n');
    }

    /// An empty line, unless the page begins here or there is one already.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Text in a tone.
    pub(crate) fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        painted(self.colour, tone, text.as_ref())
    }

    /// A line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: impl AsRef<str>) {
        let painted = self.paint(tone, text);
        self.line(painted);
    }

    /// A table. Nothing, where it has no rows.
    pub(crate) fn table(&mut self, table: &Table) {
        table.write(&mut self.text, self.colour);
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

#[derive(Clone, Debug)]
struct Cell {
    text: String,
    tone: Tone,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), indent: 0 }
    }

    /// A table whose columns all hold words.
    pub(crate) fn of_words(columns: &[&'static str]) -> Self {
        Self {
            columns: columns.iter().map(|name| (*name, Align::Left)).collect(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// Set in by so many columns.
    pub(crate) const fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    /// One more row. What is missing is empty, what is too much is left out.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(Tone, String); N]) {
        self.rows.push(cells.into_iter().map(|(tone, text)| Cell { text: one_line(&text), tone }).collect());
    }

    fn write(&self, into: &mut String, colour: bool) {
        if self.rows.is_empty() {
            return;
        }
        let heading =
            self.columns.iter().map(|(name, _)| Cell { text: (*name).to_owned(), tone: Tone::Faint });
        let heading: Vec<Cell> = heading.collect();
        let titled = self.columns.iter().any(|(name, _)| !name.is_empty());
        let rows: Vec<&Vec<Cell>> = titled.then_some(&heading).into_iter().chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                rows.iter().filter_map(|row| row.get(at)).map(|cell| width(&cell.text)).max().unwrap_or(0)
            })
            .collect();
        for row in rows {
            let mut line = " ".repeat(self.indent);
            for ((cell, (_, align)), width_of) in row.iter().zip(&self.columns).zip(&widths) {
                let pad = " ".repeat(width_of.saturating_sub(width(&cell.text)));
                let text = painted(colour, cell.tone, &cell.text);
                // Two blanks between columns: values may hold one.
                let _ = match align {
                    Align::Left => write!(line, "{text}{pad}  "),
                    Align::Right => write!(line, "{pad}{text}  "),
                };
            }
            into.push_str(line.trim_end());
            into.push('\n');
        }
    }
}

/// Characters, which is columns for what is printed here: names, numbers, paths.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// What a peer or a file said must not end its row, or write on the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn painted(colour: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "31",
        Tone::Strong => "1",
        Tone::Faint => "2",
    };
    if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("version", Align::Left), ("requests", Align::Right)]);
        table.row([(Tone::Plain, "v1".into()), (Tone::Good, "900".into())]);
        table.row([(Tone::Plain, "a long one".into()), (Tone::Bad, "7".into())]);
        table
    }

    #[track_caller]
    fn renders(table: &Table, want: &str) {
        let mut page = Page::new(false);
        page.table(table);
        assert_eq!(page.into_text(), want);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        renders(&table(), "version     requests\nv1               900\na long one         7\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut page = Page::new(true);
        page.table(&table());
        let mut plain = String::new();
        let mut rest = page.into_text();
        while let Some(at) = rest.find('\x1b') {
            plain.push_str(&rest[..at]);
            rest = rest[at..].split_once('m').unwrap().1.to_owned();
        }
        renders(&table(), &(plain + &rest));
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        renders(&Table::of_words(&["a", "b"]), "");
    }

    #[test]
    fn a_value_cannot_end_its_row() {
        let mut table = Table::of_words(&["name"]);
        table.row([(Tone::Plain, "evil\n\x1b[2Jname".into())]);
        renders(&table, "name\nevil  [2Jname\n");
    }

    #[test]
    fn a_table_without_titles_has_no_heading() {
        let mut table = Table::of_words(&["", ""]).indented(2);
        table.row([(Tone::Plain, "mTLS".into()), (Tone::Plain, "yes".into())]);
        renders(&table, "  mTLS  yes\n");
    }
}
