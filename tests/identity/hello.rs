//! ClientHellos, byte by byte (RFC 8446 §4.1.2): of a client that we would let in, and of ones that nobody would write.

/// A ClientHello before it is sent.
#[derive(Clone)]
pub(crate) struct Hello {
    record_version: u8,
    version: [u8; 2],
    suites: Vec<u16>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// TLS 1.3 as a sidecar opens it, with an ordinary key share.
    pub(crate) fn ours() -> Self {
        let mut share = vec![0, 36, 0, 29, 0, 32];
        share.extend([9; 32]);
        Self {
            record_version: 1,
            version: [3, 3],
            suites: vec![0x1301],
            extensions: vec![
                (43, vec![2, 3, 4]),          // supported_versions: TLS 1.3
                (10, vec![0, 2, 0, 29]),      // supported_groups: x25519
                (51, share),                  // key_share
                (13, vec![0, 4, 4, 3, 8, 7]), // ECDSA with P-256, Ed25519
                (16, protocols(&[b"weft/1-h1"])),
            ],
        }
    }

    /// TLS 1.2, with everything that it needs, for our protocol.
    pub(crate) fn tls12() -> Self {
        Self {
            suites: vec![0xc02b],
            extensions: vec![
                (10, vec![0, 2, 0, 23]),
                (11, vec![1, 0]),
                (13, vec![0, 4, 4, 3, 8, 7]),
                (16, protocols(&[b"weft/1-h1"])),
                (23, Vec::new()),
            ],
            ..Self::ours()
        }
    }

    /// The same, two versions older.
    pub(crate) fn tls10() -> Self {
        Self { version: [3, 1], suites: vec![0xc009], ..Self::tls12() }
    }

    pub(crate) fn with_suites(mut self, suites: &[u16]) -> Self {
        self.suites = suites.to_vec();
        self
    }

    /// One group, and a key share of it that makes no sense.
    pub(crate) fn with_group(mut self, group: u16) -> Self {
        let [high, low] = group.to_be_bytes();
        self.replace(10, vec![0, 2, high, low]);
        self.replace(51, vec![0, 8, high, low, 0, 4, 1, 2, 3, 4]);
        self
    }

    /// Two server names where there may be one.
    pub(crate) fn twice_named(mut self) -> Self {
        for name in [b"api.shop", b"web.shop"] {
            let mut list = vec![0, 11, 0, 0, 8];
            list.extend(name);
            self.extensions.push((0, list));
        }
        self
    }

    /// So many bytes more (RFC 7685).
    pub(crate) fn padded(mut self, bytes: usize) -> Self {
        self.extensions.push((21, vec![0; bytes]));
        self
    }

    /// Resumes a session that never was, and announces early data.
    pub(crate) fn with_early_data(mut self) -> Self {
        self.extensions.push((45, vec![1, 1])); // psk_dhe_ke
        self.extensions.push((42, Vec::new())); // early_data
        let mut keys = vec![0, 38, 0, 32];
        keys.extend([5; 32]);
        keys.extend([0, 0, 0, 0]);
        keys.extend([0, 33, 32]);
        keys.extend([6; 32]);
        self.extensions.push((41, keys)); // pre_shared_key, the last one
        self
    }

    /// So many records of what would be early data.
    pub(crate) fn early_data(records: usize) -> Vec<u8> {
        let record = [&[23, 3, 3, 4, 0][..], &[0x47; 1024]].concat();
        record.repeat(records)
    }

    /// The beginning of a ClientHello that will have so many bytes.
    pub(crate) fn announcing(length: u32) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        [&[22, 3, 1, 0, 44, 1, a, b, c, 3, 3][..], &[7; 38]].concat()
    }

    /// In as many records as it takes.
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut body = self.version.to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(length16(2 * self.suites.len()));
        body.extend(self.suites.iter().flat_map(|suite| suite.to_be_bytes()));
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        for (kind, data) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(length16(data.len()));
            extensions.extend(data);
        }
        body.extend(length16(extensions.len()));
        body.extend(extensions);

        let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1, a, b, c][..], &body].concat();
        let records = message
            .chunks(1 << 14)
            .flat_map(|piece| [&[22, 3, self.record_version][..], &length16(piece.len()), piece].concat());
        records.collect()
    }

    fn replace(&mut self, kind: u16, data: Vec<u8>) {
        self.extensions.retain(|(known, _)| *known != kind);
        self.extensions.push((kind, data));
    }
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> =
        names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()][..], name].concat()).collect();
    [&length16(list.len())[..], &list].concat()
}

fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}
