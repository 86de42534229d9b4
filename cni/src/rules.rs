//! Which rules a pod is to have, as the arguments of `weft-proxy redirect`: what the injector wrote into the pod. They come
//! from inside a pod, and are given to a program that runs as root on the node: so only what changes ports and users of
//! that pod passes, and only in the form in which the injector writes it.

use std::fmt;
use std::str::FromStr;

/// Arguments of `weft-proxy redirect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(Vec<String>);

impl Rules {
    /// One by one.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Rules {
    type Err = BadRules;

    fn from_str(text: &str) -> Result<Self, BadRules> {
        if text.len() > LONGEST {
            return Err(BadRules::TooLong { bytes: text.len() });
        }
        let mut arguments = Vec::new();
        for argument in text.split_ascii_whitespace() {
            let refused = || BadRules::Argument { argument: argument.chars().take(64).collect() };
            let (name, value) = argument.split_once('=').ok_or_else(refused)?;
            let (_, may_be) = KNOWN.iter().find(|(known, _)| *known == name).ok_or_else(refused)?;
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit() || may_be.contains(&b)) {
                return Err(refused());
            }
            arguments.push(argument.to_owned());
        }
        if arguments.is_empty() { Err(BadRules::None) } else { Ok(Self(arguments)) }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Why a pod's rules are not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// There are none.
    #[error("the pod's annotation weft.mesh/redirect is empty: it is for the injector to write")]
    None,
    /// Nobody needs so many.
    #[error("the pod's rules are {bytes} bytes long, and may be {LONGEST}")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Something else than users and ports.
    #[error("`{argument}` is not among the rules that a pod may have: they are for the injector to write")]
    Argument {
        /// What it says, shortened.
        argument: String,
    },
}

/// What may be said, and what may stand in it besides digits.
const KNOWN: [(&str, &[u8]); 6] = [
    ("--proxy-uid", b""),
    ("--inbound-port", b""),
    ("--outbound-port", b""),
    ("--dns-port", b""),
    ("--skip-inbound-ports", b",-"),
    ("--skip-outbound-ports", b",-"),
];
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_and_ports_pass_and_nothing_else_does() {
        let as_injected =
            "--proxy-uid=2102 --skip-inbound-ports=15021,5432,9000-9010 --skip-outbound-ports=25";
        assert_eq!(as_injected.parse::<Rules>().unwrap().to_string(), as_injected);
        for bad in [
            "",
            " ",
            "--clear",
            "--print",
            "--proxy-uid",
            "--proxy-uid=",
            "--proxy-uid=-1",
            "--skip-inbound-ports=1;flush",
            "--help=1",
            "run",
            "--proxy-uid=2102 /etc/passwd",
        ] {
            assert!(bad.parse::<Rules>().is_err(), "{bad:?}");
        }
        assert!("--proxy-uid=1 ".repeat(1000).parse::<Rules>().is_err());
    }

    proptest! {
        #[test]
        fn what_passes_has_no_character_that_means_something(text in "[ -~]{0,80}") {
            if let Ok(rules) = text.parse::<Rules>() {
                let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'=' | b',' | b' ');
                prop_assert!(rules.to_string().bytes().all(harmless), "{rules}");
            }
        }
    }
}
