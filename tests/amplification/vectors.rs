//! What is sent: every input of the fuzz targets that are about a connection, and what is made to be dear.

use std::fs;
use std::path::Path;

/// Something to send, by name.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The inputs of the proxy's own targets. Those about heads are put into the form in which heads are sent.
pub(crate) fn of_corpora() -> Vec<Vector> {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy/corpus"));
    let mut all = Vec::new();
    for target in ["h1_request", "client_hello", "detect", "socks5", "h2", "head", "fields", "trace"] {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(target)).expect("a corpus").map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let bytes = fs::read(&file).expect("a file of the corpus");
            let bytes = match target {
                "h2" => [PREFACE, &bytes].concat(),
                "head" | "fields" => in_lines(&bytes),
                "trace" => in_lines(&[b"GET /\nhost: api.shop\n", bytes.as_slice()].concat()),
                _ => bytes,
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            all.push(Vector { name: format!("{target}/{name}"), bytes });
        }
    }
    all
}

/// `METHOD target` and its fields as an HTTP/1.1 head.
fn in_lines(bytes: &[u8]) -> Vec<u8> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut head = [lines.next().unwrap_or_default(), b" HTTP/1.1\r\n"].concat();
    for line in lines {
        head.extend([line, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

/// Little that could make much: of memory, or of work.
pub(crate) fn crafted() -> Vec<Vector> {
    let head = |fields: &str| format!("GET / HTTP/1.1\r\nhost: api.shop\r\n{fields}\r\n").into_bytes();
    let path = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: api.shop\r\n\r\n").into_bytes();
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nhost: api.shop\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes()
    };
    let headers = |block: &[u8]| {
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        [PREFACE, &SETTINGS, &length[1..], &[1, 4, 0, 0, 0, 1], block].concat()
    };
    let grpc = |length: u32| {
        let head = "POST /shop.v1.Cart/Add HTTP/1.1\r\nhost: api.shop\r\ncontent-type: application/grpc\r\n\
                    content-length: 5\r\n\r\n";
        [head.as_bytes(), &[0], &length.to_be_bytes()].concat()
    };
    [
        ("99 fields", head(&"x: y\r\n".repeat(98))),
        ("60 KiB of one field", head(&format!("x: {}\r\n", "y".repeat(60 << 10)))),
        ("a head that is too large", head(&format!("x: {}\r\n", "y".repeat(200 << 10)))),
        ("a head without an end", b"GET / HTTP/1.1\r\nx: ".to_vec()),
        ("names in connection", head(&format!("connection: {}\r\n", "a,".repeat(3000)))),
        ("7 KiB of dot segments", path(&format!("/{}", "a/../".repeat(1400)))),
        ("7 KiB of escaped dots", path(&"/a/%2e%2e".repeat(780))),
        ("7 KiB of escapes", path(&format!("/{}", "%41".repeat(2300)))),
        ("7 KiB of slashes", path(&"/".repeat(7000))),
        ("chunks of one byte", chunked(&("1\r\nx\r\n".repeat(1000) + "0\r\n\r\n"))),
        ("a chunk that promises much", chunked("fffffffffffff\r\nx")),
        ("extensions of chunks", chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(8000)))),
        ("trailers", chunked(&format!("0\r\n{}\r\n", "x: y\r\n".repeat(1000)))),
        (
            "a body that promises much",
            b"POST / HTTP/1.1\r\nhost: api.shop\r\ncontent-length: 9999999999\r\n\r\nx".to_vec(),
        ),
        ("a gRPC message that promises 4 GiB", grpc(u32::MAX)),
        ("an HPACK block of one field repeated", headers(&repeated_field(4000))),
        (
            "an HPACK block of cookies",
            headers(&[b"\x82\x84\x86\x41\x01a".as_slice(), &b"\x60\x01a".repeat(2000)].concat()),
        ),
        ("HTTP/2 SETTINGS of windows", [PREFACE, &settings(200)].concat()),
        ("a ClientHello that promises 16 KiB", b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03".to_vec()),
        ("a hop header that promises 1 KiB", b"\x04\x00".to_vec()),
        ("nothing", Vec::new()),
    ]
    .into_iter()
    .map(|(name, bytes)| Vector { name: name.to_owned(), bytes })
    .collect()
}

/// A request that nobody could mind, of about this size.
pub(crate) fn plain(size: usize) -> Vec<u8> {
    let head = "GET / HTTP/1.1\r\nhost: api.shop\r\n";
    let pad = size.saturating_sub(head.len() + "x: \r\n\r\n".len());
    format!("{head}x: {}\r\n\r\n", "y".repeat(pad)).into_bytes()
}

/// A field of 4 KiB once, into the table, and then its index again and again (CVE-2016-6581).
fn repeated_field(times: usize) -> Vec<u8> {
    let mut block = b"\x82\x84\x86\x41\x01a\x40\x01x\x7f\x81\x1e".to_vec();
    block.extend(vec![b'y'; 127 + 0xf01]);
    block.extend(vec![0xbe; times]);
    block
}

/// One SETTINGS frame of so many entries.
fn settings(entries: usize) -> Vec<u8> {
    let payload = [0, 4, 0x7f, 0xff, 0xff, 0xff].repeat(entries);
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[4, 0, 0, 0, 0, 0], &payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
