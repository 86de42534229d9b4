use proptest::prelude::*;

use super::super::MOMENT;
use super::*;

/// What is seen, at which second.
type Sight = (u64, Option<Seat>);

fn seat(holder: &str, renewed: &str) -> Seat {
    Seat { holder: holder.to_owned(), renewed: renewed.to_owned(), turns: 3 }
}

#[test]
fn who_may_take_it_and_when() {
    let start = Instant::now();
    let second = |n: u64| start + Duration::from_secs(n);
    // What is seen at which second, and what is done at the last of them.
    let table: [(&str, &[Sight], u64, Move); 7] = [
        ("there is none", &[(0, None)], 0, Move::Take { turns: 0 }),
        ("it was let go of", &[(0, Some(seat("", "1")))], 0, Move::Take { turns: 4 }),
        ("it is ours", &[(0, Some(seat("me", "1")))], 60, Move::Renew { turns: 3 }),
        ("somebody has just come to see it", &[(0, Some(seat("you", "1")))], 9, Move::Wait),
        ("it has not changed for long", &[(0, Some(seat("you", "1")))], 10, Move::Take { turns: 4 }),
        (
            "it is renewed, whatever the holder's clock says",
            &[(0, Some(seat("you", "2026"))), (8, Some(seat("you", "1970")))],
            17,
            Move::Wait,
        ),
        (
            "it is looked at often, which does not renew it",
            &[(0, Some(seat("you", "1"))), (4, Some(seat("you", "1"))), (8, Some(seat("you", "1")))],
            10,
            Move::Take { turns: 4 },
        ),
    ];
    for (case, seen, at, does) in table {
        let mut candidate = Candidate::new("me");
        for (when, seat) in seen {
            candidate.sees(seat.clone(), second(*when));
        }
        assert_eq!(candidate.next_move(second(at)), does, "{case}");
    }
}

#[test]
fn the_holder_stops_by_itself_before_anybody_else_may_begin() {
    assert!(ACTS + MOMENT < LASTS);
    let start = Instant::now();
    let mut candidate = Candidate::new("me");
    candidate.holds(seat("me", "1"), start);
    assert_eq!(candidate.acts_until(), Some(start + ACTS));
    candidate.sees(Some(seat("you", "2")), start + Duration::from_secs(1));
    assert_eq!(candidate.acts_until(), None, "at once, where it sees that it has lost it");
    candidate.holds(seat("me", "3"), start);
    candidate.sees(None, start);
    assert_eq!(candidate.acts_until(), None, "where the Lease was deleted");
    candidate.holds(seat("me", "3"), start);
    candidate.is_beaten();
    assert_eq!(candidate.acts_until(), None);
}

/// An API server with one Lease, and candidates whose requests are slow, get lost, or arrive and are not heard of.
#[derive(Default)]
struct Server {
    lease: Option<(Seat, u64)>,
    writes: u64,
}

/// What one candidate does at some time: its look takes so long, then its write so long; and what goes wrong.
#[derive(Clone, Copy, Debug)]
struct Turn {
    who: usize,
    after: u64,
    look: u64,
    write: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    LookLost,
    WriteLost,
    AnswerLost,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let fate = prop_oneof![
        6 => Just(Fate::Well),
        1 => Just(Fate::LookLost),
        1 => Just(Fate::WriteLost),
        1 => Just(Fate::AnswerLost)
    ];
    let turn = (0..3_usize, 0..6_000_u64, 0..1_500_u64, 0..1_500_u64, fate)
        .prop_map(|(who, after, look, write, fate)| Turn { who, after, look, write, fate });
    prop::collection::vec(turn, 1..80)
}

proptest! {
    /// Requests of several candidates overlap: each begins with its look, and its write comes when it comes.
    #[test]
    fn two_never_act_at_once(turns in turns()) {
        let start = Instant::now();
        let milli = |n: u64| start + Duration::from_millis(n);
        let mut server = Server::default();
        let mut candidates: Vec<_> = ["a", "b", "c"].into_iter().map(Candidate::new).collect();
        let mut busy_until = [0_u64; 3];
        // Looks and writes of all, in the order in which they reach the server.
        let mut events: Vec<(u64, Turn)> = Vec::new();
        let mut now = 0;
        for turn in turns {
            now += turn.after;
            let begins = now.max(busy_until[turn.who]);
            busy_until[turn.who] = begins + turn.look + turn.write;
            events.push((begins + turn.look, turn));
        }
        events.sort_by_key(|(at, _)| *at);
        let mut pending: Vec<(u64, Turn, Seat, Option<u64>, u64)> = Vec::new();
        let mut acted: Vec<(usize, u64, u64)> = Vec::new();
        let last = events.last().map_or(0, |(at, _)| *at) + 5_000;
        let mut events = events.into_iter().peekable();
        let mut time = 0;
        while time <= last {
            // Writes that have arrived by now.
            pending.sort_by_key(|(at, ..)| *at);
            while pending.first().is_some_and(|(at, ..)| *at <= time) {
                let (at, turn, seat, version, began) = pending.remove(0);
                if matches!(turn.fate, Fate::WriteLost) {
                    continue;
                }
                if server.lease.as_ref().map(|(_, version)| *version) == version {
                    server.writes += 1;
                    server.lease = Some((seat.clone(), server.writes));
                    if !matches!(turn.fate, Fate::AnswerLost) {
                        let candidate = &mut candidates[turn.who];
                        candidate.holds(seat, milli(began));
                        let acts = u64::try_from(ACTS.as_millis()).unwrap();
                        acted.push((turn.who, at, began + acts));
                    }
                } else {
                    candidates[turn.who].is_beaten();
                }
            }
            while events.peek().is_some_and(|(at, _)| *at <= time) {
                let (at, turn) = events.next().unwrap();
                if matches!(turn.fate, Fate::LookLost) {
                    continue;
                }
                let candidate = &mut candidates[turn.who];
                let (seen, version) = server.lease.clone().map_or((None, None), |(seat, v)| (Some(seat), Some(v)));
                candidate.sees(seen, milli(at));
                if let Move::Take { turns } | Move::Renew { turns } = candidate.next_move(milli(at)) {
                    let seat = Seat { holder: candidate.name().to_owned(), renewed: at.to_string(), turns };
                    pending.push((at + turn.write, turn, seat, version, at));
                }
            }
            // Whoever acts now is alone, and what the one before has begun is over.
            let moment = u64::try_from(MOMENT.as_millis()).unwrap();
            let acting: std::collections::BTreeSet<usize> = acted
                .iter()
                .filter(|(_, from, until)| (*from..*until + moment).contains(&time))
                .map(|(who, ..)| *who)
                .collect();
            prop_assert!(acting.len() <= 1, "at {time}: {acting:?} of {acted:?}");
            time += 10;
        }
    }
}
