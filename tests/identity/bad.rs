//! Certificates that nobody may be let in with, and for each the one reason why not.

use weft_policy::identity::SpiffeId;

use crate::der::{extension, name, octets, sequence};
use crate::forge::{
    CLIENT_AUTH, CODE_SIGNING, CRL_SIGN, Ca, HOUR, KEY_AGREEMENT, KEY_CERT_SIGN, Key, Presented, SERVER_AUTH,
    San, algorithm, curve_key, dsa_key, permitted, rsa_algorithm, rsa_key, unknown_extension,
};

/// A bad certificate.
pub(crate) struct Bad {
    pub(crate) what: String,
    pub(crate) presented: Presented,
    /// The one counter that has to go up.
    pub(crate) reason: &'static str,
}

/// All of them, for somebody who would be `who` if they were good. `stolen` and `root` are the mesh's own authority:
/// whatever is wrong with a certificate, it is not that a stranger signed it, unless that is the point.
pub(crate) fn certificates(stolen: &Ca, root: &Ca, who: &str) -> Vec<Bad> {
    let id: SpiffeId = who.parse().unwrap();
    let path = id.path();
    let domain = id.trust_domain();
    let leaf = |spoil: fn(&mut crate::forge::Spec)| stolen.leaf(who, spoil);
    let uri = |text: &str| stolen.leaf(text, |_| {});
    let mut all = Vec::new();
    let mut add = |what: &str, reason, presented| all.push(Bad { what: what.to_owned(), presented, reason });

    // When.
    add("expired a second ago", "expired", leaf(|it| it.life = (-HOUR, -1)));
    add("expired in 1970", "expired", leaf(|it| it.life = (-1_700_000_000, -1_600_000_000)));
    add("begins in a minute", "not_yet_valid", leaf(|it| it.life = (60, HOUR)));
    add("begins in 2100", "not_yet_valid", leaf(|it| it.life = (2_500_000_000, 2_600_000_000)));
    add("ends before it begins", "bad_path", leaf(|it| it.life = (HOUR, -HOUR)));

    // Who signed.
    let stranger = Ca::unknown(&name("somebody"));
    let namesake = Ca::unknown(&stolen.name);
    add("an authority that nobody knows", "untrusted", stranger.leaf(who, |_| {}));
    add("an authority of the same name as ours", "untrusted", namesake.leaf(who, |_| {}));
    let lonely = namesake.leaf(who, |_| {}).with_chain(|chain| chain[1] = stolen.certificate.clone());
    add("signed by a namesake, sent with our intermediate", "bad_signature", lonely);
    let (key, itself) = (Key::new(), name("itself"));
    let own =
        Ca { certificate: Vec::new().into(), name: itself.clone(), key: key.clone(), above: Vec::new() };
    let self_signed = own.leaf(who, |it| (it.subject, it.key) = (itself, key.public()));
    let self_signed = Presented { key: key.for_tls(), ..self_signed }.with_chain(|chain| chain.truncate(1));
    add("self-signed", "self_signed", self_signed);
    add("its intermediate not sent", "chain_incomplete", leaf(|_| {}).with_chain(|chain| chain.truncate(1)));
    add("its intermediate not sent, but the root", "untrusted", {
        leaf(|_| {}).with_chain(|chain| chain[1] = root.certificate.clone())
    });
    add("a bit of its signature turned over", "bad_signature", leaf(|it| it.flip = true));
    add("a bit of its intermediate's signature turned over", "untrusted", {
        leaf(|_| {}).with_chain(|chain| {
            let mut der = chain[1].to_vec();
            *der.last_mut().unwrap() ^= 1;
            chain[1] = der.into();
        })
    });
    add("signed by another workload's leaf", "issuer_not_ca", {
        let issuer = stolen.below(|it| {
            (it.constraints, it.usage) = (Some((false, None)), Some(vec![crate::forge::DIGITAL_SIGNATURE]));
        });
        issuer.leaf(who, |_| {})
    });
    add("an intermediate below one that allows none", "path_length", stolen.below(|_| {}).leaf(who, |_| {}));
    add("two intermediates below a root that allows one", "path_length", {
        root.below(|_| {}).below(|_| {}).leaf(who, |_| {})
    });
    add("twenty certificates in the chain", "chain_too_long", {
        leaf(|_| {}).with_chain(|chain| chain.extend(vec![root.certificate.clone(); 20]))
    });
    add(
        "an intermediate that has expired",
        "expired",
        root.below(|it| it.life = (-HOUR, -1)).leaf(who, |_| {}),
    );
    let may_not_sign = root.below(|it| it.usage = Some(vec![CRL_SIGN])).leaf(who, |_| {});
    add("an intermediate that may not sign", "issuer_may_not_sign", may_not_sign);
    let only = |names: &[San]| {
        let constraint = permitted(names);
        root.below(|it| it.more.push(constraint)).leaf(who, |_| {})
    };
    add("an intermediate that permits URIs of its domain", "name_constraint", only(&[San::uri(domain)]));
    add(
        "an intermediate that permits URIs of another domain",
        "name_constraint",
        only(&[San::uri("other.mesh")]),
    );
    let critical = root.below(|it| it.more.push(unknown_extension())).leaf(who, |_| {});
    add("an intermediate with a critical extension of nobody's", "critical_extension", critical);

    // What it is.
    add("a CA for a leaf", "ca_as_leaf", leaf(|it| it.constraints = Some((true, None))));
    add(
        "the intermediate for a leaf",
        "ca_as_leaf",
        Presented {
            chain: vec![stolen.certificate.clone(), root.certificate.clone()],
            key: stolen.key.for_tls(),
        },
    );
    add(
        "the root for a leaf",
        "ca_as_leaf",
        Presented { chain: vec![root.certificate.clone()], key: root.key.for_tls() },
    );
    add("may sign certificates", "key_usage", leaf(|it| it.usage = Some(vec![0, KEY_CERT_SIGN])));
    add("may sign revocations", "key_usage", leaf(|it| it.usage = Some(vec![0, CRL_SIGN])));
    add("may agree on keys only", "key_usage", leaf(|it| it.usage = Some(vec![KEY_AGREEMENT])));
    add("says nothing of its usage", "key_usage", leaf(|it| it.usage = None));
    add("for servers only", "extended_key_usage", leaf(|it| it.purposes = Some(vec![SERVER_AUTH])));
    add("for clients only", "extended_key_usage", leaf(|it| it.purposes = Some(vec![CLIENT_AUTH])));
    add("for code", "extended_key_usage", leaf(|it| it.purposes = Some(vec![CODE_SIGNING])));
    add("for nothing", "extended_key_usage", leaf(|it| it.purposes = Some(Vec::new())));
    add(
        "a critical extension of nobody's",
        "critical_extension",
        leaf(|it| it.more.push(unknown_extension())),
    );
    add("basic constraints twice", "malformed", {
        leaf(|it| it.more.push(extension("2.5.29.19", true, &sequence(&[]))))
    });
    add("version 1", "bad_path", leaf(|it| it.version = 0));
    add("serial number zero", "serial_number", leaf(|it| it.serial = vec![0]));
    add("a negative serial number", "serial_number", leaf(|it| it.serial = vec![0x80, 1]));
    add("a serial number of 40 bytes", "serial_number", leaf(|it| it.serial = vec![0x11; 40]));
    add("a serial number of 10 000 bytes", "serial_number", leaf(|it| it.serial = vec![0x11; 10_000]));

    // What it can.
    add("RSA with 1024 bits", "weak_key", leaf(|it| it.key = rsa_key(1024)));
    add("RSA with 512 bits", "weak_key", leaf(|it| it.key = rsa_key(512)));
    add("RSA with 16 384 bits", "weak_key", leaf(|it| it.key = rsa_key(16_384)));
    add("P-192", "weak_key", leaf(|it| it.key = curve_key("1.2.840.10045.3.1.1", 24)));
    add("P-224", "weak_key", leaf(|it| it.key = curve_key("1.3.132.0.33", 28)));
    add("secp256k1", "weak_key", leaf(|it| it.key = curve_key("1.3.132.0.10", 32)));
    add("DSA", "weak_key", leaf(|it| it.key = dsa_key()));
    let both =
        |it: &mut crate::forge::Spec, algorithm: Vec<u8>| it.algorithm = (algorithm.clone(), algorithm);
    let sha1 = stolen.leaf(who, |it| both(it, algorithm("1.2.840.10045.4.1")));
    add("signed with ECDSA and SHA-1", "weak_algorithm", sha1);
    let sha1 = stolen.leaf(who, |it| both(it, rsa_algorithm("1.2.840.113549.1.1.5")));
    add("signed with RSA and SHA-1", "weak_algorithm", sha1);
    let md5 = stolen.leaf(who, |it| both(it, rsa_algorithm("1.2.840.113549.1.1.4")));
    add("signed with RSA and MD5", "weak_algorithm", md5);
    add("signed with another algorithm inside than outside", "weak_algorithm", {
        leaf(|it| it.algorithm.0 = algorithm("1.2.840.10045.4.3.3"))
    });

    // Whose it is.
    add("no name", "no_spiffe_id", leaf(|it| it.names.clear()));
    add("a DNS name", "no_spiffe_id", leaf(|it| it.names = vec![San::Dns("web.shop.svc.cluster.local")]));
    add("an address", "no_spiffe_id", leaf(|it| it.names = vec![San::Ip([127, 0, 0, 1])]));
    let mail = stolen.leaf(who, |it| it.names = vec![San::Email("spiffe://weft.local/ns/shop/sa/web")]);
    add("an e-mail that reads like an identity", "no_spiffe_id", mail);
    let common = stolen.leaf(who, |it| (it.subject, it.names) = (name(who), Vec::new()));
    add("the identity as a common name", "no_spiffe_id", common);
    add("two identities", "many_spiffe_ids", {
        leaf(|it| it.names.push(San::uri("spiffe://weft.local/ns/shop/sa/admin")))
    });
    let twice = stolen.leaf(who, |it| it.names.push(San::uri(who)));
    add("the same identity twice", "many_spiffe_ids", twice);
    add(
        "an identity and a web address",
        "many_spiffe_ids",
        leaf(|it| it.names.push(San::uri("https://a.example"))),
    );
    let not_ascii = [who.as_bytes(), "é".as_bytes()].concat();
    add(
        "letters outside of ASCII",
        "bad_spiffe_id",
        stolen.leaf(who, |it| it.names = vec![San::Uri(not_ascii)]),
    );
    let not_text = [who.as_bytes(), &[0xff, 0xfe]].concat();
    add("bytes that are no text", "malformed", stolen.leaf(who, |it| it.names = vec![San::Uri(not_text)]));
    for (what, text) in [
        ("an upper-case scheme", who.replace("spiffe", "SPIFFE")),
        ("another scheme", who.replace("spiffe", "https")),
        ("no scheme", who.replace("spiffe:", "")),
        ("an upper-case domain", who.replace(domain, &domain.to_uppercase())),
        ("an empty domain", who.replace(domain, "")),
        ("no path", format!("spiffe://{domain}")),
        ("an empty path", format!("spiffe://{domain}/")),
        ("NUL at the end", format!("{who}\0")),
        ("NUL and more", format!("{who}\0.evil")),
        ("NUL in the domain", who.replace(domain, &format!("{domain}\0.evil"))),
        ("a query", format!("{who}?as=admin")),
        ("a fragment", format!("{who}#admin")),
        ("a user", who.replace("://", "://root@")),
        ("a port", who.replace(domain, &format!("{domain}:443"))),
        ("a step up", format!("spiffe://{domain}/ns/..{path}")),
        ("a step nowhere", format!("spiffe://{domain}/.{path}")),
        ("an empty segment", format!("spiffe://{domain}/{path}")),
        ("percent signs", who.replace("/ns/", "/%6es/")),
        ("a percent sign for a slash", format!("{who}%2fadmin")),
        ("a slash at the end", format!("{who}/")),
        ("a space", format!("{who} ")),
        ("a line break", format!("{who}\n")),
        ("2049 bytes", format!("spiffe://{domain}/{}", "a".repeat(2049 - 10 - domain.len()))),
        ("nothing", String::new()),
    ] {
        add(&format!("an identity with {what}"), "bad_spiffe_id", uri(&text));
    }
    add(
        "a trust domain that nobody knows",
        "unknown_trust_domain",
        uri("spiffe://other.mesh/ns/shop/sa/web"),
    );
    add("a trust domain with ours in front", "unknown_trust_domain", {
        uri(&who.replace(domain, &format!("{domain}.evil.example")))
    });

    // Whose key it is.
    add("a good certificate in other hands", "key_not_proven", leaf(|_| {}).stolen());
    add("a handshake signed almost right", "key_not_proven", leaf(|_| {}).misspelt());

    // What is no certificate at all.
    add("an empty certificate", "malformed", leaf(|_| {}).with_chain(|chain| chain[0] = Vec::new().into()));
    add("zeros", "malformed", leaf(|_| {}).with_chain(|chain| chain[0] = vec![0; 500].into()));
    add("something after the end", "malformed", {
        leaf(|_| {}).with_chain(|chain| chain[0] = [chain[0].as_ref(), b"x"].concat().into())
    });
    add("a certificate cut in half", "malformed", {
        leaf(|_| {}).with_chain(|chain| chain[0] = chain[0][..chain[0].len() / 2].to_vec().into())
    });
    add("a certificate within a string", "malformed", {
        leaf(|_| {}).with_chain(|chain| chain[0] = octets(&chain[0]).into())
    });
    all
}
