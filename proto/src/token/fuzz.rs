//! Any text as a join token: one text per token, and no text gives its secret away.

use super::Token;

#[test]
fn any_text_that_is_a_token_is_the_only_one_and_shows_no_secret() {
    weft_fuzz::law!("token", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match text.parse::<Token>() {
            Ok(token) => {
                assert_eq!(token.to_string(), text.trim_ascii(), "two texts of one token");
                let (shown, secret) = text.trim_ascii().rsplit_once('.').unwrap();
                let debug = format!("{token:?} {:?}", token.secret);
                assert!(shown.contains(secret) || !debug.contains(secret));
            }
            Err(error) => {
                let said = format!("{error} {error:?}");
                // What an error says by itself may stand in a text too; what may be half a secret is hexadecimal.
                let hex = |word: &&str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
                let words = text.split('.').filter(hex);
                assert!(words.into_iter().all(|word| !said.contains(word)), "{said}");
            }
        }
    });
}
