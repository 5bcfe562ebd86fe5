//! What is done to a control plane, drawn by seed: what is done to stores, and what only what stands on them can suffer.

use std::time::Duration;

use super::{master::Masters, node::Nodes};
use crate::{
    chance::Chance,
    cluster::Cluster,
    faults::{self, Fault},
};

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Anything that is done to a store, or to the process around it.
    Store(Fault),
    NodeDies,
    /// A node reaches no master.
    NodeIsCutOff,
    /// What controllers and scheduler of a master see is late.
    CachesLag,
    /// A master's clock is wrong.
    ClockJumps,
}

/// Trouble that is not a store's.
pub(crate) const ABOVE: [Trouble; 4] =
    [Trouble::NodeDies, Trouble::NodeIsCutOff, Trouble::CachesLag, Trouble::ClockJumps];

/// The troubles of a run, in their order.
pub(crate) type Schedule = faults::Schedule<Trouble>;

/// How often each was injected.
pub(crate) type Injected = faults::Injected<Trouble>;

/// Draws the troubles for a time.
pub(crate) fn draw(chance: &Chance, during: Duration) -> Schedule {
    faults::draw_from(chance, during, |chance| {
        let above = chance.one_in(3);
        if above { *chance.pick(&ABOVE) } else { Trouble::Store(*chance.pick(faults::ALL)) }
    })
}

/// All that can be hurt.
#[derive(Clone)]
pub(crate) struct Victims {
    pub(crate) cluster: Cluster,
    pub(crate) masters: Masters,
    pub(crate) nodes: Nodes,
}

/// Does harm as scheduled for a time; then everything is whole again.
pub(crate) async fn torment(victims: &Victims, schedule: Schedule, during: Duration) -> Injected {
    let inject = async |chance: &Chance, trouble| inject(victims, chance, trouble).await;
    let injected = faults::go_through(&victims.cluster, schedule, during, inject).await;
    victims.masters.heal();
    faults::heal(&victims.cluster).await;
    for node in victims.nodes.places() {
        victims.cluster.net.let_back(node);
        victims.nodes.start(node);
    }
    injected
}

async fn inject(victims: &Victims, chance: &Chance, trouble: Trouble) {
    let Victims { cluster, masters, nodes } = victims;
    let places = cluster.places();
    let (master, node) = (*chance.pick(&places), *chance.pick(&nodes.places()));
    match trouble {
        Trouble::Store(fault) => faults::inject(cluster, chance, fault).await,
        Trouble::NodeDies => {
            nodes.kill(node);
            let (nodes, time) = (nodes.clone(), chance.millis(200..25_000));
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                nodes.start(node);
            });
        }
        Trouble::NodeIsCutOff => {
            // For longer than masters have patience, often.
            cluster.net.sever(node);
            let (net, time) = (cluster.net.clone(), chance.millis(200..30_000));
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                net.let_back(node);
            });
        }
        Trouble::CachesLag => {
            // It matters most where somebody acts.
            let master = cluster.leader().filter(|_| chance.one_in(2)).unwrap_or(master);
            masters.lag(master, chance.millis(20..3000));
            let (masters, time) = (masters.clone(), chance.millis(500..8000));
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                masters.lag(master, Duration::ZERO);
            });
        }
        Trouble::ClockJumps => {
            let millis = i64::try_from(chance.below(7_200_000)).unwrap_or_default() - 3_600_000;
            masters.set_clock(master, millis);
        }
    }
}
