//! Bounds; what is reached is tested with the sessions.

use super::*;

fn viewer() -> Viewer {
    Viewer { namespace: "shop".into(), workload: "shop/web-1".into() }
}

#[test]
fn a_selector_that_names_nothing_is_no_root() {
    let kind = |kind: v1::Type| i32::from(kind);
    for (kind, name) in [
        (kind(v1::Type::Unspecified), "shop/api"),
        (99, "shop/api"),
        (-1, "shop/api"),
        (kind(v1::Type::Service), ""),
        (kind(v1::Type::Service), "host/API"),
        (kind(v1::Type::Endpoints), "shop/api"),
    ] {
        let selector = v1::Selector { r#type: kind, name: name.to_owned(), with_deps: true };
        assert!(Root::read(&selector).is_err(), "{kind} {name:?}");
    }
}

#[test]
fn nobody_asks_for_more_than_the_limit_and_asking_twice_is_asking_once() {
    let (mut interest, table) = (Interest::default(), Table::default());
    let root =
        |number: usize| Root { id: Id::new(v1::Type::Service, format!("shop/s-{number}")), with_deps: true };
    for number in 0..Interest::MAX_ROOTS {
        interest.add(root(number), &table, &viewer()).unwrap();
        interest.add(root(number), &table, &viewer()).unwrap();
    }
    assert_eq!(interest.add(root(Interest::MAX_ROOTS), &table, &viewer()), Err(TooMuch));
    interest.drop(&root(7));
    assert!(!interest.reaches(&root(7).id));
    assert_eq!(interest.add(root(Interest::MAX_ROOTS), &table, &viewer()).unwrap().gained.len(), 1);
}
