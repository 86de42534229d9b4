use proptest::prelude::*;

use super::*;

fn whole(bytes: &[u8]) -> (usize, Result<bool, Rule>) {
    let mut body = Chunked::new();
    let (taken, result) = body.feed(bytes);
    (taken, result.map(|()| body.is_done()))
}

#[test]
fn a_body_ends_where_its_chunks_say() {
    let table: &[(&[u8], usize, bool)] = &[
        (b"0\r\n\r\n", 5, true),
        (b"5\r\nhello\r\n0\r\n\r\n", 15, true),
        (b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 15, true),
        (b"A\r\n0123456789\r\n00\r\n\r\n", 21, true),
        (b"5;a=b\r\nhello\r\n0;last\r\n\r\n", 24, true),
        (b"0\r\nx-sum: 1\r\ny:\r\n\r\n", 19, true),
        (b"5\r\nhel", 6, false),
        (b"5\r\nhello\r\n0\r\n\r", 14, false),
        (b"", 0, false),
    ];
    for (bytes, taken, done) in table {
        assert_eq!(whole(bytes), (*taken, Ok(*done)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_parsers_read_in_different_ways_goes_no_further() {
    use Rule::*;
    let table: &[(&[u8], Rule)] = &[
        (b"\r\n", ChunkSize),
        (b"0x5\r\n", ChunkSize),
        (b"0_5\r\n", ChunkSize),
        (b"+5\r\n", ChunkSize),
        (b"-1\r\n", ChunkSize),
        (b" 5\r\n", ChunkSize),
        (b"5 \r\n", ChunkSize),
        (b"5\t;a\r\n", ChunkSize),
        (b"g\r\n", ChunkSize),
        (b"1000000000000000\r\n", ChunkSize),
        (b"5\nhello", BareLineFeed),
        (b"5;a\nhello", BareLineFeed),
        (b"5\rhello", BareCarriageReturn),
        (b"5;\x01\r\n", ChunkExtension),
        (b"5\r\nhello0\r\n\r\n", ChunkEnd),
        (b"5\r\nhello\n0\r\n\r\n", ChunkEnd),
        (b"5\r\nhello\rX", ChunkEnd),
        (b"0\r\n folded\r\n\r\n", Fold),
        (b"0\r\nx : 1\r\n\r\n", Trailer),
        (b"0\r\nx\r\n\r\n", Trailer),
        (b"0\r\n: 1\r\n\r\n", Trailer),
        (b"0\r\nx: \x00\r\n\r\n", Trailer),
        (b"0\r\nx: 1\n\r\n", BareLineFeed),
        (b"0\r\n\n", BareLineFeed),
        (b"0\r\n\rX", BareCarriageReturn),
    ];
    for (bytes, rule) in table {
        assert_eq!(whole(bytes).1, Err(*rule), "{}", bytes.escape_ascii());
    }
}

#[test]
fn extensions_and_trailers_have_a_bound_over_the_whole_body() {
    let chunk = [b"1;".as_slice(), &[b'a'; 4096], b"\r\nx\r\n"].concat();
    assert_eq!(whole(&chunk.repeat(4)).1, Err(Rule::ChunkExtension));
    let trailers = [b"0\r\n".as_slice(), &b"x: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(700)].concat();
    assert_eq!(whole(&trailers).1, Err(Rule::TrailersTooLarge));
}

proptest! {
    /// However the network cuts the bytes up, the verdict and the place are the same.
    #[test]
    fn pieces_change_nothing(
        bytes in proptest::collection::vec(proptest::sample::select(b"0125aAf;=\r\n\r\n x:\0".to_vec()), 0..64),
        cuts in proptest::collection::vec(0usize..64, 0..6),
    ) {
        let at_once = whole(&bytes);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let mut body = Chunked::new();
        let mut taken = 0;
        let mut broken = None;
        for pair in cuts.windows(2) {
            let piece = &bytes[pair[0]..pair[1]];
            let (n, result) = body.feed(piece);
            taken += n;
            if let Err(rule) = result { broken = Some(rule); break; }
            if n < piece.len() { break; }
        }
        let in_pieces = (taken, broken.map_or(Ok(body.is_done()), Err));
        prop_assert_eq!(at_once, in_pieces);
    }
}
