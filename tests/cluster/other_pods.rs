//! Pods that are not just there: that end, that have names of their own, that share the node's network,
//! that take another's address; and callers from outside of the mesh.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, bail, ensure};

use ambit_tests::cluster::{App, Namespace, Node, PATIENCE, Pod, client, policy, server, service, strictness};
use ambit_tests::until;

use crate::mesh;

const URL: &str = "http://web/debug";

/// A meshed namespace with a server on node 2 and a client on node 1.
fn shop(name: &str, server: &str) -> Result<(Namespace, [Pod; 2])> {
    mesh::installed()?;
    let shop = Namespace::meshed(name)?;
    let pods = shop.start(&[client("client", 1), server.to_owned()], ["client", "web"])?;
    pods.iter().try_for_each(|pod| pod.wait_enrolled(true))?;
    pods[0].wait_answered(URL)?;
    Ok((shop, pods))
}

#[test]
fn a_job_uses_the_mesh_and_ends() -> Result<()> {
    let (shop, _) = shop("job", &server("web", 2))?;
    shop.apply(&policy("only-job", "web", "ALLOW", &["cluster.local/ns/job/sa/once"]))?;
    let job = App::script("once", "fortio curl -quiet -timeout 5s http://web/debug").on(1);
    shop.apply(&job.spec("restartPolicy: Never").job())?;
    shop.kubectl(&["wait", "job/once", "--for=condition=Complete", "--timeout=60s"])?;
    // Its pod has ended and is still an object; its address is free again.
    let ended = shop.pods("app=once")?.pop().context("no pod of the job")?;
    ended.wait_succeeded()
}

#[test]
fn a_stateful_sets_pods_are_reached_by_their_own_names() -> Result<()> {
    let headless = App::server("db").stateful_set(2) + &service("db", "clusterIP: None");
    let (shop, [client, _]) = shop("stateful", &server("web", 2))?;
    shop.apply(&(headless + &strictness("STRICT")))?;
    shop.kubectl(&["rollout", "status", "statefulset/db", "--timeout=90s"])?;
    for name in ["db-0", "db-1"] {
        let pod = shop.pod(name);
        pod.wait_enrolled(true)?;
        let answer = client.wait_answered(&format!("http://{name}.db:8080/debug"))?;
        assert!(answer.contains(&format!("on {name} ")), "{answer}");
        // The next of its name has another address.
        pod.delete()?;
        shop.kubectl(&["rollout", "status", "statefulset/db", "--timeout=90s"])?;
        client.wait_answered(&format!("http://{name}.db:8080/debug"))?;
    }
    Ok(())
}

#[test]
fn a_pod_in_the_nodes_network_asks_and_is_asked() -> Result<()> {
    let host = App::server("host")
        .on(1)
        .spec("hostNetwork: true\ndnsPolicy: ClusterFirstWithHostNet")
        .container("ports: [{containerPort: 8080}]");
    let (shop, [client, web]) = shop("host-network", &server("web", 2))?;
    let [host] = shop.start(&[host.pod() + &service("host", "")], ["host"])?;
    assert!(!host.is_enrolled()?, "its network is the node's");
    host.wait_answered(&format!("http://{}:8080/debug", web.ip()?))?;
    host.wait_answered(URL)?;
    client.wait_answered("http://host/debug").map(drop)
}

#[test]
fn an_address_used_again_within_seconds_is_its_new_owners() -> Result<()> {
    address_used_again("reuse", Pod::delete)
}

/// Its object is gone before it is, and before its node heard of its end.
#[test]
fn an_address_of_a_pod_deleted_by_force_is_its_new_owners() -> Result<()> {
    address_used_again("reuse-forced", |pod| {
        let IpAddr::V4(old) = pod.ip()? else { bail!("IPv4 is first here") };
        pod.delete_by_force()?;
        let free = format!("test ! -e /var/lib/cni/networks/pods/{old}");
        until("the end of its network", PATIENCE, || Node::ALL[0].exec(&free).ok()).map(drop)
    })
}

fn address_used_again(name: &str, end: impl FnOnce(&Pod) -> Result<()>) -> Result<()> {
    let (shop, [client, _]) = shop(name, &server("web", 2))?;
    shop.start(&[server("free", 2)], ["free"])?;
    shop.apply(&policy("only-client", "web", "ALLOW", &[&format!("cluster.local/ns/{name}/sa/client")]))?;
    client.wait_answered(URL)?;
    let IpAddr::V4(old) = client.ip()? else { bail!("IPv4 is first here") };
    end(&client)?;
    // The node's plugin for addresses gives the one after the last.
    let before = Ipv4Addr::from_bits(old.to_bits() - 1);
    Node::ALL[0].exec(&format!("printf %s {before} > /var/lib/cni/networks/pods/last_reserved_ip.0"))?;
    let [other] = shop.start(&[ambit_tests::cluster::client("other", 1)], ["other"])?;
    ensure!(other.ip()? == old, "{} was given, not {old}", other.ip()?);
    // Its peer does know it already: it is told of before the pod starts.
    other.wait_enrolled(true)?;
    assert!(other.ask(URL).is_err(), "it has not the old one's identity");
    other.wait_answered("http://free/debug").map(drop)
}

#[test]
fn an_external_name_is_another_name() -> Result<()> {
    let (shop, [client, _]) = shop("external", &server("web", 2))?;
    let name = "apiVersion: v1\nkind: Service\nmetadata: {name: alias}\n\
                spec: {type: ExternalName, externalName: web.external.svc.cluster.local}\n";
    shop.apply(&(name.to_owned() + &strictness("STRICT")))?;
    client.wait_answered("http://alias/debug").map(drop)
}

#[test]
fn traffic_from_outside_comes_in_by_node_ports_and_load_balancers() -> Result<()> {
    let web = App::server("web").on(2).pod() + &service("web", "type: LoadBalancer\nexternalIPs: [10.243.0.100]");
    let (shop, [_, web]) = shop("outside", &web)?;
    let port = shop.kubectl(&["get", "service", "web", "--output=jsonpath={.spec.ports[0].nodePort}"])?;
    let outside = Namespace::plain("outside-caller")?;
    let [caller] = outside.start(&[App::idle("caller").on(1).spec("hostNetwork: true").pod()], ["caller"])?;
    for node in Node::ALL {
        caller.wait_answered(&format!("http://{}:{port}/debug", node.ip()))?;
    }
    caller.wait_answered("http://10.243.0.100/debug")?;
    let line = web.agent()?.wait_access(|line| {
        line.field("dst.workload") == "web" && line.field("dst.namespace") == "outside" && !line.is_outbound()
    })?;
    assert_eq!(line.field("dst.identity"), "spiffe://cluster.local/ns/outside/sa/web");
    Ok(())
}

#[test]
fn both_families_are_in_the_mesh() -> Result<()> {
    let web = App::server("web").on(2).pod() + &service("web", "ipFamilyPolicy: RequireDualStack");
    let (shop, [client, web]) = shop("dual-stack", &web)?;
    shop.apply(&strictness("STRICT"))?;
    let outside = Namespace::plain("dual-stack-outside")?;
    let [plain] = outside.start(&[ambit_tests::cluster::client("plain", 1)], ["plain"])?;
    let addresses = web.addresses()?;
    assert!(addresses.iter().any(IpAddr::is_ipv6) && addresses.iter().any(IpAddr::is_ipv4), "{addresses:?}");
    let virtual_addresses = shop.kubectl(&["get", "service", "web", "--output=jsonpath={.spec.clusterIPs[*]}"])?;
    for address in virtual_addresses.split_whitespace() {
        let url = url(address.parse()?, 80);
        client.wait_answered(&url)?;
        plain.wait_refused(&url)?;
    }
    for address in addresses {
        client.wait_answered(&url(address, 8080))?;
        plain.wait_refused(&url(address, 8080))?;
    }
    Ok(())
}

fn url(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("http://{address}:{port}/debug"),
        IpAddr::V6(address) => format!("http://[{address}]:{port}/debug"),
    }
}
