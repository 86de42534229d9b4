//! Model servers: every order in which software is known to take a path apart.
//!
//! A server is given the path that a proxy sends on, and finds a resource: segments, without escapes. What two servers
//! of the field do differently is one field here, and all combinations of them are asked.

/// How one server reads a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Escapes are undone before the path is split, not after.
    decodes_first: bool,
    /// Undone twice, as by a framework behind a server that does it too.
    decodes_twice: bool,
    /// `..` is looked for in what arrives and not in what is decoded.
    resolves_first: bool,
    /// `//` is `/`.
    merges: bool,
    params: Params,
    /// `\` is `/`.
    backslash: bool,
    /// Overlong UTF-8 is taken for what it spells.
    overlong: bool,
    /// What follows a decoded `?`, `#` or NUL is cut off.
    cuts: bool,
    /// Dots and spaces at the end of a segment are dropped.
    trims: bool,
}

/// What becomes of `;…` in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Params {
    Kept,
    CutBeforeDecoding,
    CutAfterDecoding,
}

/// The resource that a server finds.
pub(crate) type Resource = Vec<Vec<u8>>;

impl Server {
    /// Every combination.
    pub(crate) fn all() -> Vec<Self> {
        let params = [Params::Kept, Params::CutBeforeDecoding, Params::CutAfterDecoding];
        let flags = 0..1_u16 << 8;
        let of = |params, flags: u16| {
            let has = |bit: u32| flags & (1 << bit) != 0;
            Self {
                decodes_first: has(0),
                decodes_twice: has(1),
                resolves_first: has(2),
                merges: has(3),
                params,
                backslash: has(4),
                overlong: has(5),
                cuts: has(6),
                trims: has(7),
            }
        };
        params.into_iter().flat_map(|params| flags.clone().map(move |flags| of(params, flags))).collect()
    }

    /// What it finds. One that climbs above the root stays there.
    pub(crate) fn finds(&self, path: &str) -> Resource {
        let mut path = path.as_bytes().to_vec();
        if self.params == Params::CutBeforeDecoding {
            path = join(&split(&path).iter().map(|segment| until(segment, b";")).collect::<Vec<_>>());
        }
        if self.resolves_first {
            path = join(&self.resolved(split(&path)));
        }
        if self.decodes_first {
            path = self.decoded(&path);
            if self.cuts {
                path = until(&path, b"?#\0");
            }
        }
        if self.backslash {
            path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
        }
        let mut segments = split(&path);
        if !self.decodes_first {
            segments.iter_mut().for_each(|segment| *segment = self.decoded(segment));
        }
        if self.params == Params::CutAfterDecoding {
            segments.iter_mut().for_each(|segment| *segment = until(segment, b";"));
        }
        self.resolved(segments)
    }

    fn resolved(&self, mut segments: Resource) -> Resource {
        if self.trims {
            segments.iter_mut().for_each(trim);
        }
        let last = segments.len().saturating_sub(1);
        let mut found: Resource = Vec::new();
        for (at, segment) in segments.into_iter().enumerate() {
            let ends = at == last;
            match segment.as_slice() {
                b"" if self.merges && !ends => {}
                b"." if !ends => {}
                b"." => found.push(Vec::new()),
                b".." => {
                    found.pop();
                    if ends {
                        found.push(Vec::new());
                    }
                }
                _ => found.push(segment),
            }
        }
        found
    }

    fn decoded(&self, text: &[u8]) -> Vec<u8> {
        let once = self.utf8(decoded(text));
        if self.decodes_twice { self.utf8(decoded(&once)) } else { once }
    }

    fn utf8(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.overlong { without_overlong(&bytes) } else { bytes }
    }
}

fn split(path: &[u8]) -> Resource {
    path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

fn join(segments: &[Vec<u8>]) -> Vec<u8> {
    let mut path = vec![b'/'];
    path.extend(segments.join(&b'/'));
    path
}

fn until(text: &[u8], stop: &[u8]) -> Vec<u8> {
    text.split(|byte| stop.contains(byte)).next().unwrap_or_default().to_vec()
}

/// `.` and `..` are names of their own.
fn trim(segment: &mut Vec<u8>) {
    while segment.last() == Some(&b' ') {
        segment.pop();
    }
    if segment.iter().any(|byte| *byte != b'.') {
        while matches!(segment.last(), Some(b'.' | b' ')) {
            segment.pop();
        }
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                at += 3;
            }
            (byte, ..) => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// Two-, three- and four-byte forms of ASCII characters, as decoders take them that check nothing.
fn without_overlong(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let (found, length) = match rest {
            [0xC0 | 0xC1, low, ..] => (Some((first & 1) << 6 | (low & 0x3F)), 2),
            [0xE0, 0x80 | 0x81, low, ..] => (Some((rest[1] & 1) << 6 | (low & 0x3F)), 3),
            [0xF0, 0x80, 0x80 | 0x81, low, ..] => (Some((rest[2] & 1) << 6 | (low & 0x3F)), 4),
            _ => (None, 1),
        };
        out.push(found.unwrap_or(*first));
        rest = if length == 1 { after } else { &rest[length..] };
    }
    out
}

#[test]
fn the_models_find_what_servers_are_known_to_find() {
    for path in [
        "/public/..%2Fadmin", // a decoder that splits later
        "/public/..;/admin",  // Tomcat, CVE-2020-1938's relatives
        "/public/..;x=1/admin",
        "/public/%252e%252e%252fadmin",
        "/public/..%5Cadmin",
        "/public/%C0%AE%C0%AE/admin", // CVE-2008-2938
        "//admin",
        "/admin;x",
        "/admin.",
        "/admin%20",
        "/admin%3Fx",
        "/admin%3Bx",
        "/public/..%20/admin",
    ] {
        let admin: Resource = vec![b"admin".to_vec()];
        assert!(Server::all().iter().any(|server| server.finds(path) == admin), "{path}");
    }
}
