use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn name(nth: usize) -> Name {
    Name { namespace: "shop".to_owned(), name: format!("w{nth}") }
}

/// A workload whose labels are those of its service.
fn said(nth: usize, service: &str) -> Registered {
    let labels = BTreeMap::from([("app".to_owned(), service.to_owned())]);
    Registered { workload: name(nth), labels, ..Registered::default() }
}

fn after(start: Duration) -> Moment {
    Moment::START + start
}

fn empty() -> Roll {
    Roll::restored(Vec::new(), Patience::default(), Moment::START)
}

/// One that says at once that it is well.
fn attach(roll: &mut Roll, said: Registered) -> Session {
    let session = roll.attach(said);
    roll.application(&session, Health::Healthy);
    session
}

fn health(roll: &Roll, nth: usize) -> Option<Health> {
    roll.look(&name(nth)).map(|(_, health)| health)
}

fn remove_due(roll: &mut Roll, now: Moment) -> usize {
    let due = roll.due(now);
    due.iter().for_each(|workload| roll.remove(workload));
    due.len()
}

#[test]
fn a_lost_stream_is_unconfirmed_at_once_removed_after_ten_minutes_and_back_at_any_time() {
    let mut roll = empty();
    let session = attach(&mut roll, said(0, "web"));
    assert_eq!(health(&roll, 0), Some(Health::Healthy));
    assert_eq!(roll.detach(&session, after(MINUTE)), Lost::Unconfirmed);
    assert_eq!(health(&roll, 0), Some(Health::Unconfirmed));
    assert!(roll.due(after(10 * MINUTE)).is_empty());
    attach(&mut roll, said(0, "web"));
    assert_eq!(health(&roll, 0), Some(Health::Healthy));
    assert!(roll.due(after(DAY)).is_empty(), "it is there");

    let session = attach(&mut roll, said(0, "web"));
    roll.detach(&session, after(20 * MINUTE));
    assert_eq!(remove_due(&mut roll, after(30 * MINUTE)), 1);
    assert_eq!(health(&roll, 0), None);
}

#[test]
fn a_stream_that_was_replaced_says_nothing_more() {
    let mut roll = empty();
    let first = attach(&mut roll, said(0, "web"));
    let second = attach(&mut roll, said(0, "web"));
    assert!(!roll.application(&first, Health::Unhealthy));
    assert_eq!(roll.going(&first), None);
    assert_eq!(roll.detach(&first, after(MINUTE)), Lost::WasReplaced);
    assert_eq!(health(&roll, 0), Some(Health::Healthy));
    assert_eq!(roll.detach(&second, after(MINUTE)), Lost::Unconfirmed);
}

#[test]
fn whoever_says_it_is_going_is_out_of_service_at_once_and_gone_with_its_stream() {
    let mut roll = empty();
    let session = attach(&mut roll, said(0, "web"));
    assert!(roll.going(&session).is_some_and(|said| said.going));
    assert_eq!(roll.going(&session), None, "no news");
    assert_eq!(health(&roll, 0), Some(Health::Draining));
    roll.application(&session, Health::Healthy);
    assert_eq!(health(&roll, 0), Some(Health::Draining));
    assert!(roll.due(after(MINUTE)).is_empty());
    assert_eq!(roll.detach(&session, after(MINUTE)), Lost::Gone);
    // Should its removal not have been written, it is tried again, and it stays out meanwhile.
    assert_eq!(health(&roll, 0), Some(Health::Draining));
    assert_eq!(roll.due(after(MINUTE)), [name(0)]);
    // A new process of the same name is in again, once it has said that it is well.
    let session = roll.attach(said(0, "web"));
    assert_eq!(health(&roll, 0), Some(Health::Unconfirmed));
    roll.application(&session, Health::Healthy);
    assert_eq!(health(&roll, 0), Some(Health::Healthy));
}

#[test]
fn nobody_is_called_before_it_has_said_that_it_is_well_but_who_only_comes_back_is_as_well_as_before() {
    let elsewhere = |port| Registered { inbound_port: port, ..said(0, "web") };
    let mut roll = empty();
    for (port, want) in [(1, Health::Unconfirmed), (1, Health::Healthy), (2, Health::Unconfirmed)] {
        let session = roll.attach(elsewhere(port));
        assert_eq!(health(&roll, 0), Some(want), "port {port}");
        roll.application(&session, Health::Healthy);
    }
}

#[test]
fn an_application_that_is_not_well_stays_so_when_its_stream_is_lost() {
    for (reported, lost) in [
        (Health::Healthy, Health::Unconfirmed),
        (Health::Unconfirmed, Health::Unconfirmed),
        (Health::Unhealthy, Health::Unhealthy),
    ] {
        let mut roll = empty();
        let session = attach(&mut roll, said(0, "web"));
        assert_eq!(roll.application(&session, reported), reported != Health::Healthy);
        assert_eq!(health(&roll, 0), Some(reported));
        roll.detach(&session, after(MINUTE));
        assert_eq!(health(&roll, 0), Some(lost));
    }
}

#[test]
fn removal_freezes_when_more_than_a_third_vanish_together() {
    // (how many there are, how many vanish at once, how many are removed ten minutes later)
    for (all, vanish, removed) in [
        (1, 1, 1),
        (3, 3, 3),
        (4, 1, 1),
        (4, 2, 0),
        (6, 2, 2),
        (6, 3, 0),
        (9, 3, 3),
        (9, 4, 0),
        (100, 100, 0),
    ] {
        let mut roll = empty();
        let sessions: Vec<_> = (0..all).map(|nth| attach(&mut roll, said(nth, "web"))).collect();
        for session in &sessions[..vanish] {
            roll.detach(session, after(5 * MINUTE));
        }
        assert_eq!(remove_due(&mut roll, after(15 * MINUTE)), removed, "{vanish} of {all}");
        assert_eq!(remove_due(&mut roll, after(DAY)), 0, "{vanish} of {all}: still frozen");
        assert_eq!(remove_due(&mut roll, after(5 * MINUTE) + DAY), vanish - removed, "{vanish} of {all}");
    }
}

#[test]
fn those_who_vanish_one_by_one_are_removed_one_by_one() {
    let mut roll = empty();
    let sessions: Vec<_> = (0..8).map(|nth| attach(&mut roll, said(nth, "web"))).collect();
    for (nth, session) in (0_u32..).zip(&sessions[..4]) {
        roll.detach(session, after(nth * 3 * MINUTE));
    }
    let mut left = Vec::new();
    for minute in 0..22 {
        remove_due(&mut roll, after(minute * MINUTE));
        left.push(roll.count().0);
    }
    assert_eq!(left, [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7, 7, 7, 6, 6, 6, 5, 5, 5, 4, 4, 4]);
}

#[test]
fn nothing_is_removed_in_the_first_minute_whatever_expiry_is_set() {
    let patience = Patience { expiry: Duration::from_secs(1), ..Patience::default() };
    let mut roll = Roll::restored(Vec::new(), patience, Moment::START);
    let session = attach(&mut roll, said(0, "web"));
    roll.detach(&session, after(Duration::from_secs(2)));
    assert!(roll.due(after(Duration::from_secs(59))).is_empty());
    assert_eq!(roll.due(after(MINUTE)), [name(0)]);
}

proptest! {
    /// Restart with any registrations, let any of them come back and go again at any time: as long as a day has not
    /// passed, every service that had an endpoint has one.
    #[test]
    fn a_restarted_control_plane_never_empties_a_service(
        services in prop::collection::vec(0_u8..5, 1..30),
        // Who comes back, and when, in seconds after the start.
        returns in prop::collection::vec((0_usize..30, 0_u64..3600), 0..30),
        ticks in prop::collection::vec(0_u64..86_000, 1..20),
    ) {
        let known: Vec<_> =
            services.iter().enumerate().map(|(nth, service)| said(nth, &service.to_string())).collect();
        let mut roll = Roll::restored(known, Patience::default(), Moment::START);
        let mut events: Vec<(u64, Option<usize>)> = ticks.iter().map(|second| (*second, None)).collect();
        events.extend(returns.iter().map(|(nth, second)| (*second, Some(nth % services.len()))));
        events.sort_unstable();
        for (second, who) in events {
            match who {
                Some(nth) => drop(attach(&mut roll, said(nth, &services[nth].to_string()))),
                None => drop(remove_due(&mut roll, after(Duration::from_secs(second)))),
            }
            let left: BTreeSet<u8> =
                (0..services.len()).filter(|nth| health(&roll, *nth).is_some()).map(|nth| services[nth]).collect();
            prop_assert_eq!(left, services.iter().copied().collect::<BTreeSet<u8>>());
        }
    }

    /// Whatever happens, whoever has a stream is never removed, and nobody outstays a day without one.
    #[test]
    fn whoever_is_there_stays_and_whoever_is_gone_for_a_day_is_removed(
        restored in 0_usize..6,
        events in prop::collection::vec((0_usize..6, 0_u8..3, 0_u64..600), 0..60),
    ) {
        let known = (0..restored).map(|nth| said(nth, "web")).collect();
        let mut roll = Roll::restored(known, Patience::default(), Moment::START);
        let mut sessions: BTreeMap<usize, Session> = BTreeMap::new();
        let mut now = Moment::START;
        for (nth, event, wait) in events {
            now = now + Duration::from_secs(wait);
            match event {
                0 => drop(sessions.insert(nth, attach(&mut roll, said(nth, "web")))),
                1 => if let Some(session) = sessions.remove(&nth) { roll.detach(&session, now); },
                _ => drop(remove_due(&mut roll, now)),
            }
            for there in sessions.keys() {
                prop_assert_eq!(health(&roll, *there), Some(Health::Healthy));
            }
        }
        remove_due(&mut roll, now + DAY);
        prop_assert_eq!(roll.count(), (sessions.len(), 0));
    }
}
