//! The format of the vectors.
//!
//! ```text
//! # A remark.
//! == cl-te: a length beside chunks
//! ref: RFC 9112 §6.1; catalogue 1
//! > POST / HTTP/1.1
//! > Host: api.shop
//! > Content-Length: 5
//! > Transfer-Encoding: chunked
//! >
//! | 0\r\n\r\n
//! reject 400
//! ```
//!
//! `>` sends a line and CRLF, `|` sends bytes with no line end. Both know `\r \n \t \0 \\ \s` (a space), `\xHH`, and
//! `\{100*text}` for a hundred times `text`. `until TEXT` waits until the origin has that, `await 100` for an interim
//! response, `end` closes the sender's direction. Every other line is a word and its argument: what is expected. Which
//! words there are is said where they are judged: `requests` and `responses`.

use std::path::Path;

/// One input, and what must become of it.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) id: String,
    pub(crate) title: String,
    /// Where the rule is from.
    pub(crate) reference: String,
    pub(crate) steps: Vec<Step>,
    /// `(word, argument)`, in order.
    pub(crate) expected: Vec<(String, String)>,
}

/// What the sender does.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Waits until the other end has received this.
    Until(Vec<u8>),
    /// Waits for an interim response.
    Await(u16),
    End,
}

/// Every vector of a folder, sorted by file name. Panics where one is malformed, with file and line.
pub(crate) fn read(folder: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("h1/vectors").join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let all: Vec<Vector> = files.iter().flat_map(|file| of_file(file)).collect();
    let mut ids: Vec<_> = all.iter().map(|vector| vector.id.as_str()).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).find(|two| two[0] == two[1]);
    assert!(twice.is_none(), "an id names one vector: {twice:?}");
    all
}

fn of_file(file: &Path) -> Vec<Vector> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut all: Vec<Vector> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}: {line}", file.display(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix("== ") {
            let (id, title) = head.split_once(": ").unwrap_or_else(|| panic!("{place}: `== id: title`"));
            all.push(Vector {
                id: id.to_owned(),
                title: title.to_owned(),
                reference: String::new(),
                steps: Vec::new(),
                expected: Vec::new(),
            });
            continue;
        }
        let vector = all.last_mut().unwrap_or_else(|| panic!("{place}: no `==` before it"));
        vector.line(line).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    for vector in &all {
        assert!(!vector.reference.is_empty(), "{}: {} has no ref", file.display(), vector.id);
        assert!(!vector.expected.is_empty(), "{}: {} expects nothing", file.display(), vector.id);
    }
    all
}

impl Vector {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ref:" => rest.clone_into(&mut self.reference),
            ">" => {
                let mut bytes = unescape(rest)?;
                bytes.extend(b"\r\n");
                self.send(bytes);
            }
            "|" => self.send(unescape(rest)?),
            "until" => self.steps.push(Step::Until(unescape(rest)?)),
            "await" => self.steps.push(Step::Await(rest.parse().map_err(|_| "no status".to_owned())?)),
            "end" => self.steps.push(Step::End),
            _ => self.expected.push((word.to_owned(), rest.to_owned())),
        }
        Ok(())
    }

    /// Lines that follow each other leave together.
    fn send(&mut self, bytes: Vec<u8>) {
        match self.steps.last_mut() {
            Some(Step::Send(before)) => before.extend(bytes),
            _ => self.steps.push(Step::Send(bytes)),
        }
    }

    /// Every argument of a word.
    pub(crate) fn all(&self, word: &str) -> impl Iterator<Item = &str> {
        self.expected.iter().filter(move |(have, _)| have == word).map(|(_, argument)| argument.as_str())
    }
}

/// Reads the escapes.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(&rest.as_bytes()[..at]);
        let code = rest[at + 1..].chars().next().ok_or("a lone backslash at the end")?;
        rest = &rest[at + 2..];
        match code {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '0' => out.push(0),
            's' => out.push(b' '),
            '\\' => out.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).ok_or("\\x wants two digits")?;
                out.push(u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?);
                rest = &rest[2..];
            }
            '{' => {
                let (inner, after) = rest.split_once('}').ok_or("\\{ wants }")?;
                let (count, inner) = inner.split_once('*').ok_or("\\{ wants COUNT*TEXT")?;
                let count = count.parse().map_err(|_| "\\{ wants a count".to_owned())?;
                out.extend(unescape(inner)?.repeat(count));
                rest = after;
            }
            other => return Err(format!("\\{other} means nothing")),
        }
    }
    out.extend(rest.as_bytes());
    Ok(out)
}

#[test]
fn a_vector_is_bytes_and_what_becomes_of_them() {
    assert_eq!(unescape(r"a\x00\{3*\r\n}\s\\").unwrap(), b"a\0\r\n\r\n\r\n \\");
    assert!(unescape(r"\q").is_err());
}
