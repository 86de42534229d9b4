use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::journal::sim::{Fault, SimDisk};

const ROOT: &str = "ab";

fn domain() -> TrustDomain {
    "mesh".parse().unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn on(disk: &SimDisk) -> JoinTokens {
    let ledger = match Ledger::open(Arc::new(disk.clone())).unwrap() {
        Some(ledger) => ledger,
        None => Ledger::create(Arc::new(disk.clone()), Vec::new()).unwrap(),
    };
    JoinTokens::new(Arc::new(ledger), domain())
}

fn wanted(workload: &str, uses: u32) -> Wanted {
    Wanted {
        workload: workload.to_owned(),
        service_account: "web".to_owned(),
        lifetime: Duration::ZERO,
        uses,
    }
}

fn create(tokens: &JoinTokens, uses: u32) -> String {
    let root: RootHash = ROOT.repeat(32).parse().unwrap();
    tokens.create(&wanted("shop/web-1", uses), root, at(0)).unwrap().token.to_string()
}

fn label(result: &Result<Admitted, Refused>) -> &'static str {
    result.as_ref().map_or_else(Refused::label, |_| "admitted")
}

#[test]
fn a_token_admits_its_workload_as_its_identity_and_only_once() {
    let tokens = on(&SimDisk::default());
    let token = create(&tokens, 0);
    let admitted = tokens.admit(&token, "shop/web-1", at(1)).unwrap();
    assert_eq!(admitted.identity.as_str(), "spiffe://mesh/ns/shop/sa/web");
    assert!(tokens.knows(&admitted.identity));
    assert_eq!(label(&tokens.admit(&token, "shop/web-1", at(2))), "token_used");
}

#[test]
fn each_bad_token_has_its_own_reason_and_costs_no_use() {
    let tokens = on(&SimDisk::default());
    let token = create(&tokens, 1);
    let flipped = |text: &str| {
        let last = if text.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    let day = 24 * 60 * 60;
    for (text, said, second, want) in [
        ("", "", 0, "token_malformed"),
        ("hunter2", "", 0, "token_malformed"),
        (&token.replace("mesh", "other"), "", 0, "token_other_trust_domain"),
        (&flipped(&token), "", 0, "token_unknown"),
        (&token, "shop/web-2", 0, "token_other_workload"),
        (&token, "bank/web-1", 0, "token_other_workload"),
        (&token, "shop", 0, "token_other_workload"),
        (&token, "shop/web-1", day, "token_expired"),
        (&token, "shop/web-1", day - 1, "admitted"),
        (&token, "shop/web-1", day - 1, "token_used"),
        (&token, "shop/web-1", day, "token_expired"),
    ] {
        assert_eq!(label(&tokens.admit(text, said, at(second))), want, "{said} at {second}");
    }
    assert_eq!(
        label(&tokens.admit(&create(&tokens, 1), "", at(1))),
        "admitted",
        "the workload need not be said"
    );
}

#[test]
fn a_token_cannot_be_made_for_a_name_or_a_life_that_is_out_of_bounds() {
    let tokens = on(&SimDisk::default());
    let root = ROOT.repeat(32).parse().unwrap();
    let of = |workload: &str| wanted(workload, 1);
    let days = |days: u64| Duration::from_secs(days * DAY);
    for (wanted, good) in [
        (of("shop/web.one"), true),
        (Wanted { lifetime: days(30), ..of("shop/web") }, true),
        (Wanted { lifetime: days(31), ..of("shop/web") }, false),
        (Wanted { uses: MAX_USES + 1, ..of("shop/web") }, false),
        (of("web"), false),
        (of("shop/"), false),
        (of("../web"), false),
        (of("shop/a/b"), false),
        (of("Shop/web"), false),
        (Wanted { service_account: "a/b".to_owned(), ..of("shop/web") }, false),
        (Wanted { service_account: "..".to_owned(), ..of("shop/web") }, false),
        (Wanted { service_account: String::new(), ..of("shop/web") }, false),
        (Wanted { service_account: "a".repeat(254), ..of("shop/web") }, false),
    ] {
        assert_eq!(tokens.create(&wanted, root, at(0)).is_ok(), good, "{wanted:?}");
    }
}

#[test]
fn of_many_who_race_for_a_token_as_many_win_as_it_has_uses() {
    for uses in [1_u32, 3] {
        let tokens = on(&SimDisk::default());
        let token = create(&tokens, uses);
        let start = Barrier::new(8);
        let won = thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        tokens.admit(&token, "shop/web-1", at(1)).is_ok()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| u32::from(racer.join().unwrap())).sum::<u32>()
        });
        assert_eq!(won, uses);
    }
}

#[test]
fn a_use_that_cannot_be_recorded_admits_nobody_and_is_not_lost() {
    let disk = SimDisk::default();
    let tokens = on(&disk);
    let token = create(&tokens, 1);
    disk.suffer(Fault::Full);
    assert_eq!(label(&tokens.admit(&token, "", at(1))), "journal");
    disk.suffer(Fault::None);
    assert_eq!(label(&tokens.admit(&token, "", at(1))), "admitted");
}

#[test]
fn a_crash_at_any_byte_never_gives_a_second_use() {
    let whole = SimDisk::default();
    let tokens = on(&whole);
    create(&tokens, 1);
    let created = whole.steps_taken();
    tokens.admit(&create(&tokens, 1), "", at(1)).unwrap();
    for more in 0..=whole.steps_taken() - created {
        let disk = SimDisk::default();
        let tokens = on(&disk);
        let token = create(&tokens, 1);
        disk.kill_after(more);
        let first = tokens.admit(&token, "", at(1)).is_ok();
        let second = on(&disk.after_crash(more)).admit(&token, "", at(2)).is_ok();
        assert!(!(first && second), "killed after {more} more steps");
    }
}

#[test]
fn a_use_that_came_to_nothing_is_given_back() {
    let tokens = on(&SimDisk::default());
    let token = create(&tokens, 1);
    let admitted = tokens.admit(&token, "", at(1)).unwrap();
    tokens.give_back(&admitted);
    assert_eq!(label(&tokens.admit(&token, "", at(1))), "admitted");
    assert_eq!(label(&tokens.admit(&token, "", at(1))), "token_used");
}

#[test]
fn the_state_directory_holds_nothing_that_admits_and_neither_does_a_log_line() {
    let disk = SimDisk::default();
    let tokens = on(&disk);
    let text = create(&tokens, 1);
    let secret = text.parse::<Token>().unwrap().secret.0;
    let written = crate::journal::Disk::read(&disk, "journal.000001").unwrap();
    assert!(!written.windows(8).any(|bytes| secret.starts_with(bytes)));
    let hex = &text[text.len() - 64..];
    let admitted = tokens.admit(&text, "", at(1)).unwrap();
    let refused = tokens.admit(&text, "", at(1)).unwrap_err();
    for line in [format!("{admitted:?}"), format!("{refused:?} {refused}"), format!("{tokens:?}")] {
        assert!(!line.contains(hex), "{line}");
    }
}

#[test]
fn a_denied_identity_is_not_admitted() {
    let tokens = on(&SimDisk::default());
    let token = create(&tokens, 1);
    let denied = record::Denied { identity: "spiffe://mesh/ns/shop/sa/web".to_owned(), serial: Vec::new() };
    tokens.ledger.commit(|_| Ok::<_, JournalError>((vec![Change::Denied(denied)], ()))).unwrap();
    assert_eq!(label(&tokens.admit(&token, "", at(1))), "token_denied");
}

#[test]
fn what_has_long_expired_is_forgotten_and_what_may_come_back_is_not() {
    let tokens = on(&SimDisk::default());
    let token = create(&tokens, 2);
    let id = tokens.admit(&token, "", at(0)).unwrap().identity;
    let day = 24 * 60 * 60;
    tokens.forget_expired(at(2 * day)).unwrap();
    assert_eq!(label(&tokens.admit(&token, "", at(2 * day))), "token_expired");
    tokens.forget_expired(at(2 * day + 1)).unwrap();
    assert_eq!(label(&tokens.admit(&token, "", at(2 * day + 1))), "token_unknown");

    tokens.note_leaves(&[(id.clone(), at(5 * day))]).unwrap();
    tokens.forget_expired(at(12 * day)).unwrap();
    assert!(tokens.knows(&id));
    tokens.forget_expired(at(12 * day + 1)).unwrap();
    assert!(!tokens.knows(&id));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_used_at_most_as_often_as_it_may_be_whatever_happens(
        uses in 1_u32..4,
        // Use, give back what was got, restart.
        steps in prop::collection::vec(0_u8..4, 0..20),
    ) {
        let mut disk = SimDisk::default();
        let mut tokens = on(&disk);
        let token = create(&tokens, uses);
        let mut out: Vec<Admitted> = Vec::new();
        for step in steps {
            match step {
                0 | 1 => out.extend(tokens.admit(&token, "", at(1))),
                2 => if let Some(admitted) = out.pop() { tokens.give_back(&admitted) },
                _ => {
                    disk = disk.after_crash(u64::from(step));
                    tokens = on(&disk);
                }
            }
            prop_assert!(out.len() <= uses as usize);
        }
    }

    #[test]
    fn no_text_panics_or_admits(text in ".{0,200}", said in ".{0,50}") {
        let tokens = on(&SimDisk::default());
        create(&tokens, 1);
        prop_assert!(tokens.admit(&text, &said, at(1)).is_err());
    }
}
