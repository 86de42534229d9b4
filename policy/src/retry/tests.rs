//! What is worth another try, and that all of them together stay within the budget.

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::START + Duration::from_millis(millis)
}

const GET: Replay = Replay { idempotent: true, body_replayable: true };
const POST: Replay = Replay { idempotent: false, body_replayable: true };

fn attempt(number: u32, failure: Failure, replay: Replay) -> Attempt {
    Attempt { number, failure, replay, deadline: None }
}

fn ask(retry: &Retry, attempt: &Attempt) -> Result<Duration, Because> {
    let now = at(1000);
    let (budget, config) = (Budget::default(), BudgetConfig::default());
    match next(retry, &budget, &config, attempt, now, &mut Draw::from_seed(4)) {
        Next::TryAgain { at, why } => {
            assert_eq!(why, attempt.failure);
            Ok(at.since(now))
        }
        Next::GiveUp(because) => Err(because),
    }
}

#[test]
fn by_default_only_what_is_proven_unprocessed_is_tried_again() {
    // DESIGN "What must stay true" 6; catalogue D2, D3.
    let retry = Retry::default();
    for replay in [GET, POST] {
        for failure in
            [Failure::ConnectFailed, Failure::WrongIdentity, Failure::NotSent, Failure::RefusedStream]
        {
            assert!(ask(&retry, &attempt(1, failure, replay)).is_ok(), "{failure:?} {replay:?}");
        }
        for failure in [
            Failure::ResetBeforeResponse,
            Failure::TryTimeout,
            Failure::Status(503),
            Failure::Status(500),
            Failure::Grpc(14),
        ] {
            let got = ask(&retry, &attempt(1, failure, replay));
            assert_eq!(got, Err(Because::NotNamed(failure)), "{replay:?}");
        }
    }
}

#[test]
fn what_may_have_been_processed_is_repeated_only_where_the_policy_names_that() {
    let named = Retry {
        statuses: vec![500, 503],
        grpc_codes: vec![14],
        on_timeout: true,
        on_reset: true,
        ..Retry::default()
    };
    let opted_in = Retry { non_idempotent: true, ..named.clone() };
    for failure in
        [Failure::ResetBeforeResponse, Failure::TryTimeout, Failure::Status(503), Failure::Grpc(14)]
    {
        assert!(ask(&named, &attempt(1, failure, GET)).is_ok(), "{failure:?}");
        assert_eq!(ask(&named, &attempt(1, failure, POST)), Err(Because::NotIdempotent(failure)));
        assert!(ask(&opted_in, &attempt(1, failure, POST)).is_ok(), "{failure:?}");
    }
    // GEP-1731: "codes that are not listed pass through".
    for failure in [Failure::Status(502), Failure::Grpc(13)] {
        assert_eq!(ask(&opted_in, &attempt(1, failure, GET)), Err(Because::NotNamed(failure)));
    }
}

#[test]
fn attempts_count_retries_beyond_the_first_try() {
    // GEP-1731 `attempts`.
    for (attempts, number, want) in [
        (0, 1, Some(Because::Off)),
        (1, 1, None),
        (1, 2, Some(Because::AttemptsSpent(1))),
        (2, 2, None),
        (2, 3, Some(Because::AttemptsSpent(2))),
    ] {
        let retry = Retry { attempts, ..Retry::default() };
        assert_eq!(
            ask(&retry, &attempt(number, Failure::ConnectFailed, GET)).err(),
            want,
            "{attempts} {number}"
        );
    }
}

#[test]
fn a_body_that_is_gone_is_not_sent_again() {
    let gone = Replay { body_replayable: false, ..GET };
    assert_eq!(ask(&Retry::default(), &attempt(1, Failure::RefusedStream, gone)), Err(Because::BodyGone));
}

#[test]
fn what_a_server_refused_to_look_at_is_tried_once_more_at_once_and_beside_the_budget() {
    let none = BudgetConfig { percent: 0, min_per_second: 0, ..BudgetConfig::default() };
    let after = |failure, number| {
        let retry = Retry { attempts: 3, ..Retry::default() };
        let (attempt, mut draw) = (attempt(number, failure, POST), Draw::from_seed(1));
        next(&retry, &Budget::default(), &none, &attempt, at(1000), &mut draw)
    };
    let again = Next::TryAgain { at: at(1000), why: Failure::RefusedStream };
    assert_eq!(after(Failure::RefusedStream, 1), again);
    assert_eq!(after(Failure::RefusedStream, 2), Next::GiveUp(Because::NoBudget));
    assert_eq!(after(Failure::ConnectFailed, 1), Next::GiveUp(Because::NoBudget));
}

#[test]
fn no_retry_begins_at_or_after_the_deadline() {
    // GEP-1742: the request timeout covers retries and the waits between them.
    let retry =
        Retry { backoff: Duration::from_millis(100), max_backoff: Duration::ZERO, ..Retry::default() };
    for (deadline, want) in
        [(1099, Err(Because::NoTime)), (1100, Err(Because::NoTime)), (1101, Ok(Duration::from_millis(100)))]
    {
        let attempt = Attempt { deadline: Some(at(deadline)), ..attempt(1, Failure::ConnectFailed, GET) };
        assert_eq!(ask(&retry, &attempt), want, "{deadline}");
    }
}

#[test]
fn the_wait_doubles_and_is_never_below_the_backoff_nor_above_the_longest() {
    // GEP-1731 `backoff`: the minimum between retries.
    let retry = Retry { attempts: 9, ..Retry::default() }; // 25 ms, at most 1 s
    for (retries, least, most) in [
        (0, 25, 50),
        (1, 50, 100),
        (2, 100, 200),
        (4, 400, 800),
        (5, 500, 1000),
        (8, 500, 1000),
        (60, 500, 1000),
    ] {
        let mut draw = Draw::from_seed(retries.into());
        for _ in 0..100 {
            let wait = retry.wait(retries, &mut draw);
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(range.contains(&wait), "retry {retries}: {wait:?}");
        }
    }
    let instant = Retry { backoff: Duration::ZERO, max_backoff: Duration::ZERO, ..Retry::default() };
    assert_eq!(instant.wait(3, &mut Draw::from_seed(1)), Duration::ZERO);
    let endless = Retry { backoff: Duration::MAX, max_backoff: Duration::MAX, ..Retry::default() };
    assert!(endless.wait(40, &mut Draw::from_seed(1)) > Duration::from_secs(1));
}

#[test]
fn idempotent_methods_are_those_of_the_standard() {
    // RFC 9110 §9.2.2: PUT, DELETE and the safe methods.
    let table = [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
        ("CONNECT", false),
        ("get", false),
        ("PROPFIND", false),
    ];
    for (method, want) in table {
        assert_eq!(is_idempotent(&method.parse().unwrap()), want, "{method}");
    }
}

#[test]
fn a_retry_storm_adds_a_fifth_to_the_load() {
    // Catalogue D7: 100 % failures, every request wants two retries, 1000 requests a second for 30 s.
    let (budget, config) = (Budget::default(), BudgetConfig::default());
    let mut retries = 0u32;
    for millis in 0..30_000 {
        budget.record_request(&config, at(millis));
        retries += u32::from(budget.try_spend(&config, at(millis)));
        retries += u32::from(budget.try_spend(&config, at(millis)));
    }
    assert!(retries <= 30_000 / 5 + 3 * 100, "{retries}");
    assert!(retries >= 30_000 / 5 - 3 * 200, "{retries}: it must not starve either");
}

#[test]
fn threads_cannot_overdraw_together() {
    let (budget, config) = (Budget::default(), BudgetConfig::default());
    let spent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| budget.try_spend(&config, at(5))).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(spent, 100, "ten a second over ten seconds");
    assert_eq!(budget.used(&config, at(5)), (100, 100));
}

proptest! {
    /// Over any window that ends with a retry: at most the share of the requests in it, and the floor.
    #[test]
    fn retries_stay_within_the_budget_over_any_sequence(
        steps in prop::collection::vec((0u64..400, 0u32..6, 0u32..6), 1..300),
        percent in 0u32..60,
        min_per_second in 0u32..4,
    ) {
        let config = BudgetConfig { percent, min_per_second, window: Duration::from_secs(2) };
        let budget = Budget::default();
        let (mut now, mut requests, mut retries) = (0u64, Vec::new(), Vec::new());
        for (wait, ask, retry) in steps {
            now += wait;
            for _ in 0..ask {
                budget.record_request(&config, at(now));
                requests.push(now);
            }
            for _ in 0..retry {
                if !budget.try_spend(&config, at(now)) { continue; }
                retries.push(now);
                let within = |times: &[u64]| times.iter().filter(|time| **time + 2000 > now).count() as u64;
                let allowed = within(&requests) * u64::from(percent) / 100 + u64::from(min_per_second) * 2;
                prop_assert!(within(&retries) <= allowed, "{} of {allowed}", within(&retries));
            }
        }
    }

    /// A request that is not idempotent and may have been processed is never sent again without the opt-in.
    #[test]
    fn nothing_is_ever_done_twice_by_accident(
        failure in prop_oneof![
            Just(Failure::ConnectFailed), Just(Failure::RefusedStream), Just(Failure::ResetBeforeResponse),
            Just(Failure::TryTimeout), (400u16..600).prop_map(Failure::Status), (1u8..17).prop_map(Failure::Grpc),
        ],
        attempts in 0u32..4, number in 1u32..6, on_timeout: bool, on_reset: bool,
    ) {
        let retry = Retry {
            attempts, on_timeout, on_reset,
            statuses: (400..600).collect(), grpc_codes: (1..17).collect(), ..Retry::default()
        };
        if ask(&retry, &attempt(number, failure, POST)).is_ok() {
            prop_assert!(failure.is_unprocessed() && number <= attempts);
        }
    }
}
