//! Follows a body in the chunked transfer coding (RFC 9112 §7.1) without holding any of it.
//!
//! A byte goes by only when it continues something valid, so that what was already passed on was valid so far. White
//! space around sizes, line feeds alone and signs, which some parsers forgive, are how two parsers come to see two
//! different bodies (CVE-2025-55315, CVE-2021-32714).

use super::rule::Rule;
use crate::message::text::{is_token, is_value};

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    place: Place,
    /// Bytes of extensions, or of the trailer section, so far.
    spent: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a size of so many digits.
    Size { digits: u8, size: u64 },
    /// In what follows `;` on the size's line.
    Extension { size: u64 },
    /// After the CR of the size's line.
    SizeEnd { size: u64 },
    /// So many bytes of data are left.
    Data(u64),
    /// CR must come.
    DataEnd,
    /// LF must come.
    DataEnded,
    /// At the beginning of a trailer line, or of the empty line.
    Line,
    /// In a trailer's name.
    Name,
    /// In its value.
    Value,
    /// After its CR.
    LineEnd,
    /// After the CR of the empty line.
    LastEnd,
    /// All of it has gone by.
    Done,
}

/// What comes next of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// So many bytes that are not data,
    pub(crate) framing: usize,
    /// and then so many that are.
    pub(crate) data: usize,
}

impl Chunked {
    /// Before the first chunk.
    pub(crate) const fn new() -> Self {
        Self { place: SIZE, spent: 0 }
    }

    /// Whether all of the body has gone by.
    pub(crate) const fn is_done(self) -> bool {
        matches!(self.place, Place::Done)
    }

    /// Whether only the trailer section is left.
    pub(crate) const fn is_in_trailers(self) -> bool {
        matches!(self.place, Place::Line | Place::Name | Place::Value | Place::LineEnd | Place::LastEnd)
    }

    /// Follows `bytes`: how many of them belong to the body and may go by, and what the next one breaks.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Result<(), Rule>) {
        let mut at = 0;
        loop {
            let (piece, result) = self.piece(bytes.get(at..).unwrap_or_default());
            let taken = piece.framing + piece.data;
            at += taken;
            if taken == 0 || result.is_err() || self.is_done() {
                return (at, result);
            }
        }
    }

    /// Follows `bytes` to the end of the first data in them, or to where the trailer section begins.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> (Piece, Result<(), Rule>) {
        let mut framing = 0;
        while !self.is_done() {
            if let Place::Data(left) = self.place {
                let here = bytes.len() - framing;
                let data = usize::try_from(left).map_or(here, |left| left.min(here));
                self.place = match left - data as u64 {
                    0 => Place::DataEnd,
                    left => Place::Data(left),
                };
                return (Piece { framing, data }, Ok(()));
            }
            let Some(&byte) = bytes.get(framing) else { break };
            let ends_data = self.place == Place::SizeEnd { size: 0 };
            match self.step(byte) {
                Ok(place) => self.place = place,
                Err(rule) => return (Piece { framing, data: 0 }, Err(rule)),
            }
            framing += 1;
            if ends_data {
                break;
            }
        }
        (Piece { framing, data: 0 }, Ok(()))
    }

    fn step(&mut self, byte: u8) -> Result<Place, Rule> {
        Ok(match (self.place, byte) {
            (Place::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(Rule::ChunkSize);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Place::Size { digits: digits + 1, size: size << 4 | digit }
            }
            (Place::Size { digits: 0, .. }, _) => return Err(Rule::ChunkSize),
            (Place::Size { size, .. }, b'\r') | (Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Size { size, .. }, b';') => {
                self.spend(Place::Extension { size }, Rule::ChunkExtension)?
            }
            (Place::Size { .. }, b'\n') | (Place::Extension { .. }, b'\n') => return Err(Rule::BareLineFeed),
            (Place::Size { .. }, _) => return Err(Rule::ChunkSize),
            (Place::Extension { size }, _) if is_value(byte) => {
                self.spend(Place::Extension { size }, Rule::ChunkExtension)?
            }
            (Place::Extension { .. }, _) => return Err(Rule::ChunkExtension),
            (Place::SizeEnd { size: 0 }, b'\n') => {
                self.spent = 0;
                Place::Line
            }
            (Place::SizeEnd { size }, b'\n') => Place::Data(size),
            (Place::SizeEnd { .. }, _) => return Err(Rule::BareCarriageReturn),
            (Place::DataEnd, b'\r') => Place::DataEnded,
            (Place::DataEnded, b'\n') => SIZE,
            (Place::DataEnd | Place::DataEnded, _) => return Err(Rule::ChunkEnd),
            (Place::Line, b'\r') => Place::LastEnd,
            (Place::Line, b' ' | b'\t') => return Err(Rule::Fold),
            (Place::Line | Place::Name, _) if is_token(byte) => {
                self.spend(Place::Name, Rule::TrailersTooLarge)?
            }
            (Place::Name, b':') => self.spend(Place::Value, Rule::TrailersTooLarge)?,
            (Place::Line, b'\n') | (Place::Value, b'\n') => return Err(Rule::BareLineFeed),
            (Place::Line | Place::Name, _) => return Err(Rule::Trailer),
            (Place::Value, b'\r') => Place::LineEnd,
            (Place::Value, _) if is_value(byte) => self.spend(Place::Value, Rule::TrailersTooLarge)?,
            (Place::Value, _) => return Err(Rule::Trailer),
            (Place::LineEnd, b'\n') => Place::Line,
            (Place::LastEnd, b'\n') => Place::Done,
            (Place::LineEnd | Place::LastEnd, _) => return Err(Rule::BareCarriageReturn),
            // The loop above leaves neither to us.
            (Place::Data(_) | Place::Done, _) => return Err(Rule::ChunkEnd),
        })
    }

    fn spend(&mut self, place: Place, over: Rule) -> Result<Place, Rule> {
        self.spent += 1;
        if self.spent > MAX_SPENT { Err(over) } else { Ok(place) }
    }
}

const SIZE: Place = Place::Size { digits: 0, size: 0 };
/// A size of 15 digits is 2^60 - 1: nothing that is added to it overflows, in whatever language.
const MAX_DIGITS: u8 = 15;
/// Extensions of one body, and its trailer section, in bytes. Nobody uses the first; the second carries gRPC-like
/// statuses and checksums.
const MAX_SPENT: u16 = 16 << 10;

#[cfg(test)]
mod tests;
