//! What the rules say, in which order, and what happens when nft is not there or says no.

use proptest::prelude::*;

use super::*;

fn settings() -> RedirectSettings {
    RedirectSettings {
        proxy_uid: 2102,
        proxy_gid: Some(2102),
        inbound_port: 15006,
        outbound_port: 15001,
        dns_port: Some(15053),
        skip_inbound_ports: vec![],
        skip_outbound_ports: vec![],
        skip_inbound_from: vec![],
        skip_outbound_to: vec![],
    }
}

fn text(settings: RedirectSettings) -> String {
    Rules::new(settings).expect("settings that fit").to_nft()
}

/// Every one of `lines` stands in `text`, and in this order.
#[track_caller]
fn in_order(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let at =
            rest.find(line).unwrap_or_else(|| panic!("`{line}` is missing, or out of order, in\n{text}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn the_table_is_replaced_in_one_transaction() {
    assert!(text(settings()).starts_with("table inet weft\ndelete table inet weft\ntable inet weft {\n"));
}

#[test]
fn what_the_proxy_sends_is_let_go_before_anything_is_captured() {
    in_order(
        &text(settings()),
        &[
            "chain outbound {",
            "ip daddr 192.0.2.102 tcp dport 15022 counter redirect to :15022",
            "ip6 daddr 2001:db8::102 tcp dport 15022 counter redirect to :15022",
            "meta skuid 2102 return",
            "meta skgid 2102 return",
            "udp dport 53 counter redirect to :15053",
            "tcp dport 53 counter redirect to :15053",
            "oifname \"lo\" return",
            "meta l4proto tcp counter redirect to :15001",
        ],
    );
}

#[test]
fn inbound_is_captured_only_when_it_is_for_this_host() {
    in_order(
        &text(settings()),
        &[
            "chain inbound {",
            "iifname \"lo\" return",
            "meta l4proto tcp fib daddr type local counter redirect to :15006",
        ],
    );
}

#[test]
fn without_a_dns_port_no_rule_mentions_port_53_or_a_zone() {
    let text = text(RedirectSettings { dns_port: None, ..settings() });
    assert!(!text.contains("53 ") && !text.contains("zone"), "{text}");
}

#[test]
fn without_a_group_only_the_user_is_exempt() {
    let text = text(RedirectSettings { proxy_gid: None, ..settings() });
    assert!(!text.contains("skgid"), "{text}");
    in_order(&text, &["chain dns_out {", "meta skuid != 2102 udp dport 53 ct zone set 2"]);
}

#[test]
fn skip_lists_become_sets_without_overlap_in_both_families() {
    let ports = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    let nets = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    let text = text(RedirectSettings {
        skip_inbound_ports: ports(&["15021", "9999", "15020-15021"]),
        skip_outbound_ports: ports(&["4567-4568"]),
        skip_inbound_from: nets(&["fd00::/8", "fd00:1::/32"]),
        skip_outbound_to: nets(&["10.0.0.7/8", "10.1.0.0/16", "169.254.169.254/32", "fd00:9::1/128"]),
        ..settings()
    });
    in_order(
        &text,
        &[
            "set skip_inbound_ports { type inet_service; flags interval; elements = { 9999, 15020-15021 } }",
            "set skip_outbound_ports { type inet_service; flags interval; elements = { 4567-4568 } }",
            "set skip_inbound_from_6 { type ipv6_addr; flags interval; elements = { fd00::/8 } }",
            "set skip_outbound_to_4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 169.254.169.254/32 } }",
            "set skip_outbound_to_6 { type ipv6_addr; flags interval; elements = { fd00:9::1/128 } }",
            "tcp dport @skip_inbound_ports return",
            "ip6 saddr @skip_inbound_from_6 return",
            "tcp dport @skip_outbound_ports return",
            "ip daddr @skip_outbound_to_4 return",
            "ip6 daddr @skip_outbound_to_6 return",
        ],
    );
    assert!(!text.contains("@skip_inbound_from_4"), "a rule names a set that is not there:\n{text}");
}

#[test]
fn settings_that_capture_the_wrong_thing_are_refused() {
    let cases = [
        (RedirectSettings { inbound_port: 0, ..settings() }, BadRedirect::PortZero { which: "inbound" }),
        (RedirectSettings { outbound_port: 0, ..settings() }, BadRedirect::PortZero { which: "outbound" }),
        (RedirectSettings { dns_port: Some(0), ..settings() }, BadRedirect::PortZero { which: "dns" }),
        (RedirectSettings { inbound_port: 15001, ..settings() }, BadRedirect::SamePort { port: 15001 }),
        (RedirectSettings { proxy_uid: 0, ..settings() }, BadRedirect::RootIsNotAProxyUser),
    ];
    for (settings, want) in cases {
        assert_eq!(Rules::new(settings), Err(want));
    }
}

#[test]
fn a_port_range_is_a_port_or_two_in_order() {
    for (text, want) in [
        ("9999", Some("9999")),
        ("4567-4568", Some("4567-4568")),
        (" 1 - 2 ", Some("1-2")),
        ("7-7", Some("7")),
    ] {
        assert_eq!(text.parse::<PortRange>().ok().map(|range| range.to_string()).as_deref(), want, "{text}");
    }
    for text in ["", "0", "0-5", "9-8", "65536", "a", "1-2-3", "-", "80;drop", "-1"] {
        assert!(text.parse::<PortRange>().is_err(), "{text}");
    }
}

#[test]
fn a_missing_nft_is_named_together_with_the_package_to_install() {
    let error = feed_nft("nft-that-is-not-there", CLEAR).expect_err("there is no such program");
    assert!(matches!(error, RedirectError::NotInstalled));
    assert!(error.to_string().contains("apt-get install nftables"), "{error}");
}

#[test]
fn a_program_that_refuses_without_reading_is_reported_as_a_refusal() {
    let long = "table inet weft\n".repeat(100_000);
    assert!(matches!(feed_nft("false", &long), Err(RedirectError::Refused { .. })));
}

proptest! {
    #[test]
    fn merged_ranges_hold_the_same_ports_and_never_touch(pairs in prop::collection::vec((1_u16.., 0_u16..300), 0..30)) {
        let given: Vec<(u16, u16)> =
            pairs.into_iter().map(|(first, more)| (first, first.saturating_add(more))).collect();
        let mut ranges: Vec<PortRange> =
            given.iter().map(|(first, last)| format!("{first}-{last}").parse().unwrap()).collect();
        PortRange::merge(&mut ranges);
        let merged: Vec<(u32, u32)> = ranges
            .iter()
            .map(|range| {
                let text = range.to_string();
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                (first.parse().unwrap(), last.parse().unwrap())
            })
            .collect();
        prop_assert!(merged.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        // Membership can only change at an end of a range.
        let ends = given.iter().flat_map(|(first, last)| [u32::from(*first), u32::from(*last)]);
        for port in ends.flat_map(|end| [end - 1, end, end + 1]) {
            let before = given.iter().any(|(first, last)| (u32::from(*first)..=u32::from(*last)).contains(&port));
            let after = merged.iter().any(|(first, last)| (*first..=*last).contains(&port));
            prop_assert_eq!(before, after, "port {}", port);
        }
    }
}
