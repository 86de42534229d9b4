//! The scenarios by name: what goes wrong in each, and what people and applications do meanwhile.

use std::time::Duration;

use crate::plan::Change::{self, Authorize, Break, Call, Cart, Churn, Deny, Health, Publish, Rotate};
use crate::plan::Fault::{
    self, ClockStep, Delay, Hold, Loss, OlderState, OneWay, Partition, PlaneCrash, PlaneRestart, PowerLoss,
    ProxyCrash, Reorder,
};
use crate::special::{self, Special};

/// A kind of run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What it is called by in commands.
    pub(crate) name: &'static str,
    /// For how long anything may go wrong.
    pub(crate) lasting: Duration,
    /// When a stream is asked to reconnect, give or take half.
    pub(crate) max_age: Duration,
    /// How many of [`PROXIES`](crate::mesh::PROXIES) there are.
    pub(crate) proxies: usize,
    /// What goes wrong, and how often.
    pub(crate) faults: &'static [(Fault, u32)],
    /// What is done, and how often.
    pub(crate) changes: &'static [(Change, u32)],
    /// Whether proxies keep what they are and know between two lives.
    pub(crate) keeps: bool,
    /// What is special about it.
    pub(crate) special: Special,
}

const fn scenario(
    name: &'static str,
    faults: &'static [(Fault, u32)],
    changes: &'static [(Change, u32)],
) -> Scenario {
    let (lasting, max_age) = (Duration::from_secs(4), Duration::from_secs(1800));
    Scenario { name, lasting, max_age, proxies: 2, faults, changes, keeps: false, special: special::nothing }
}

/// After a little of what may happen, something special does.
const fn with(name: &'static str, special: Special) -> Scenario {
    let before =
        scenario(name, &[(Partition, 1), (Delay, 1)], &[(Publish, 2), (Churn, 2), (Authorize, 1), (Call, 1)]);
    Scenario { lasting: Duration::from_secs(2), special, ..before }
}

/// With a proxy in another namespace besides, which is told other routes.
const fn three(scenario: Scenario) -> Scenario {
    Scenario { proxies: 3, ..scenario }
}

/// What is usual.
const USUAL: &[(Change, u32)] = &[(Publish, 2), (Churn, 3), (Cart, 1), (Authorize, 1), (Call, 1)];

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    three(scenario(
        "nothing_goes_wrong",
        &[],
        &[(Publish, 4), (Churn, 4), (Cart, 2), (Authorize, 2), (Call, 2)],
    )),
    three(scenario("partitions", &[(Partition, 3)], USUAL)),
    scenario("one_way_partitions", &[(OneWay, 3)], USUAL),
    scenario("held_networks", &[(Hold, 3)], USUAL),
    scenario("slow_networks", &[(Delay, 3)], USUAL),
    scenario("reordering", &[(Reorder, 4)], USUAL),
    scenario("loss", &[(Loss, 8)], USUAL),
    scenario("crashes_of_the_control_plane", &[(PlaneCrash, 2)], USUAL),
    scenario("restarts_of_the_control_plane", &[(PlaneRestart, 2)], USUAL),
    scenario("power_loss_of_the_control_plane", &[(PowerLoss, 1)], USUAL),
    Scenario {
        special: special::denies_anew,
        ..scenario("older_state", &[(OlderState, 1)], &[(Publish, 4), (Churn, 4), (Deny, 2)])
    },
    scenario("crashes_of_proxies", &[(ProxyCrash, 3)], USUAL),
    three(scenario("crashes_of_both", &[(PlaneCrash, 1), (ProxyCrash, 2)], USUAL)),
    scenario("clock_steps", &[(ClockStep, 4), (PlaneCrash, 1), (ProxyCrash, 1)], USUAL),
    scenario("patches", &[(Reorder, 2), (Loss, 2), (Partition, 1)], &[(Churn, 12)]),
    scenario("floods_of_changes", &[(Hold, 2), (Delay, 1)], &[(Publish, 8), (Churn, 4), (Authorize, 2)]),
    Scenario {
        max_age: Duration::from_secs(2),
        ..scenario("reconnects", &[(Partition, 1), (Delay, 1)], USUAL)
    },
    scenario("trust_rotation", &[(Partition, 1), (PlaneCrash, 1)], &[(Rotate, 10), (Publish, 2)]),
    scenario("denials", &[(Partition, 1), (PlaneCrash, 1)], &[(Deny, 8), (Publish, 2)]),
    scenario("registrations", &[(ProxyCrash, 2), (PlaneCrash, 1), (OneWay, 1)], &[(Health, 6), (Churn, 2)]),
    scenario("files_that_break", &[(PlaneRestart, 1)], &[(Break, 6), (Publish, 6), (Churn, 4)]),
    scenario("tightening", &[(Hold, 1), (Loss, 2)], &[(Authorize, 5), (Publish, 6)]),
    three(scenario("first_calls", &[(Partition, 1), (Delay, 1), (PlaneCrash, 1)], &[(Call, 12), (Cart, 6)])),
    scenario("health_reports", &[(Partition, 1), (Delay, 1)], &[(Health, 12), (Churn, 2)]),
    three(scenario(
        "everything",
        &[
            (Partition, 1),
            (OneWay, 1),
            (Hold, 1),
            (Reorder, 1),
            (Loss, 2),
            (PlaneCrash, 1),
            (ProxyCrash, 1),
            (ClockStep, 2),
        ],
        &[
            (Publish, 8),
            (Churn, 8),
            (Cart, 2),
            (Authorize, 2),
            (Break, 2),
            (Health, 4),
            (Rotate, 4),
            (Call, 4),
            (Deny, 2),
        ],
    )),
    with("a_long_outage", special::outage),
    with("many_losses_in_a_life", special::often),
    with("drains", special::drains),
    Scenario { keeps: true, ..with("expired_certificates", special::expires) },
    Scenario { keeps: true, ..with("renewals", special::renews) },
    with("a_root_replaced", special::rotates),
    three(with("a_proxy_denied", special::denies)),
    three(with("a_proxy_that_stalls", special::stalls)),
];

/// A control plane with a fault, which has to be found: it tells everything as it was once, or a part of that.
pub(crate) const PLANTED: [Scenario; 2] =
    [with("planted_older", special::plants_older), with("planted_torn", special::plants_torn)];
