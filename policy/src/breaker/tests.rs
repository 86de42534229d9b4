//! What opens a breaker, how long it rests, and that it never lets more than one probe through.

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(millis: u64) -> Moment {
    Moment::START + Duration::from_millis(millis)
}

/// Three failures in a row, one second of rest, eight at most.
fn config() -> BreakerConfig {
    BreakerConfig { consecutive_failures: 3, max_open_for: secs(8), ..BreakerConfig::default() }
}

/// Sends one request through a breaker, if it admits one.
fn send(breaker: &Breaker, outcome: Outcome, config: &BreakerConfig, now: Moment) -> Option<Change> {
    let permit = breaker.begin(config, now)?;
    breaker.record(permit, outcome, config, now, &mut Draw::from_seed(now.as_nanos()))
}

fn tripped(config: &BreakerConfig, now: Moment) -> (Breaker, Moment) {
    let breaker = Breaker::default();
    for _ in 1..config.consecutive_failures {
        assert_eq!(send(&breaker, Outcome::Failure, config, now), None);
    }
    let Some(Change::Opened { until, .. }) = send(&breaker, Outcome::Failure, config, now) else {
        panic!("it does not open")
    };
    (breaker, until)
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_starts_over() {
    let (config, breaker) = (config(), Breaker::default());
    for _ in 0..10 {
        assert_eq!(send(&breaker, Outcome::Failure, &config, at(0)), None);
        assert_eq!(send(&breaker, Outcome::Failure, &config, at(0)), None);
        assert_eq!(send(&breaker, Outcome::Success, &config, at(0)), None);
    }
    assert_eq!(send(&breaker, Outcome::Failure, &config, at(0)), None);
    assert_eq!(send(&breaker, Outcome::Failure, &config, at(0)), None);
    let change = send(&breaker, Outcome::Failure, &config, at(0));
    assert!(
        matches!(change, Some(Change::Opened { why: Trip::Consecutive { failures: 3 }, .. })),
        "{change:?}"
    );
}

#[test]
fn too_few_successes_over_the_window_open_it_once_there_are_enough_results() {
    let config = BreakerConfig { consecutive_failures: 0, min_success_rate: 0.5, ..BreakerConfig::default() };
    let breaker = Breaker::default();
    // Alternating: one failure more than successes at every odd result; the tenth makes it half, not below.
    for n in 0..10 {
        let outcome = if n % 2 == 0 { Outcome::Failure } else { Outcome::Success };
        assert_eq!(send(&breaker, outcome, &config, at(n * 100)), None, "result {n}");
    }
    let change = send(&breaker, Outcome::Failure, &config, at(1000));
    let why = Trip::SuccessRate { successes: 5, of: 11 };
    assert!(matches!(change, Some(Change::Opened { why: got, .. }) if got == why), "{change:?}");

    let breaker = Breaker::default();
    for n in 0..100 {
        // Nine failures every eleven seconds: never ten results within the window.
        for _ in 0..9 {
            assert_eq!(send(&breaker, Outcome::Failure, &config, at(n * 11_000)), None);
        }
    }
}

#[test]
fn an_open_breaker_admits_nothing_until_it_has_rested_and_then_one_probe() {
    let config = config();
    let (breaker, until) = tripped(&config, at(5000));
    let rest = until.since(at(5000));
    assert!((Duration::from_millis(799)..=secs(1)).contains(&rest), "{rest:?}");
    assert!(!breaker.admits(&config, at(5000)) && breaker.begin(&config, at(5799)).is_none());
    assert_eq!(breaker.state(), BreakerState::Open { until });
    assert!(breaker.admits(&config, until), "due");
    let probe = breaker.begin(&config, until).unwrap();
    assert!(probe.is_probe() && !breaker.admits(&config, until) && breaker.begin(&config, until).is_none());
    assert_eq!(breaker.state(), BreakerState::Probing { since: until });
    let mut draw = Draw::from_seed(0);
    assert_eq!(breaker.record(probe, Outcome::Success, &config, until, &mut draw), Some(Change::Closed));
    assert_eq!(breaker.state(), BreakerState::Closed);
    // It starts from nothing.
    assert_eq!(send(&breaker, Outcome::Failure, &config, until), None);
}

#[test]
fn each_failed_probe_doubles_the_rest_up_to_the_longest() {
    let config = config();
    let (breaker, mut now) = tripped(&config, at(0));
    for want in [2, 4, 8, 8, 8] {
        let Some(Change::Opened { until, why: Trip::ProbeFailed }) =
            send(&breaker, Outcome::Failure, &config, now)
        else {
            panic!("a failed probe opens it again")
        };
        let rest = until.since(now);
        assert!(secs(want).mul_f64(0.79) <= rest && rest <= secs(want), "{rest:?} for {want} s");
        now = until;
    }
    assert_eq!(send(&breaker, Outcome::Success, &config, now), Some(Change::Closed));
    let (_, until) = tripped(&config, now);
    assert!(until.since(now) <= secs(1), "closing forgets the doubling");
}

#[test]
fn results_of_requests_from_before_it_opened_are_old_news() {
    let config = config();
    let breaker = Breaker::default();
    let early = breaker.begin(&config, at(0)).unwrap();
    for _ in 0..3 {
        let _ = send(&breaker, Outcome::Failure, &config, at(1));
    }
    let open = breaker.state();
    let mut draw = Draw::from_seed(0);
    for outcome in [Outcome::Success, Outcome::Failure] {
        assert_eq!(breaker.record(early, outcome, &config, at(2), &mut draw), None);
        assert_eq!(breaker.state(), open);
    }
    let probe = breaker.begin(&config, at(1001)).unwrap();
    assert_eq!(breaker.record(early, Outcome::Success, &config, at(1002), &mut draw), None);
    assert!(matches!(breaker.state(), BreakerState::Probing { .. }), "only the probe may close it");
    breaker.abandon(probe);
    assert!(breaker.admits(&config, at(1001)), "an abandoned probe makes room for the next");
}

#[test]
fn a_probe_that_never_reports_holds_the_next_one_up_for_the_longest_rest_only() {
    let config = config();
    let (breaker, until) = tripped(&config, at(0));
    let lost = breaker.begin(&config, until).unwrap();
    assert!(!breaker.admits(&config, until + Duration::from_millis(7999)));
    let next = breaker.begin(&config, until + secs(8)).unwrap();
    let mut draw = Draw::from_seed(0);
    assert_eq!(breaker.record(lost, Outcome::Success, &config, until + secs(9), &mut draw), None, "too late");
    assert_eq!(
        breaker.record(next, Outcome::Success, &config, until + secs(9), &mut draw),
        Some(Change::Closed)
    );
}

#[test]
fn switching_it_off_lets_an_open_one_pass() {
    let (breaker, _) = tripped(&config(), at(0));
    let off = BreakerConfig { consecutive_failures: 0, ..config() };
    assert!(breaker.admits(&off, at(0)) && breaker.begin(&off, at(0)).is_some_and(|p| !p.is_probe()));
    assert!(!breaker.admits(&config(), at(0)));
}

#[test]
fn what_counts_as_failure() {
    let table = [
        (Outcome::of_response(200, None), true),
        (Outcome::of_response(404, None), true),
        (Outcome::of_response(429, None), true),
        (Outcome::of_response(500, None), false),
        (Outcome::of_response(503, None), false),
        (Outcome::of_response(200, Some(0)), true),
        (Outcome::of_response(200, Some(5)), true),   // NOT_FOUND
        (Outcome::of_response(200, Some(2)), false),  // UNKNOWN
        (Outcome::of_response(200, Some(4)), false),  // DEADLINE_EXCEEDED
        (Outcome::of_response(200, Some(8)), true),   // RESOURCE_EXHAUSTED
        (Outcome::of_response(200, Some(13)), false), // INTERNAL
        (Outcome::of_response(200, Some(14)), false), // UNAVAILABLE
        (Outcome::of_response(200, Some(15)), false), // DATA_LOSS
        (Outcome::of_failure(Failure::ConnectFailed).unwrap(), false),
        (Outcome::of_failure(Failure::WrongIdentity).unwrap(), false),
        (Outcome::of_failure(Failure::NotSent).unwrap(), false),
        (Outcome::of_failure(Failure::ResetBeforeResponse).unwrap(), false),
        (Outcome::of_failure(Failure::TryTimeout).unwrap(), false),
        (Outcome::of_failure(Failure::Status(502)).unwrap(), false),
        (Outcome::of_failure(Failure::Status(409)).unwrap(), true),
        (Outcome::of_failure(Failure::Grpc(14)).unwrap(), false),
    ];
    for (row, (outcome, works)) in table.into_iter().enumerate() {
        assert_eq!(outcome == Outcome::Success, works, "row {row}");
    }
    assert_eq!(Outcome::of_failure(Failure::RefusedStream), None);
}

#[test]
fn of_many_threads_one_gets_the_probe() {
    let config = config();
    let (breaker, until) = tripped(&config, at(0));
    let probes = AtomicUsize::new(0);
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..1000 {
                    if breaker.begin(&config, until).is_some() {
                        probes.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(probes.load(Relaxed), 1);
}

/// What may happen to a breaker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Begin,
    /// One of those under way ends so.
    End(usize, Option<Outcome>),
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop::sample::select(vec![None, Some(Outcome::Success), Some(Outcome::Failure)]);
    prop_oneof![
        (0u64..3000).prop_map(Event::Wait),
        Just(Event::Begin),
        Just(Event::Begin),
        (0usize..8, outcome).prop_map(|(which, outcome)| Event::End(which, outcome)),
    ]
}

proptest! {
    /// Nothing passes while it rests, at most one probe is under way, and once its endpoint works it closes.
    #[test]
    fn it_never_admits_while_resting_and_it_recovers(
        events in prop::collection::vec(event(), 0..200),
        rate in prop::sample::select(vec![0.0, 0.5, 0.99]),
        seed in any::<u64>(),
    ) {
        // A probe may not be lost here, or there would be two.
        let config = BreakerConfig {
            min_success_rate: rate, max_open_for: secs(100_000), ..config()
        };
        let breaker = Breaker::default();
        let mut draw = Draw::from_seed(seed);
        let mut now = at(0);
        let mut resting_until = None;
        let mut under_way: Vec<Permit> = Vec::new();
        for event in events {
            match event {
                Event::Wait(millis) => now = now + Duration::from_millis(millis),
                Event::Begin => {
                    let admits = breaker.admits(&config, now);
                    let permit = breaker.begin(&config, now);
                    prop_assert_eq!(admits, permit.is_some(), "admits and begin agree");
                    if resting_until.is_some_and(|until| now < until) {
                        prop_assert!(permit.is_none(), "while resting");
                    }
                    under_way.extend(permit);
                }
                Event::End(which, outcome) => {
                    if under_way.is_empty() { continue; }
                    let permit = under_way.swap_remove(which % under_way.len());
                    match outcome.map(|outcome| breaker.record(permit, outcome, &config, now, &mut draw)) {
                        Some(Some(Change::Opened { until, .. })) => resting_until = Some(until),
                        Some(Some(Change::Closed)) => resting_until = None,
                        Some(None) => {}
                        None => breaker.abandon(permit),
                    }
                }
            }
            prop_assert!(under_way.iter().filter(|permit| permit.is_probe()).count() <= 1);
        }
        // From here on the endpoint works.
        for permit in under_way.drain(..) {
            let _ = breaker.record(permit, Outcome::Success, &config, now, &mut draw);
        }
        now = now + config.max_open_for;
        let _ = send(&breaker, Outcome::Success, &config, now);
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
