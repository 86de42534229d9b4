use super::*;

const SCENARIO: &str = "it";

fn results(rows: &[(Peer, &[f64])]) -> Results {
    let mut results = Results::default();
    for (peer, values) in rows {
        for (run, value) in (0..).zip(*values) {
            results.add(SCENARIO, *peer, run, cpu(*value)).unwrap();
        }
    }
    results
}

fn cpu(value: f64) -> Figure {
    Figure { metric: "cpu".to_owned(), unit: "s", better: Better::Less, value }
}

#[test]
fn a_machine_that_slows_down_for_both_changes_no_ratio() {
    let results = results(&[(Peer::Weft, &[1.0, 4.0, 2.0]), (Peer::Envoy, &[2.0, 8.0, 4.0])]);
    let weft = results.find(SCENARIO, Peer::Weft, "cpu").unwrap();
    assert_eq!(results.ratio_to_envoy(weft), Some(0.5));
    assert_eq!((weft.median(), weft.best()), (2.0, 1.0));
}

#[test]
fn a_figure_that_cannot_be_ends_the_run() {
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = Results::default().add(SCENARIO, Peer::Weft, 0, cpu(value));
        assert!(refused.is_err(), "{value}");
    }
}

#[test]
fn fifty_times_as_much_is_the_farthest_that_is_believed() {
    for (weft, believed) in [(50.0, true), (50.1, false), (0.02, true), (0.0199, false)] {
        let results = results(&[(Peer::Weft, &[weft]), (Peer::Envoy, &[1.0])]);
        assert_eq!(results.check_against_envoy(SCENARIO).is_ok(), believed, "{weft}");
    }
}

#[test]
fn who_was_not_measured_has_a_row_that_says_so_and_no_figure() {
    let mut results = results(&[(Peer::Weft, &[1.0])]);
    results.miss(SCENARIO, Peer::Nginx, "", "it is not here");
    let json = results.to_json();
    let rows = json.as_array().unwrap();
    assert_eq!((rows[0]["median"].as_f64(), rows[0]["ratio_vs_envoy"].as_f64()), (Some(1.0), None));
    assert!(rows[1]["median"].is_null() && rows[1]["runs"] == 0 && rows[1]["peer"] == "nginx");
    assert_eq!(rows[1]["not_measured"], "it is not here");
}

#[test]
fn the_median_of_an_even_number_lies_between_the_middle_ones() {
    assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    assert_eq!(median(Vec::new()), 0.0);
}
