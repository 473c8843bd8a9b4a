//! Two waypoints before one service: each connection goes through one of them, by weight.

use anyhow::Result;
use serde_json::json;

use ambit_tests::{Outcome, ask, until};

use super::stand_in::{StandIn, claim};
use super::{CLIENT, Guarded, apply_rules, gateway_of, namespace, waypoint_pod};
use crate::shop::{PATIENCE, PORT, seen, wait_turned_down};
use crate::tunnel::{Authority, Validity};

const CANARY: &str = "spiffe://cluster.local/ns/shop/sa/new";
/// Of a hundred connections.
const PERCENT: u8 = 30;
/// How many are counted.
const CONNECTIONS: usize = 200;
/// How many of these the canary may have: six standard deviations of the binomial distribution, each 6.5, around 60.
const SHARE: std::ops::RangeInclusive<usize> = 21..=99;

/// The namespace with its canary.
fn with_canary() -> String {
    let of = namespace(&json!({"istio.io/use-waypoint-canary-weight": PERCENT.to_string()}));
    of.replace("\"labels\":{", "\"labels\":{\"istio.io/use-waypoint-canary\":\"new\",")
}

#[test]
fn a_canary_carries_its_share_and_is_let_in_where_nobody_goes_round_the_waypoint() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let stable = guarded.serve()?;
    let shop = &mut guarded.shop;
    let (from, service, web) = (shop.client.netns(), shop.service, shop.web.at(PORT));
    apply_rules(shop)?;
    wait_turned_down(&from, web)?;

    let pod = shop.mesh.pod(waypoint_pod("new"))?;
    let credentials = || Authority::of(&shop.mesh)?.certify(&[CANARY], Validity::Now);
    let (own, at_canary) = (credentials()?, StandIn::start(&pod.netns(), credentials()?, web)?);
    shop.mesh.config.write("canary.yaml", &gateway_of("new", "10.110.0.98"))?;
    shop.mesh.config.write("namespace-shop.yaml", &with_canary())?;
    let in_use = || {
        let before = at_canary.seen().len();
        until("a connection through the canary", PATIENCE, || {
            let outcome = ask(&from, service, "who").ok()?;
            (matches!(outcome, Outcome::Answered(_)) && at_canary.seen().len() > before).then_some(())
        })
    };
    in_use()?;

    let before = [stable.seen().len(), at_canary.seen().len()];
    for _ in 0..CONNECTIONS {
        assert_eq!(seen(&from, service)?, shop.client.ip4(), "the application sees the client");
    }
    let carried = [stable.seen().len() - before[0], at_canary.seen().len() - before[1]];
    assert_eq!(carried.iter().sum::<usize>(), CONNECTIONS, "{carried:?}");
    assert!(SHARE.contains(&carried[1]), "{carried:?}");
    assert!(at_canary.seen().iter().all(|seen| seen.client == CLIENT && seen.authority == service.to_string()));

    // Nobody speaks for others who is a canary no more.
    let speaks = [("ambit-client-principal", CLIENT)];
    assert!(claim(&pod.netns(), &own, web, &speaks)?.is_ok());
    shop.mesh.config.write("namespace-shop.yaml", &namespace(&json!({})))?;
    until("the end of the canary's rights", PATIENCE, || {
        (claim(&pod.netns(), &own, web, &speaks).ok()? == Err(401)).then_some(())
    })?;

    // No share is lost at one that is not there.
    shop.mesh.config.write("namespace-shop.yaml", &with_canary())?;
    in_use()?;
    shop.mesh.delete(&pod)?;
    until("no connection lost at the canary", PATIENCE, || {
        (0..CONNECTIONS).all(|_| matches!(ask(&from, service, "who"), Ok(Outcome::Answered(_)))).then_some(())
    })
}
