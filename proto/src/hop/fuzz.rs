//! Any bytes at the beginning of a hop: one answer, however they are cut.

use super::{BadHop, MAX_HEADER, decode, encode};

#[test]
fn any_beginning_has_one_answer_however_it_is_cut() {
    weft_fuzz::law!("hop", |bytes| {
        let answer = decode(bytes);
        let mut decided = false;
        for cut in 0..bytes.len().min(MAX_HEADER + 4) {
            match decode(&bytes[..cut]) {
                Ok(None) => assert!(!decided, "an answer is final"),
                early => {
                    decided = true;
                    assert_eq!(early, answer, "more bytes change nothing");
                }
            }
        }
        match answer {
            Ok(Some((header, taken))) => {
                assert!(taken <= bytes.len() && taken <= MAX_HEADER + 2);
                match encode(&header) {
                    Ok(written) => assert_eq!(decode(&written), Ok(Some((header, written.len())))),
                    Err(BadHop::TooLong { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Ok(None) => assert!(bytes.len() < MAX_HEADER + 2, "an answer comes within the bound"),
            Err(_) => {}
        }
    });
}
