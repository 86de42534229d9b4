//! A join token as text: `weft1.<trust domain>.<hash of the root>.<secret>`.
//!
//! It carries everything that a proxy needs to find out whether it speaks to the right control plane (the trust
//! domain, and the SHA-256 of the root that the control plane must present), and one secret. Whom the token
//! admits is written down where it is checked, not in here: nobody can edit a token into another identity.
//!
//! Hashes and secrets are lower-case hex: a double click selects a whole field, and the hash reads as
//! `meshctl identity` prints it. A trust domain may have dots, so the text is read from its end.

use std::fmt;
use std::str::FromStr;

use weft_policy::identity::TrustDomain;

/// A join token. [`Display`](fmt::Display) writes the secret; `Debug` does not.
#[derive(Clone)]
pub struct Token {
    /// The trust domain that it leads into.
    pub trust_domain: TrustDomain,
    /// SHA-256 over the DER of the root that the control plane must present.
    pub root_sha256: [u8; 32],
    /// What proves that the holder was given the token.
    pub secret: Secret,
}

impl Token {
    /// The longest text that is looked at: the longest trust domain (255 bytes) with everything around it.
    pub const MAX_LEN: usize = PREFIX.len() + 255 + 2 * (1 + HEX_LEN);
}

impl FromStr for Token {
    type Err = BadToken;

    /// White space around the token is ignored: it has been through a clipboard or an editor.
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let text = text.trim_ascii();
        if text.len() > Self::MAX_LEN {
            return Err(BadToken::TooLong);
        }
        let rest = text.strip_prefix(PREFIX).ok_or(BadToken::Prefix)?;
        let (rest, secret) = rest.rsplit_once('.').ok_or(BadToken::Incomplete)?;
        let (domain, root) = rest.rsplit_once('.').ok_or(BadToken::Incomplete)?;
        Ok(Self {
            trust_domain: domain.parse().map_err(|_| BadToken::TrustDomain)?,
            root_sha256: unhex(root).ok_or(BadToken::Root)?,
            secret: Secret(unhex(secret).ok_or(BadToken::Secret)?),
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.", self.trust_domain)?;
        hex(f, &self.root_sha256)?;
        f.write_str(".")?;
        hex(f, &self.secret.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.", self.trust_domain)?;
        hex(f, &self.root_sha256)?;
        f.write_str(".(not shown)")
    }
}

/// 256 random bits. Deliberately without `PartialEq`: secrets are compared in constant time, as hashes.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Why a text is no join token. It never repeats the text: that may be most of a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Over [`Token::MAX_LEN`].
    #[error("a join token has at most {} characters; this text is longer", Token::MAX_LEN)]
    TooLong,
    /// Something else was pasted, or a token of another version.
    #[error("a join token begins with {PREFIX}; create one with `meshctl token create`")]
    Prefix,
    /// Cut off.
    #[error(
        "the join token is incomplete: expected {PREFIX}<trust domain>.<root hash>.<secret>; copy all of it"
    )]
    Incomplete,
    /// The first part.
    #[error("the join token's trust domain is damaged; copy the token again")]
    TrustDomain,
    /// The second part.
    #[error("the join token's root hash is not {HEX_LEN} lower-case hex digits; copy the token again")]
    Root,
    /// The third part.
    #[error("the join token's secret is not {HEX_LEN} lower-case hex digits; copy the token again")]
    Secret,
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Lower case only, so that equal tokens are equal texts.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

const PREFIX: &str = "weft1.";
const HEX_LEN: usize = 64;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(domain: &str, root: [u8; 32], secret: [u8; 32]) -> Token {
        Token { trust_domain: domain.parse().unwrap(), root_sha256: root, secret: Secret(secret) }
    }

    #[test]
    fn a_damaged_token_says_what_is_wrong_with_it() {
        let root = "0a".repeat(32);
        let secret = "f0".repeat(32);
        let good = format!("weft1.mesh.example.{root}.{secret}");
        for (text, want) in [
            (good.clone(), None),
            (format!("  {good}\r\n"), None),
            (String::new(), Some(BadToken::Prefix)),
            (good.replace("weft1", "weft2"), Some(BadToken::Prefix)),
            ("weft1.".to_owned(), Some(BadToken::Incomplete)),
            (format!("weft1.{secret}"), Some(BadToken::Incomplete)),
            (format!("weft1.{root}.{secret}"), Some(BadToken::Incomplete)),
            (format!("weft1..{root}.{secret}"), Some(BadToken::TrustDomain)),
            (format!("weft1.Mesh.{root}.{secret}"), Some(BadToken::TrustDomain)),
            (format!("weft1.mesh/ns.{root}.{secret}"), Some(BadToken::TrustDomain)),
            (format!("weft1.mesh.{}.{secret}", "0a".repeat(31)), Some(BadToken::Root)),
            (format!("weft1.mesh.{}.{secret}", "0A".repeat(32)), Some(BadToken::Root)),
            (format!("weft1.mesh.{root}.{}", "f0".repeat(33)), Some(BadToken::Secret)),
            (format!("weft1.mesh.{root}.{}é", "f".repeat(62)), Some(BadToken::Secret)),
            (format!("weft1.mesh.{root}."), Some(BadToken::Secret)),
            ("weft1.".to_owned() + &"a".repeat(Token::MAX_LEN), Some(BadToken::TooLong)),
        ] {
            assert_eq!(text.parse::<Token>().err(), want, "{text}");
        }
    }

    #[test]
    fn the_longest_trust_domain_still_fits() {
        let longest = token(&"d".repeat(255), [0xff; 32], [0xff; 32]).to_string();
        assert_eq!(longest.len(), Token::MAX_LEN);
        longest.parse::<Token>().unwrap();
    }

    #[test]
    fn debug_shows_no_secret_and_an_error_repeats_no_text() {
        let token = token("mesh", [1; 32], [0xab; 32]);
        assert!(!format!("{token:?} {:?}", token.secret).contains("abab"));
        let error = "weft1.mesh.ababababab.abababab".parse::<Token>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("abab"));
    }

    proptest! {
        #[test]
        fn a_token_reads_back_what_it_writes(domain in "[a-z0-9._-]{1,255}", root: [u8; 32], secret: [u8; 32]) {
            let written = token(&domain, root, secret).to_string();
            let read: Token = written.parse().unwrap();
            prop_assert_eq!(read.to_string(), written);
            prop_assert_eq!((read.root_sha256, read.secret.0), (root, secret));
        }

        #[test]
        fn no_text_panics(text in "(weft1\\.)?.{0,300}") {
            let _ = text.parse::<Token>();
        }
    }
}
