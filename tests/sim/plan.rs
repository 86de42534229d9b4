//! What is to happen in one run, and when: drawn from the seed before the run begins, so that it is the same whatever the
//! mesh does.

use std::time::Duration;

use weft_control_plane::custody::RotationStep;
use weft_policy::draw::Draw;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing passes between a proxy and the control plane, and nobody is told.
    Partition,
    /// Nothing passes in one direction.
    OneWay,
    /// Everything waits, and then comes at once.
    Hold,
    /// The network becomes slow.
    Delay,
    /// It becomes slow and fast again, so that what is sent later arrives earlier.
    Reorder,
    /// A few moments in which whatever is sent is lost.
    Loss,
    /// The control plane is killed, and comes back.
    PlaneCrash,
    /// It ends as it should, and comes back.
    PlaneRestart,
    /// Its machine loses power: nobody is told that its connections are gone.
    PowerLoss,
    /// It comes back with the state directory of some time ago.
    OlderState,
    /// A proxy is killed, and comes back.
    ProxyCrash,
    /// A host's clock is set, by up to four minutes.
    ClockStep,
}

/// What people and applications do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Everything that is published is published anew.
    Publish,
    /// An endpoint comes or goes.
    Churn,
    /// A Service comes or goes.
    Cart,
    /// A caller may not call any more, or may again.
    Authorize,
    /// A file cannot be read, or can be again.
    Break,
    /// An application is sick, or well again.
    Health,
    /// A step of a root rotation.
    Rotate,
    /// An application calls a host that it has not called before.
    Call,
    /// An identity is denied that nobody has, or allowed again.
    Deny,
}

/// One thing that happens. Proxies are counted as in [`crate::mesh::PROXIES`].
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Cut { proxy: usize },
    CutFrom { proxy: usize },
    CutTo { proxy: usize },
    Hold { proxy: usize },
    Mend { proxy: usize },
    Latency { proxy: usize, by: Duration },
    CrashPlane,
    PowerOff,
    StopPlane,
    StartPlane,
    SaveState,
    RestoreState,
    CrashProxy { proxy: usize },
    StartProxy { proxy: usize },
    Clock { host: usize, seconds: i64 },
    Do(Change, u64),
    Rotate(RotationStep),
}

/// What happens, in order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<(Duration, Action)>,
    /// When nothing goes wrong any more.
    pub(crate) healed: Duration,
}

impl Plan {
    /// Draws one. Every fault and every change happens as often as it says.
    pub(crate) fn draw(
        draw: &mut Draw,
        proxies: usize,
        lasting: Duration,
        faults: &[(Fault, u32)],
        changes: &[(Change, u32)],
    ) -> Self {
        let mut plan = Self { actions: Vec::new(), healed: lasting };
        for (fault, times) in faults {
            for _ in 0..*times {
                plan.fault(draw, proxies, *fault);
            }
        }
        for (change, times) in changes {
            for number in 0..*times {
                let at = plan.moment(draw);
                let action = match change {
                    Change::Rotate => Action::Rotate(match draw.below(4) {
                        0 => RotationStep::Prepare,
                        1 => RotationStep::Activate,
                        2 => RotationStep::Retire,
                        _ if number == 0 => RotationStep::Prepare,
                        _ => RotationStep::Abort,
                    }),
                    change => Action::Do(*change, draw.bits()),
                };
                plan.actions.push((at, action));
            }
        }
        plan.actions.sort_by_key(|(at, _)| *at);
        plan
    }

    fn moment(&self, draw: &mut Draw) -> Duration {
        let most = u64::try_from(self.healed.as_millis()).unwrap();
        Duration::from_millis(draw.below(most))
    }

    fn fault(&mut self, draw: &mut Draw, proxies: usize, fault: Fault) {
        let at = self.moment(draw);
        let until = at + Duration::from_millis(100 + draw.below(6000));
        let proxy = usize::try_from(draw.below(u64::try_from(proxies).unwrap())).unwrap();
        let slow = Duration::from_millis(20 + draw.below(800));
        let mut then = |at: Duration, action| self.actions.push((at, action));
        match fault {
            Fault::Partition => {
                then(at, Action::Cut { proxy });
                then(until, Action::Mend { proxy });
            }
            Fault::OneWay => {
                let cut =
                    if draw.below(2) == 0 { Action::CutFrom { proxy } } else { Action::CutTo { proxy } };
                then(at, cut);
                then(until, Action::Mend { proxy });
            }
            Fault::Hold => {
                then(at, Action::Hold { proxy });
                then(until, Action::Mend { proxy });
            }
            Fault::Delay => {
                then(at, Action::Latency { proxy, by: slow });
                then(until, Action::Latency { proxy, by: LATENCY });
            }
            Fault::Reorder => {
                for _ in 0..8 {
                    let step = at + Duration::from_millis(draw.below(3000));
                    let by = Duration::from_millis(draw.below(400));
                    then(step, Action::Latency { proxy, by });
                }
                then(at + Duration::from_secs(3), Action::Latency { proxy, by: LATENCY });
            }
            Fault::Loss => {
                let until = at + Duration::from_millis(60 + draw.below(100));
                then(at, Action::Cut { proxy });
                then(until, Action::Mend { proxy });
            }
            Fault::PlaneCrash => {
                then(at, Action::CrashPlane);
                then(until, Action::StartPlane);
            }
            Fault::PlaneRestart => {
                then(at, Action::StopPlane);
                then(until + Duration::from_secs(2), Action::StartPlane);
            }
            Fault::PowerLoss => {
                then(at, Action::PowerOff);
                then(until, Action::StartPlane);
            }
            Fault::OlderState => {
                // Otherwise the backup is as old as the mesh.
                if draw.below(2) == 0 {
                    then(at / 3, Action::SaveState);
                }
                then(at, Action::CrashPlane);
                then(at, Action::RestoreState);
                then(until, Action::StartPlane);
            }
            Fault::ProxyCrash => {
                then(at, Action::CrashProxy { proxy });
                then(until, Action::StartProxy { proxy });
            }
            Fault::ClockStep => {
                let host = usize::try_from(draw.below(u64::try_from(proxies + 1).unwrap())).unwrap();
                // No two hosts are further apart than certificates are dated back.
                let seconds = i64::try_from(draw.below(298)).unwrap() - 149;
                then(at, Action::Clock { host, seconds });
            }
        }
    }
}

/// Of a network that is well.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);
