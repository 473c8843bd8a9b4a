//! Stock Envoy at the other end of the tunnel, as its server and as its client.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use ambit_tests::{
    Behaviour, Connection, Mesh, Netns, Outcome, Pod, PodSpec, Process, Server, ask, envoy_binary, envoy_tls, until,
};

use crate::certificate;

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;
/// Where Envoy, as a client, takes connections in.
const ENTRY: u16 = 9000;

#[test]
fn our_client_to_envoys_server() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _server = Server::start(&web.netns(), PORT, Behaviour::Echo)?;
    // No agent on node 2: Envoy stands where it would be.
    mesh.start_agent(1, &[])?.wait_ready()?;
    let capture = mesh.world.capture()?;
    let envoy = start(&mesh, &web, &web.identity(), server)?;
    wait_listening(&web.netns(), 15008, &envoy)?;

    let mut open = Connection::established(&client.netns(), web.at(PORT))?;
    assert_eq!(ask(&client.netns(), web.at(PORT), "a second stream")?.answer()?, "a second stream");
    assert_eq!(open.ask("the first one still").answer()?, "the first one still");
    let bulk = "x".repeat(1 << 20);
    assert!(open.ask(&bulk).answer()? == bulk, "a megabyte came back changed");
    open.finish()?;
    assert_eq!(open.read(), Outcome::Closed);
    capture.stop()?.only_tunnels()?;
    Ok(())
}

#[test]
fn envoys_client_to_our_server() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let client = mesh.pod(PodSpec::new("outside", "client", 1))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let _server = Server::start(&web.netns(), PORT, Behaviour::Echo)?;
    mesh.start_agent(2, &[])?.wait_ready()?;
    let capture = mesh.world.capture()?;
    let envoy = start(&mesh, &client, "spiffe://cluster.local/ns/shop/sa/envoy", |folder| self::client(folder, &web))?;
    let entry = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ENTRY);
    wait_listening(&client.netns(), ENTRY, &envoy)?;

    let mut open = Connection::established(&client.netns(), entry)?;
    assert_eq!(ask(&client.netns(), entry, "a second stream")?.answer()?, "a second stream");
    let bulk = "x".repeat(1 << 20);
    assert!(open.ask(&bulk).answer()? == bulk, "a megabyte came back changed");
    drop(open);
    capture.stop()?.only_tunnels()?;
    mesh.agent(2)?.wait_access(|line| line.field("src.identity") == "spiffe://cluster.local/ns/shop/sa/envoy")?;
    Ok(())
}

/// Starts Envoy in a pod, with a certificate for `identity`.
fn start(mesh: &Mesh, pod: &Pod, identity: &str, resources: impl FnOnce(&str) -> Value) -> Result<Process> {
    let folder = mesh.world.directory().join("envoy");
    fs::create_dir_all(&folder)?;
    let state = mesh.world.directory().join("state");
    certificate::write(&state, identity, &folder)?;
    fs::copy(state.join("ca/roots.pem"), folder.join("roots.pem"))?;
    let bootstrap = json!({"static_resources": resources(&folder.display().to_string())});
    fs::write(folder.join("envoy.json"), bootstrap.to_string())?;
    let mut command = pod.netns().command(envoy_binary(Path::new(env!("CARGO_TARGET_TMPDIR")))?);
    command.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"]);
    command.arg(folder.join("envoy.json"));
    Process::start(command, mesh.world.directory(), "envoy")
}

fn wait_listening(netns: &Netns, port: u16, envoy: &Process) -> Result<()> {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let listening = || Connection::open(netns, address).ok()?.ok().map(drop);
    until("Envoy's listener", PATIENCE, listening).map_err(|error| error.context(envoy.errors()))
}

/// A listener that ends tunnels and passes them on to the application beside it.
fn server(folder: &str) -> Value {
    let route = json!({
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": "application",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
    });
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tunnel",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"allow_connect": true},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{
            "name": "router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": envoy_tls(folder, "spiffe://cluster.local/ns/shop/sa/client"),
    });
    let application = json!({"name": "application", "load_assignment": endpoint("application", "127.0.0.1", PORT)});
    let chain = json!({
        "filters": [{"name": "http", "typed_config": http}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    });
    json!({
        "listeners": [{"name": "tunnel", "address": address("0.0.0.0", 15008), "filter_chains": [chain]}],
        "clusters": [application],
    })
}

/// A listener that passes every connection through a tunnel to the application of `web`.
fn client(folder: &str, web: &Pod) -> Value {
    let tcp = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "entry",
        "cluster": "tunnel",
        "tunneling_config": {"hostname": web.at(PORT).to_string()},
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": envoy_tls(folder, &web.identity()),
    });
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    let tunnel = json!({
        "name": "tunnel",
        "load_assignment": endpoint("tunnel", &web.ip4().to_string(), 15008),
        "transport_socket": {"name": "tls", "typed_config": tls},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    });
    let chain = json!({"filters": [{"name": "tcp", "typed_config": tcp}]});
    json!({
        "listeners": [{"name": "entry", "address": address("127.0.0.1", ENTRY), "filter_chains": [chain]}],
        "clusters": [tunnel],
    })
}

fn endpoint(cluster: &str, ip: &str, port: u16) -> Value {
    let endpoint = json!({"endpoint": {"address": address(ip, port)}});
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]})
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}
