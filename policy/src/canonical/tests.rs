//! The one form of a path, by row and by law. What no spelling may achieve is shown in the whole, with model servers,
//! by the suite `trespass`.

use proptest::prelude::*;

use super::*;

#[test]
fn a_path_has_one_form() {
    let table: &[(&str, Result<&str, Refusal>)] = &[
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/a/./b", Ok("/a/b")),
        ("/a/../b", Ok("/b")),
        ("/a/%2e%2E/b", Ok("/b")),
        ("/a/.%2e/b", Ok("/b")),
        ("/a/.", Ok("/a/")),
        ("/a//.", Ok("/a//")),
        ("//.", Ok("//")),
        ("/a/b/..", Ok("/a/")),
        ("/a/..", Ok("/")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/a//b/", Ok("/a//b/")),
        ("/%41dmin", Ok("/Admin")),
        ("/%7euser/%2d%5F", Ok("/~user/-_")),
        // Reserved characters stay as they came: undone, some of them would mean something else.
        ("/a%2fb", Ok("/a%2Fb")),
        ("/a%5cb", Ok("/a%5Cb")),
        ("/a\\b", Ok("/a\\b")),
        ("/a%40b", Ok("/a%40b")),
        ("/a%2bb+c", Ok("/a%2Bb+c")),
        ("/%252e%252e", Ok("/%252e%252e")),
        ("/%25%32%65", Ok("/%252e")),
        ("/caf%c3%a9", Ok("/caf%C3%A9")),
        ("/café", Ok("/caf%C3%A9")),
        ("/a b", Ok("/a b")), // no URI has a space; whoever writes one is not this function's to judge
        ("/..", Err(Refusal::BadRequest)),
        ("/a/../../b", Err(Refusal::BadRequest)),
        ("/a%00", Err(Refusal::BadRequest)),
        ("/a%0d%0aX:%20y", Err(Refusal::BadRequest)),
        ("/a%7F", Err(Refusal::BadRequest)),
        ("/a\n", Err(Refusal::BadRequest)),
        ("/a%2", Err(Refusal::BadRequest)),
        ("/a%", Err(Refusal::BadRequest)),
        ("/a%zz", Err(Refusal::BadRequest)),
        ("/a%u002f", Err(Refusal::BadRequest)),
        ("/a%+1", Err(Refusal::BadRequest)),
        ("/a#b", Err(Refusal::BadRequest)),
        ("/a?b", Err(Refusal::BadRequest)),
        ("", Err(Refusal::BadRequest)),
        ("a", Err(Refusal::BadRequest)),
        ("*", Err(Refusal::BadRequest)),
    ];
    for (path, want) in table {
        assert_eq!(super::path(path).as_deref(), want.as_deref(), "{path}");
    }
}

#[test]
fn what_servers_read_in_different_ways_is_ambiguous() {
    for path in [
        "/a%2Fb",
        "/..%2Fa",
        "/a%5C..",
        "/a\\b",
        "/a//b",
        "//",
        "/a/..;/b",
        "/a/.;x=1/b",
        "/a;v=1/b",
        "/a%3Bb",
        "/a%3Fb",
        "/a%23b",
        "/%252e",
        "/%252F",
        "/a/...",
        "/a./b",
        "/a.",
        "/a%20",
        "/a%20/b",
        "/%C0%AE",
        "/%c0%af",
        "/%E0%80%AF",
        "/%FF",
        "/%E9",
        "/caf%C3",
    ] {
        assert!(is_ambiguous(&super::path(path).unwrap()), "{path}");
    }
    for path in
        ["/", "/a/b/", "/a..b", "/.a", "/caf%C3%A9", "/100%25", "/%25zz", "/a%20b", "/a%40b", "/a+b,c=d:e"]
    {
        assert!(!is_ambiguous(&super::path(path).unwrap()), "{path}");
    }
}

#[test]
fn a_reading_of_a_path_is_what_some_server_finds() {
    for (path, found) in [
        ("/public/..%2Fadmin", "/admin"),
        ("/public/..;/admin", "/admin"),
        ("/public/..%5Cadmin", "/admin"),
        ("/public/..\\admin", "/admin"),
        ("/public/%252e%252e/admin", "/admin"),
        ("/public/%252e%252e%252fadmin", "/admin"),
        ("/public/%C0%AE%C0%AE/admin", "/admin"),
        ("/public/..%C0%AFadmin", "/admin"),
        ("/public/..;a=b%2Fadmin", "/admin"),
        ("//admin", "/admin"),
        ("/admin;x", "/admin"),
        ("/admin%3Bx/y", "/admin/y"),
        ("/..%2F..%2Fadmin", "/admin"),
        ("/public/%F0%80%80%AE%F0%80%80%AE/admin", "/admin"),
        ("/public/..%20/admin", "/admin"),
        ("/public/..%3F/x", "/"),
        ("/admin./x", "/admin/x"),
    ] {
        assert!(readings(path).contains(found), "{path}: {:?}", readings(path));
    }
    assert_eq!(readings("/objects/a%2Fb"), ["/objects/a%2Fb", "/objects/a/b"].map(str::to_owned).into());
}

#[test]
fn paths_are_compared_with_their_escapes_undone() {
    for (path, wanted) in [
        ("/joe@x", "/joe@x"),
        ("/joe%40x", "/joe@x"),
        ("/joe@x", "/joe%40x"),
        ("/joe%40x", "/joe%40x"),
        ("/my%20file", "/my file"),
        ("/caf%C3%A9", "/café"),
        ("/100%25", "/100%"),
    ] {
        assert!(same(path, wanted) && falls_under(path, wanted), "{path} {wanted}");
        assert!(falls_under(&format!("{path}/more"), wanted), "{path} {wanted}");
        assert!(!falls_under(&format!("{path}more"), wanted), "{path} {wanted}");
        assert!(!same(&format!("{path}/"), wanted), "{path} {wanted}");
    }
    assert!(falls_under("*", "") && falls_under("/%40", ""));
    assert!(!falls_under("/a", "/a%40"));
}

/// Pieces that make paths, more of them odd than in life.
fn a_path() -> impl Strategy<Value = String> {
    let pieces = vec![
        "/", "/", "/", "a", "B", ".", "..", "%2e", "%2E", "%2f", "%5C", "\\", ";", ";x=1", "%25", "2e",
        "%41", "%c3%a9", "é", "%C0%AE", "%40", "@", "%20", "%3b", "%", "%0a", "#", "+",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..10)
        .prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_one_form_is_its_own_form_and_has_no_dot_segments(path in a_path()) {
        let Ok(form) = super::path(&path) else { return Ok(()) };
        let again = super::path(&form);
        prop_assert_eq!(again.as_deref(), Ok(&*form));
        prop_assert!(form.is_ascii() && form.starts_with('/'));
        prop_assert!(form.split('/').all(|segment| !matches!(segment, "." | "..")), "{}", form);
    }

    #[test]
    fn two_spellings_of_one_character_make_no_difference(path in a_path(), at in any::<prop::sample::Index>()) {
        let Ok(form) = super::path(&path) else { return Ok(()) };
        let at = at.index(form.len());
        let byte = form.as_bytes()[at];
        let inside_an_escape = form[..at].ends_with('%') || form[..at].rfind('%') == Some(at.wrapping_sub(2));
        if inside_an_escape || matches!(byte, b'/' | b'%' | b'\\' | b';') {
            return Ok(());
        }
        let other = format!("{}%{byte:02x}{}", &form[..at], &form[at + 1..]);
        let other = super::path(&other).unwrap();
        prop_assert!(same(&form, &other), "{} {}", form, other);
        prop_assert_eq!(is_ambiguous(&form), is_ambiguous(&other), "{} {}", form, other);
    }

    #[test]
    fn nothing_has_another_reading_but_what_is_ambiguous(path in a_path()) {
        let Ok(form) = super::path(&path) else { return Ok(()) };
        let readings = readings(&form);
        prop_assert!(readings.contains(&*form), "{} {:?}", form, readings);
        prop_assert!(is_ambiguous(&form) || readings.len() == 1, "{} {:?}", form, readings);
    }
}
