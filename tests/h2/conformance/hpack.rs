//! RFC 7541: the field blocks that a decoder must read, and those that it must not.

use super::{Answer, Case, GoAway, SettingsAck, Want, case, get, request};
use crate::wire::{
    COMPRESSION_ERROR, END_HEADERS, END_STREAM, HEADER_TABLE_SIZE, PROTOCOL_ERROR, block, headers, integer,
    settings, string,
};

/// A block that cannot be read. h2 ends the connection, as it must, and tells the unspecific code.
const UNREADABLE: [Want; 2] = [GoAway(COMPRESSION_ERROR), GoAway(PROTOCOL_ERROR)];

pub(super) fn cases() -> Vec<Case> {
    [read(), not_read(), tables()].into_iter().flatten().collect()
}

/// A GET whose block goes on like this.
fn get_and(rest: &[u8]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, [block(&request("GET", "/")).as_slice(), rest].concat())
}

/// A field whose value is given with its length, as it is.
fn field(first: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = first.to_vec();
    string(&mut bytes, name);
    bytes.extend(value);
    bytes
}

fn wrong(section: &'static str, what: &'static str, rest: &[u8]) -> Case {
    case(section, what, [get_and(rest)], UNREADABLE)
}

fn fine(section: &'static str, what: &'static str, rest: &[u8]) -> Case {
    case(section, what, [get_and(rest)], [Answer(1, 200)])
}

fn read() -> Vec<Case> {
    // `www.example.com` in the Huffman code (RFC 7541, appendix C.4.1).
    let huffman = [0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    // A length in more bytes than it needs: 127 + 0 + 0.
    let long_way = [&[0x7f, 0x80, 0x80, 0x00][..], &[b'y'; 127]].concat();
    vec![
        fine("7541 5.2", "a value in Huffman", &field(&[0], b"x-a", &huffman)),
        fine("7541 5.2", "an empty value in Huffman", &field(&[0], b"x-a", &[0x80])),
        fine("7541 5.1", "an integer in more bytes than it needs", &field(&[0], b"x-a", &long_way)),
        fine(
            "7541 6.2.1",
            "a field that is added to the table, and then named by its index",
            &[field(&[0x40], b"x-a", b"\x01b"), vec![0xbe]].concat(),
        ),
        fine("7541 6.2.1", "a value for a name of the static table", &[0x7a, 3, b'a', b'b', b'c']),
        fine("7541 6.2.3", "a field that must never be added", &field(&[0x10], b"x-secret", b"\x01b")),
        case(
            "7541 6.1",
            "a request of indices alone",
            [headers(END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x41\x08api.shop")],
            [Answer(1, 200)],
        ),
        case(
            "7541 2.2",
            "the table of one request serves the next",
            [[
                headers(END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x41\x08api.shop"),
                headers(END_HEADERS | END_STREAM, 3, b"\x82\x86\x84\xbe"),
            ]
            .concat()],
            [Answer(3, 200)],
        ),
    ]
}

fn not_read() -> Vec<Case> {
    let mut endless = vec![0x7f];
    endless.extend([0xff; 20]);
    let mut too_far = Vec::new();
    integer(&mut too_far, 0x80, 7, 100);
    vec![
        wrong("7541 2.3.3", "an index beyond both tables", &too_far),
        wrong("7541 2.3.3", "an index of 2^31", &[0xff, 0x80, 0xff, 0xff, 0xff, 0x07]),
        wrong("7541 2.3.3", "a name by an index beyond both tables", &[0x7f, 0x40, 1, b'x']),
        wrong("7541 5.1", "an integer that does not end", &endless),
        wrong(
            "7541 5.1",
            "a length that does not fit",
            &field(&[0], b"x-a", &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ),
        wrong("7541 5.2", "a string longer than the block", &field(&[0], b"x-a", &[0x20, b'y'])),
        wrong(
            "7541 5.2",
            "Huffman with more than seven bits of padding",
            &field(&[0], b"x-a", &[0x82, 0x1f, 0xff]),
        ),
        wrong("7541 5.2", "Huffman padded with zeros", &field(&[0], b"x-a", &[0x81, 0x18])),
        wrong(
            "7541 5.2",
            "Huffman with the end-of-string sign",
            &field(&[0], b"x-a", &[0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
        wrong("7541 6.1", "index 0", &[0x80]),
        wrong("7541 4.2", "a change of the table's size at the end of a block", &[0x21]),
        wrong("7541 6.3", "a table larger than SETTINGS allow", &[0x3f, 0xe2, 0x1f]),
        case(
            "7541 6.3",
            "a table larger than SETTINGS allow, where it may be changed",
            [headers(
                END_HEADERS | END_STREAM,
                1,
                [&[0x3f, 0xe2, 0x1f][..], &block(&request("GET", "/"))].concat(),
            )],
            UNREADABLE,
        ),
    ]
}

fn tables() -> Vec<Case> {
    let first = |sizes: &[u8]| {
        headers(END_HEADERS | END_STREAM, 1, [sizes, block(&request("GET", "/")).as_slice()].concat())
    };
    vec![
        case("7541 4.2", "the table is made smaller", [first(&[0x20])], [Answer(1, 200)]),
        case("7541 4.2", "smaller and larger again", [first(&[0x20, 0x3f, 0xe1, 0x1f])], [Answer(1, 200)]),
        case(
            "7541 4.3",
            "what a smaller table has dropped is not there",
            [[
                headers(END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x41\x08api.shop"),
                headers(END_HEADERS | END_STREAM, 3, b"\x20\x82\x86\x84\xbe"),
            ]
            .concat()],
            UNREADABLE,
        ),
        case(
            "7541 4.4",
            "a field larger than the table empties it",
            [{
                let mut large = b"\x82\x86\x84\x41\x08api.shop\x40\x01x".to_vec();
                integer(&mut large, 0, 7, 5000);
                large.extend([b'y'; 5000]);
                [
                    headers(END_HEADERS | END_STREAM, 1, large),
                    headers(END_HEADERS | END_STREAM, 3, b"\x82\x86\x84\xbe"),
                ]
                .concat()
            }],
            UNREADABLE,
        ),
        case(
            "7541 4.2",
            "a client without a table",
            [[settings(&[(HEADER_TABLE_SIZE, 0)]), get(1)].concat()],
            [Answer(1, 200)],
        ),
        case(
            "7541 4.2",
            "a client's table of every size, one after another",
            [(0..20).flat_map(|n| settings(&[(HEADER_TABLE_SIZE, n * 1000)])).collect::<Vec<_>>()],
            [SettingsAck(21)],
        ),
    ]
}
