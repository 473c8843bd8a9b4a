//! Services behind a waypoint: how clients reach it, and what it may say of them at the destination.

mod canary;
mod stand_in;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use ambit_tests::{AccessLine, Connection, Outcome, Pod, PodSpec, ask, manifest, until};

use crate::shop::{PATIENCE, PORT, Shop, seen, wait_answered, wait_turned_down};
use crate::tunnel::{Authority, Validity};
use stand_in::{Seen, StandIn, claim};

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";
const OTHER: &str = "spiffe://cluster.local/ns/shop/sa/other";
const WAYPOINT: &str = "spiffe://cluster.local/ns/shop/sa/wp";
const HOST: &str = "web.shop.svc.cluster.local";

/// A shop whose services are behind the waypoint `wp`, which has a pod and maybe serves.
struct Guarded {
    shop: Shop,
    waypoint: Pod,
}

impl Guarded {
    fn open() -> Result<Self> {
        Self::with(&json!({}))
    }

    /// With annotations of the namespace.
    fn with(annotations: &Value) -> Result<Self> {
        let mut shop = Shop::closed()?;
        let waypoint = shop.mesh.pod(waypoint_pod("wp"))?;
        shop.mesh.config.write("waypoint.yaml", &gateway())?;
        shop.mesh.config.write("namespace-shop.yaml", &namespace(annotations))?;
        shop.mesh.start()?;
        Ok(Self { shop, waypoint })
    }

    /// Serves as the waypoint, for the Service `web`.
    fn serve(&self) -> Result<StandIn> {
        let credentials = Authority::of(&self.shop.mesh)?.certify(&[WAYPOINT], Validity::Now)?;
        StandIn::start(&self.waypoint.netns(), credentials, self.shop.web.at(PORT))
    }

    fn apply_policy(&mut self, action: &str, principals: &[&str]) -> Result<()> {
        let policy = manifest::policy("shop", "the-policy", "web", action, principals);
        self.shop.mesh.apply("policy.yaml", &policy, "the-policy")
    }
}

/// The namespace, enrolled and behind the waypoint.
fn namespace(annotations: &Value) -> String {
    let labels = json!({"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "wp"});
    let metadata = json!({"name": "shop", "labels": labels, "annotations": annotations});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).to_string()
}

fn waypoint_pod(name: &str) -> PodSpec {
    PodSpec::new("shop", name, 2).label("istio.io/dataplane-mode", "none").label("networking.istio.io/tunnel", "http")
}

/// The Gateway, and the Service of its name.
fn gateway() -> String {
    gateway_of("wp", "10.110.0.99")
}

fn gateway_of(name: &str, address: &str) -> String {
    let metadata = json!({"name": name, "namespace": "shop"});
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata,
        "spec": {
            "gatewayClassName": "istio-waypoint",
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"clusterIP": address, "selector": {"app": name}, "ports": [{"name": "mesh", "port": 15008}]},
    });
    format!("{gateway}\n---\n{service}\n")
}

fn without_waypoint() -> String {
    manifest::namespace("shop", true)
}

#[test]
fn a_client_reaches_the_service_through_the_waypoint_and_is_itself_at_the_destination() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let waypoint = guarded.serve()?;
    let Guarded { shop, waypoint: pod } = &mut guarded;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "the application sees the client");

    let requests = waypoint.seen();
    let [Seen { authority, client, forwarded }] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((authority.as_str(), client.as_str()), (&*shop.service.to_string(), CLIENT));
    assert!(forwarded.starts_with(&format!("for=\"{}:", shop.client.ip4())), "{forwarded}");
    assert!(forwarded.ends_with(&format!(";host={HOST}")), "{forwarded}");

    let own = seen(&shop.client.netns(), shop.service6)?;
    assert_eq!(own, shop.web.ip4(), "the waypoint goes on in IPv4, where the client has no address to be seen");
    let asked = waypoint.seen().pop().context("nothing seen")?.authority;
    assert_eq!(asked, shop.service6.to_string());

    let line = shop.mesh.agent(1)?.wait_access(|line| line.field("src.workload") == "client")?;
    assert_eq!((line.field("dst.workload"), line.field("dst.service")), ("wp", HOST), "{line:?}");
    assert_eq!(line.field("dst.identity"), WAYPOINT);
    assert_eq!(line.field("dst.addr"), pod.at(15008).to_string());
    assert_eq!(line.field("dst.hbone_addr"), shop.service.to_string());
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("dst.workload") == "web")?;
    assert_eq!((line.field("src.identity"), line.field("src.workload")), (CLIENT, "client"), "{line:?}");
    assert!(line.field("src.addr").starts_with(&format!("{}:", shop.client.ip4())), "{line:?}");
    Ok(())
}

#[test]
fn a_pod_addressed_itself_is_not_behind_the_waypoint_of_services() -> Result<()> {
    let guarded = Guarded::open()?;
    let waypoint = guarded.serve()?;
    assert_eq!(seen(&guarded.shop.client.netns(), guarded.shop.web.at(PORT))?, guarded.shop.client.ip4());
    assert_eq!(waypoint.seen(), []);
    Ok(())
}

#[test]
fn a_pod_behind_a_waypoint_of_workloads_is_reached_through_it_and_its_service_is_not() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let waypoint = guarded.serve()?;
    let shop = &mut guarded.shop;
    let purpose = "\"metadata\":{\"labels\":{\"istio.io/waypoint-for\":\"workload\"},";
    let gateway = gateway().replacen("\"metadata\":{", purpose, 1);
    shop.mesh.config.write("waypoint.yaml", &gateway)?;
    let (from, to) = (shop.client.netns(), shop.web.at(PORT));
    until("the pod behind the waypoint", PATIENCE, || {
        ask(&from, to, "who").ok()?.answer().ok()?;
        waypoint.seen().iter().any(|seen| seen.authority == to.to_string()).then_some(())
    })?;
    assert_eq!(seen(&from, to)?, shop.client.ip4());
    let before = waypoint.seen().len();
    assert_eq!(seen(&from, shop.service)?, shop.client.ip4());
    assert_eq!(waypoint.seen().len(), before, "the service is not behind it");
    Ok(())
}

#[test]
fn policy_at_the_destination_judges_the_client_and_not_the_waypoint() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let _waypoint = guarded.serve()?;
    guarded.apply_policy("ALLOW", &["cluster.local/ns/shop/sa/client"])?;
    let Guarded { shop, .. } = &mut guarded;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    assert!(ask(&shop.other.netns(), shop.service, "who")?.is_turned_down());
    let line = shop.mesh.agent(2)?.wait_access(|line| line.error().is_some())?;
    assert_eq!(line.field("src.identity"), OTHER, "{line:?}");
    Ok(())
}

#[test]
fn a_new_policy_cuts_what_a_waypoint_carries_for_whom_it_denies() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let _waypoint = guarded.serve()?;
    let service = guarded.shop.service;
    let mut client = Connection::established(&guarded.shop.client.netns(), service)?;
    let mut other = Connection::established(&guarded.shop.other.netns(), service)?;
    guarded.apply_policy("DENY", &["cluster.local/ns/shop/sa/other"])?;
    let end = other.read_to_end();
    assert!(matches!(end, Outcome::Reset), "{end:?}");
    client.ask("still there").answer()?;
    Ok(())
}

#[test]
fn nobody_but_the_waypoint_speaks_for_a_client() -> Result<()> {
    let mut guarded = Guarded::open()?;
    guarded.apply_policy("ALLOW", &["cluster.local/ns/shop/sa/client", "cluster.local/ns/shop/sa/plain"])?;
    let authority = Authority::of(&guarded.shop.mesh)?;
    let [other, waypoint] = [OTHER, WAYPOINT].map(|identity| authority.certify(&[identity], Validity::Now));
    let (other, waypoint) = (other?, waypoint?);
    let Guarded { shop, waypoint: pod } = &mut guarded;
    let to = shop.web.at(PORT);
    let ip = |address: &str| -> Result<IpAddr> { Ok(address.parse::<SocketAddr>()?.ip()) };

    let claimed = [("ambit-client-principal", CLIENT), ("forwarded", "for=\"203.0.113.7:4711\"")];
    assert_eq!(claim(&shop.plain.netns(), &other, to, &claimed)?, Err(401), "a pod says it speaks for another");
    let line = shop.mesh.agent(2)?.wait_access(|line| line.field("dst.workload") == "web")?;
    assert_eq!(line.field("src.identity"), OTHER, "{line:?}");
    assert!(line.field("src.addr").starts_with(&format!("{}:", shop.plain.ip4())), "{line:?}");
    let ignored = shop.mesh.agent(2)?.metrics()?.sum("ambit_client_principals_ignored_total", &[]);
    assert_eq!(ignored, 1.0);

    let own = shop.web.at(1).to_string();
    let own = format!("for=\"{own}\"");
    let at_home = [("ambit-client-principal", CLIENT), ("forwarded", own.as_str())];
    let line = claim(&pod.netns(), &waypoint, to, &at_home)?.ok().context("refused")?;
    assert_eq!(ip(&line)?, pod.ip4(), "no client has the pod's own address");
    assert_eq!(claim(&pod.netns(), &waypoint, to, &[])?, Err(401), "without a word of the client it is the waypoint");
    let garbled = [("ambit-client-principal", "client")];
    assert_eq!(claim(&pod.netns(), &waypoint, to, &garbled)?, Err(400), "a word that says nothing");
    let twice = [("ambit-client-principal", CLIENT), ("ambit-client-principal", CLIENT)];
    assert_eq!(claim(&pod.netns(), &waypoint, to, &twice)?, Err(400), "two words");

    shop.mesh.config.write("namespace-shop.yaml", &without_waypoint())?;
    until("the waypoint is none any more", PATIENCE, || {
        (claim(&pod.netns(), &waypoint, to, &claimed).ok()? == Err(401)).then_some(())
    })
}

#[test]
fn an_absent_waypoint_means_a_refusal_with_that_reason() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let Guarded { shop, waypoint: pod } = &mut guarded;
    shop.mesh.delete(pod)?;
    let from = shop.client.netns();
    let reason = "waypoint shop/wp.shop.svc.cluster.local of";
    let refused = || ask(&from, shop.service, "who").is_ok_and(|outcome| outcome.is_turned_down());
    let agent = shop.mesh.agent(1)?;
    until("a refusal for want of the waypoint", PATIENCE, || {
        let is_logged = |line: &AccessLine| {
            line.field("dst.service") == HOST && line.error().is_some_and(|error| error.contains(reason))
        };
        (refused() && agent.access_log().iter().any(is_logged)).then_some(())
    })?;
    let flagged = [("reporter", "source"), ("response_flags", "WAYPOINT")];
    assert!(agent.metrics()?.sum("istio_tcp_connections_closed_total", &flagged) >= 1.0);
    assert_eq!(shop.server.peers().len(), 0, "nothing went past the waypoint");

    shop.mesh.config.write("namespace-shop.yaml", &namespace(&json!({"ambit.io/waypoint-failure-mode": "open"})))?;
    wait_answered(&shop.client.netns(), shop.service)?;
    shop.mesh.config.write("namespace-shop.yaml", &namespace(&json!({})))?;
    wait_turned_down(&shop.client.netns(), shop.service)
}

#[test]
fn a_waypoint_that_is_no_gateway_is_refused_and_one_that_comes_is_used() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let _waypoint = guarded.serve()?;
    let shop = &mut guarded.shop;
    let (from, service) = (shop.client.netns(), shop.service);
    wait_answered(&from, service)?;
    shop.mesh.config.write("waypoint.yaml", &gateway().replace("istio-waypoint", "istio"))?;
    wait_turned_down(&from, service)?;
    shop.mesh
        .agent(1)?
        .wait_access(|line| line.error().is_some_and(|it| it.contains("wp.shop.no-waypoint.invalid")))?;
    shop.mesh.config.write("waypoint.yaml", &gateway())?;
    wait_answered(&from, service)
}

#[test]
fn nobody_goes_round_a_waypoint_with_rules() -> Result<()> {
    let mut guarded = Guarded::open()?;
    let waypoint = guarded.serve()?;
    let Guarded { shop, .. } = &mut guarded;
    let to = shop.web.at(PORT);
    for from in [&shop.client, &shop.plain] {
        assert_eq!(seen(&from.netns(), to)?, from.ip4(), "without rules a pod may be asked itself");
    }
    let name = apply_rules(shop)?;
    for from in [&shop.client, &shop.plain] {
        wait_turned_down(&from.netns(), to)?;
    }
    let line = shop.mesh.agent(2)?.wait_access(|line| line.error().is_some_and(|it| it.contains(&name)))?;
    assert_eq!(line.field("dst.workload"), "web");
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "through the waypoint it goes on");
    assert_eq!(waypoint.seen().len(), 1);

    shop.mesh.config.remove("rules.yaml")?;
    wait_answered(&shop.plain.netns(), to)
}

/// Rules of requests for the service, which only a waypoint can apply; gives the name of what keeps everybody but the
/// waypoint away.
fn apply_rules(shop: &mut Shop) -> Result<String> {
    let rules = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "get-only", "namespace": "shop"},
        "spec": {
            "targetRefs": [{"kind": "Service", "group": "", "name": "web"}],
            "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}],
        },
    });
    let name = format!("converted_waypoint_service_{HOST}_{PORT}");
    shop.mesh.apply("rules.yaml", &rules.to_string(), &name)?;
    Ok(name)
}
