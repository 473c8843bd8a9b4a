//! Services that would have endpoints near to the client.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use ambit_tests::{Behaviour, Pod, PodSpec, Server, ask, until};

use crate::shop::{PATIENCE, PORT, Shop, wait_turned_down};

/// A Service in front of a pod on either node, and the node's zones.
struct Zones {
    shop: Shop,
    near: Pod,
    service: SocketAddr,
    _servers: [Server; 2],
}

impl Zones {
    fn open(spec: &serde_json::Value) -> Result<Self> {
        let mut shop = Shop::closed()?;
        let mut pod = |name: &str, node: u8| -> Result<(Pod, Server)> {
            let pod = shop.mesh.pod(PodSpec::new("shop", name, node).label("app", "zoned"))?;
            let server = Server::start(&pod.netns(), PORT, Behaviour::Say(name.to_owned()))?;
            Ok((pod, server))
        };
        let ((near, first), (_, second)) = (pod("near", 1)?, pod("far", 2)?);
        let zoned = Self { shop, near, service: SocketAddr::from(([10, 110, 0, 77], 80)), _servers: [first, second] };
        zoned.write(spec)?;
        zoned.place("r", ["a", "b"])?;
        Ok(zoned)
    }

    fn write(&self, more: &serde_json::Value) -> Result<()> {
        let mut spec = json!({
            "clusterIP": self.service.ip().to_string(), "selector": {"app": "zoned"},
            "ports": [{"name": "tcp", "port": 80, "targetPort": PORT}],
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        let metadata = json!({"name": "zoned", "namespace": "shop"});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
        self.shop.mesh.config.write("service-zoned.yaml", &service.to_string())
    }

    fn place(&self, region: &str, zones: [&str; 2]) -> Result<()> {
        let node = |(number, zone): (u8, &&str)| {
            let labels = json!({"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone});
            let metadata = json!({"name": format!("node-{number}"), "labels": labels});
            json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata}).to_string()
        };
        let nodes: Vec<_> = (1..).zip(&zones).map(node).collect();
        self.shop.mesh.config.write("nodes.yaml", &nodes.join("\n---\n"))
    }

    fn ask(&self) -> Result<String> {
        ask(&self.shop.client.netns(), self.service, "who")?.answer()
    }

    /// Who answers within so many connections as leave out one of two with a chance of a billionth.
    fn answering(&self) -> Result<Vec<String>> {
        let mut names = (0..30).map(|_| self.ask()).collect::<Result<Vec<_>>>()?;
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn wait(&self, expected: &[&str]) -> Result<()> {
        until(&format!("answers of {expected:?}"), PATIENCE, || (self.answering().ok()? == expected).then_some(()))
    }
}

#[test]
fn a_zone_is_preferred_and_left_when_nobody_is_there() -> Result<()> {
    let mut zones = Zones::open(&json!({"trafficDistribution": "PreferClose"}))?;
    zones.shop.mesh.start()?;
    assert_eq!(zones.answering()?, ["near"]);
    zones.place("r", ["a", "a"])?;
    zones.wait(&["far", "near"])?;
    zones.write(&json!({"trafficDistribution": "PreferSameNode"}))?;
    zones.wait(&["near"])?;
    let near = zones.near.clone();
    zones.shop.mesh.delete(&near)?;
    zones.wait(&["far"])
}

#[test]
fn a_service_of_each_node_leaves_it_never() -> Result<()> {
    let mut zones = Zones::open(&json!({"internalTrafficPolicy": "Local"}))?;
    zones.shop.mesh.start()?;
    assert_eq!(zones.answering()?, ["near"]);
    let near = zones.near.clone();
    zones.shop.mesh.delete(&near)?;
    wait_turned_down(&zones.shop.client.netns(), zones.service)
}
