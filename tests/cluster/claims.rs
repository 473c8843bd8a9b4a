//! Objects that say of somebody else's pod or Service that it is theirs: by them nobody loses an address, a
//! caller or a policy.

use std::net::IpAddr;

use anyhow::Result;
use serde_json::Value;

use ambit_tests::cluster::{Namespace, PATIENCE, client, object, policy, server, strictness};
use ambit_tests::until;

use crate::mesh;

const URL: &str = "http://web/debug";

/// What a namespace may write about the pod and the Service of another: as an endpoint, as a workload, as a host.
fn claims(pod: IpAddr, service: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: host}}\nspec:\n  \
         hosts: [web.claimed.svc.cluster.local]\n  addresses: [{service}]\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]\n  endpoints: [{{address: {pod}, \
         serviceAccount: thief}}]\n\
         ---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: machine}}\nspec:\n  \
         address: {pod}\n  serviceAccount: thief\n  labels: {{networking.istio.io/tunnel: http}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: sliced}}\n\
         spec: {{ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: sliced, labels: {{kubernetes.io/service-name: sliced}}}}\naddressType: IPv4\n\
         ports: [{{name: http, port: 8080, protocol: TCP}}]\n\
         endpoints: [{{addresses: ['{pod}'], conditions: {{ready: true}}, \
         targetRef: {{kind: Pod, namespace: claimed, name: web}}}}]\n"
    )
}

#[test]
fn nobody_takes_what_is_others() -> Result<()> {
    mesh::installed()?;
    let claimed = Namespace::meshed("claimed")?;
    let [client, web] = claimed.start(&[client("client", 1), server("web", 2)], ["client", "web"])?;
    let claimer = Namespace::meshed("claimer")?;
    let [thief] = claimer.start(&[server("thief", 1)], ["thief"])?;
    for pod in [&client, &web, &thief] {
        pod.wait_enrolled(true)?;
    }
    let direct = format!("http://{}:8080/debug", web.ip()?);
    client.wait_answered(URL)?;
    claimer.apply(&claims(
        web.ip()?,
        &claimed.kubectl(&["get", "service", "web", "--output=jsonpath={.spec.clusterIP}"])?,
    ))?;
    // Its own Service may name any endpoint, as everywhere in Kubernetes.
    thief.wait_answered("http://sliced/debug")?;
    for (kind, name) in [("serviceentry", "host"), ("workloadentry", "machine")] {
        let said = until("what is said of a claim", PATIENCE, || {
            let claim = object(&["--namespace", "claimer", kind, name]).ok()?;
            claim.pointer("/status/conditions/0/message").and_then(Value::as_str).map(str::to_owned)
        })?;
        assert!(said.contains("left out here"), "{kind}: {said}");
    }

    claimed.apply(&(strictness("STRICT") + &policy("own", "web", "ALLOW", &["cluster.local/ns/claimed/sa/client"])))?;
    thief.wait_refused("http://sliced/debug")?;
    thief.wait_refused("http://web.claimed/debug")?;
    for url in [URL, &direct] {
        let answer = client.ask(url)?;
        assert!(answer.contains("on web "), "{answer}");
    }
    assert!(web.is_enrolled()?);
    let refused = web.agent()?.wait_access(|line| !line.is_outbound() && line.field("src.workload") == "thief")?;
    assert_eq!(refused.field("dst.identity"), "spiffe://cluster.local/ns/claimed/sa/web");
    Ok(())
}
