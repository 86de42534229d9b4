//! The mesh by seeds: the control plane and proxies' control sides on a network that does not exist (turmoil), and what
//! proxies decide on the path of a request. Whatever goes wrong, what must hold holds; once it is mended, the mesh comes
//! to rest. A seed gives the same run every time.
//!
//! `make sim` runs a thousand seeds of each; a run that fails prints the command that repeats it.
#![cfg(test)]

mod clocks;
mod going;
mod manifests;
mod mesh;
mod oracle;
mod path;
mod plan;
mod plane;
mod scenarios;
mod seeds;
mod sidecar;
mod special;
mod trace;
mod wire;

/// One test for each, by the names of [`scenarios::SCENARIOS`] and [`seeds::PATHS`].
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { crate::seeds::hold(stringify!($name), ALL.len()); })*
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    nothing_goes_wrong partitions one_way_partitions held_networks slow_networks reordering loss
    crashes_of_the_control_plane restarts_of_the_control_plane power_loss_of_the_control_plane older_state
    crashes_of_proxies crashes_of_both clock_steps patches floods_of_changes reconnects trust_rotation denials
    registrations files_that_break tightening first_calls health_reports everything
    a_long_outage many_losses_in_a_life drains expired_certificates renewals a_root_replaced a_proxy_denied
    a_proxy_that_stalls
    retry_storms one_server_fails servers_that_fail_now_and_then servers_that_are_said_to_be_sick going_by_a_deadline
}

#[test]
fn faults_that_are_planted_are_found() {
    for (scenario, said) in scenarios::PLANTED.iter().zip(["has gone back", "parts of several transactions"])
    {
        for seed in 0..5 {
            let violation = mesh::run(scenario, seed).expect_err("a control plane that lies");
            assert!(violation.what.starts_with("I3: ") && violation.what.contains(said), "{violation}");
        }
    }
}

#[test]
fn every_scenario_has_a_test() {
    let all =
        scenarios::SCENARIOS.iter().map(|one| one.name).chain(seeds::PATHS.iter().map(|(name, _)| *name));
    assert_eq!(all.collect::<Vec<_>>(), ALL);
}
