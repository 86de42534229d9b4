//! JSON in printable ASCII only. serde_json escapes what JSON must; a terminal also obeys DEL and the C1 controls
//! (U+009B begins an escape sequence), and right-to-left marks reorder what a person reads.

use std::io::{self, Write};

use serde_json::ser::Formatter;

pub(super) struct PrintableAscii;

impl Formatter for PrintableAscii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let plain = |byte: &u8| (0x20..0x7f).contains(byte);
        if fragment.as_bytes().iter().all(plain) {
            return out.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            match u8::try_from(character).ok().filter(plain) {
                Some(byte) => out.write_all(&[byte])?,
                None => {
                    for unit in character.encode_utf16(&mut units) {
                        write!(out, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
