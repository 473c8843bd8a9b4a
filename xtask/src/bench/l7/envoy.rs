//! Envoy, configured as the field's waypoints are: tunnels end at one listener, requests are routed at an internal
//! one, and tunnels to servers begin at a third.

use std::fs;
use std::path::Path;

use ambit_tests::{Netns, Process, envoy_tls};
use anyhow::Result;
use serde_json::{Value, json};

use super::contender::{Contender, Kind};
use super::manifests::{SERVER, SERVICE, prefixes};
use super::stage::Out;

/// The service's ports, the server's, and what is spoken there.
const PORTS: [(u16, u16, &str); 2] = [(80, 8080, "http_protocol_options"), (81, 8081, "http2_protocol_options")];

/// Starts it with one thread. Its certificate is in `folder`.
pub(super) fn start(binary: &Path, netns: &Netns, folder: &Path, (routes, out): (u32, Out)) -> Result<Contender> {
    for (port, ..) in PORTS {
        fs::write(folder.join(format!("routes-{port}.json")), self::routes(port, routes, "last").to_string())?;
    }
    fs::write(folder.join("envoy.json"), bootstrap(&folder.display().to_string(), out).to_string())?;
    let mut command = netns.command(binary);
    command.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]);
    command.args(["--service-node", "waypoint", "--service-cluster", "shop", "-c"]);
    command.arg(folder.join("envoy.json"));
    let process = Process::start(command, folder, "envoy")?;
    Ok(Contender { kind: Kind::Envoy, process, routes: folder.join("routes-80.json") })
}

/// The routes of a port of the service, as Envoy reads them from a file.
pub(super) fn routes(port: u16, count: u32, last: &str) -> Value {
    let routes = prefixes(count, last)
        .map(|prefix| json!({"match": {"prefix": prefix}, "route": {"cluster": format!("web-{port}")}}))
        .collect::<Vec<_>>();
    let config = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": format!("routes-{port}"),
        "virtual_hosts": [{"name": "web", "domains": ["*"], "routes": routes}],
    });
    json!({"version_info": last, "resources": [config]})
}

fn bootstrap(folder: &str, out: Out) -> Value {
    let mut listeners = vec![terminate(folder)];
    let mut clusters = vec![tunnel(folder)];
    for (port, target, options) in PORTS {
        listeners.extend([route(folder, port), originate(port, target)]);
        let mut web = match out {
            Out::Tunnel => internal(&format!("web-{port}"), &format!("originate-{port}")),
            Out::Plain => cluster(&format!("web-{port}"), &address(SERVER, target)),
        };
        speaks(&mut web, options);
        clusters.extend([internal(&format!("route-{port}"), &format!("route-{port}")), web]);
    }
    let extension = json!({
        "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
    });
    json!({
        "admin": {"address": address("127.0.0.1", 9901)},
        "bootstrap_extensions": [{"name": "internal_listener", "typed_config": extension}],
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

/// Where tunnels end.
fn terminate(folder: &str) -> Value {
    let hosts = PORTS.map(|(port, ..)| {
        json!({
            "name": format!("port-{port}"),
            "domains": [format!("{SERVICE}:{port}")],
            "routes": [{
                "match": {"connect_matcher": {}},
                "route": {
                    "cluster": format!("route-{port}"),
                    "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
                },
            }],
        })
    });
    let mut http = connection_manager("terminate", &json!({"route_config": {"virtual_hosts": hosts}}));
    if let Some(http) = http.as_object_mut() {
        http.insert("codec_type".to_owned(), json!("HTTP2"));
        http.insert("http2_protocol_options".to_owned(), json!({"allow_connect": true}));
    }
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": envoy_tls(folder, "spiffe://cluster.local/ns/shop/sa/client"),
    });
    let chain = json!({
        "filters": [{"name": "http", "typed_config": http}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    });
    let at = address(&Kind::Envoy.address().to_string(), 15008);
    json!({"name": "terminate", "address": at, "filter_chains": [chain]})
}

/// Where requests are routed.
fn route(folder: &str, port: u16) -> Value {
    let rds = json!({"rds": {
        "route_config_name": format!("routes-{port}"),
        "config_source": {"path_config_source": {"path": format!("{folder}/routes-{port}.json")}},
    }});
    let http = connection_manager(&format!("route-{port}"), &rds);
    let chain = json!({"filters": [{"name": "http", "typed_config": http}]});
    json!({"name": format!("route-{port}"), "internal_listener": {}, "filter_chains": [chain]})
}

/// Where tunnels to the server begin.
fn originate(port: u16, target: u16) -> Value {
    let tcp = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": format!("originate-{port}"),
        "cluster": "tunnel",
        "tunneling_config": {"hostname": format!("{SERVER}:{target}")},
    });
    let chain = json!({"filters": [{"name": "tcp", "typed_config": tcp}]});
    json!({"name": format!("originate-{port}"), "internal_listener": {}, "filter_chains": [chain]})
}

fn connection_manager(name: &str, routes: &Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [{
            "name": "router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    if let (Some(manager), Some(routes)) = (manager.as_object_mut(), routes.as_object()) {
        manager.extend(routes.clone());
    }
    manager
}

/// The tunnels to the server.
fn tunnel(folder: &str) -> Value {
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": envoy_tls(folder, "spiffe://cluster.local/ns/shop/sa/web"),
    });
    let mut cluster = cluster("tunnel", &address(SERVER, 15008));
    speaks(&mut cluster, "http2_protocol_options");
    if let Some(cluster) = cluster.as_object_mut() {
        cluster.insert("transport_socket".to_owned(), json!({"name": "tls", "typed_config": tls}));
    }
    cluster
}

/// A cluster that is an internal listener.
fn internal(name: &str, listener: &str) -> Value {
    let raw = json!({"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"});
    let socket = json!({
        "@type":
            "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        "transport_socket": {"name": "raw", "typed_config": raw},
    });
    let mut cluster = cluster(name, &json!({"envoy_internal_address": {"server_listener_name": listener}}));
    if let Some(cluster) = cluster.as_object_mut() {
        cluster.insert("transport_socket".to_owned(), json!({"name": "internal", "typed_config": socket}));
    }
    cluster
}

fn speaks(cluster: &mut Value, options: &str) {
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {options: {}},
    });
    if let Some(cluster) = cluster.as_object_mut() {
        let all = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options});
        cluster.insert("typed_extension_protocol_options".to_owned(), all);
    }
}

fn cluster(name: &str, address: &Value) -> Value {
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    json!({"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}})
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}
