//! A mesh of a client, a waypoint and a plain backend, all on this machine.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_compile::{Issue, Options};
use ambit_folder::Manifests;
use ambit_hbone::{ConnectRequest, Forwarded, OpenError, Settings, Tunnel, TunnelStream, authority, connect};
use ambit_identity::{Identities, IdentityOptions, TlsConfigs};
use ambit_model::{GatewayKey, Identity, PeerAddr};
use ambit_runtime::{Drain, Readiness};
use ambit_telemetry::{Metrics, Recorder};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use crate::jwt::Keys;
use crate::manifests::{Name, Standalone};
use crate::upstream::Groups;
use crate::worker::{Limits, Worker, WorkerParts};
use crate::{listener, outlet, worker};

/// The waypoint, and a tunnel of a client to it.
pub(super) struct Mesh {
    /// The waypoint's.
    pub(super) drain: Drain,
    tunnel: RefCell<Option<Tunnel>>,
    manifests: Standalone,
    objects: String,
    metrics: Arc<Metrics>,
    _state: TempDir,
}

impl Mesh {
    /// Starts a waypoint in front of a backend on this port of 127.0.0.1.
    pub(super) async fn start(port: u16, more: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let options = IdentityOptions { trust_domain: "cluster.local".into(), lifetime: Duration::from_secs(3600) };
        let identities = Identities::embedded(state.path(), &options, Handle::current()).unwrap();
        let metrics = Arc::new(Metrics::new("waypoint", "0"));
        let gateway = GatewayKey { namespace: "shop".into(), name: "waypoint".into() };
        let name = Name { gateway, pod: None, address: None, trust_domain: "cluster.local".into() };
        let (outlet, published) = outlet::channel(name.service(), Readiness::default().condition("configuration"));
        let mut manifests = Standalone::new(name, Options::default(), outlet, metrics.agent.clone());
        let objects = [OBJECTS, more].concat().replace("$PORT", &port.to_string());
        let mut issues = manifests.replace_file("mesh.yaml", &objects);
        issues.extend(manifests.publish());
        let errors: Vec<_> = issues.iter().filter(|issue| issue.is_error()).map(Issue::to_string).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let worker = Worker::new(WorkerParts {
            published,
            tls: Arc::clone(&identities.tls),
            metrics: metrics.agent.clone(),
            recorder: Recorder::new(Arc::clone(&metrics.traffic), None),
            requests: Arc::clone(&metrics.requests),
            log: None,
            log_files: Arc::default(),
            groups: Arc::<Groups>::default(),
            keys: Arc::<Keys>::default(),
            drain: Drain::default(),
            limits: Limits { max_tunnels: 10, sniffing: Duration::from_millis(50) },
        });
        let drain = worker.drain.clone();
        tokio::task::spawn_local(worker::follow(Rc::clone(&worker)));
        tokio::task::spawn_local(async move { listener::serve(&worker, listener).await });
        let tunnel = RefCell::new(Some(dial(&identities.tls, address).await));
        Self { drain, tunnel, manifests, objects, metrics, _state: state }
    }

    /// Opens a connection for an address.
    pub(super) async fn open(&self, target: &str) -> Result<TunnelStream, OpenError> {
        let tunnel = self.tunnel.borrow().clone().unwrap();
        tunnel.open(&ConnectRequest::new(authority::parse(target).unwrap())).await
    }

    /// Opens a connection for an address, and says where the client is.
    pub(super) async fn open_from(&self, target: &str, client: &str) -> Result<TunnelStream, OpenError> {
        let tunnel = self.tunnel.borrow().clone().unwrap();
        let mut request = ConnectRequest::new(authority::parse(target).unwrap());
        let client = PeerAddr::new(SocketAddr::new(client.parse().unwrap(), 40_000));
        request.forwarded = Some(Forwarded { client, host: None });
        tunnel.open(&request).await
    }

    /// Lets all leave the waypoint.
    pub(super) fn unbind(&mut self) {
        self.objects = self.objects.replace("istio.io/use-waypoint: waypoint", "istio.io/use-waypoint: none");
        self.change("");
    }

    /// Puts more objects in force.
    pub(super) fn change(&mut self, more: &str) {
        let issues = self.manifests.replace_file("mesh.yaml", &(self.objects.clone() + more));
        assert!(!issues.iter().any(Issue::is_error), "{issues:?}");
        self.manifests.publish();
    }

    /// Lets go of the tunnel, which ends with its last connection.
    pub(super) fn hang_up(&self) {
        self.tunnel.borrow_mut().take();
    }

    /// The metrics, once they are so.
    pub(super) async fn metrics(&self, are_so: impl Fn(&str) -> bool) -> String {
        for _ in 0..1000 {
            let metrics = self.metrics.encode().unwrap();
            if are_so(&metrics) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the metrics never were so:\n{}", self.metrics.encode().unwrap());
    }
}

async fn dial(tls: &TlsConfigs, address: SocketAddr) -> Tunnel {
    let waypoint = Identity::new("cluster.local", "shop", "waypoint");
    let config = tls.client_config(&Identity::new("cluster.local", "shop", "client"), &[waypoint]).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(config).connect(ServerName::IpAddress(address.ip().into()), stream).await.unwrap();
    connect(stream, &Settings::client()).await.unwrap()
}

/// Reads until a text has come, and gives all that came.
pub(super) async fn read_to(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await.unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&read));
        });
        read.push(byte);
    }
    String::from_utf8(read).unwrap()
}

/// A backend that answers with what it was sent: requests with their heads, other connections after a greeting.
pub(super) async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(async move {
            let mut seen = Vec::new();
            let first = tokio::time::timeout(Duration::from_millis(200), stream.read_buf(&mut seen)).await;
            if first.is_err() {
                stream.write_all(b"220 hello\n").await.ok();
            }
            loop {
                while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                    let head: Vec<u8> = seen.drain(..end + 4).collect();
                    let head = String::from_utf8_lossy(&head).into_owned();
                    if head.contains("upgrade: websocket") {
                        let answer =
                            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                        stream.write_all(answer.as_bytes()).await.ok();
                        continue;
                    }
                    if head.contains(" /endless ") {
                        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<end>\r\n";
                        stream.write_all(answer.as_bytes()).await.ok();
                        continue;
                    }
                    if head.contains("POST ") {
                        seen.clear();
                    }
                    let body = format!("{head}<end>");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.ok();
                }
                if !seen.is_empty() && !seen.windows(5).any(|window| window == b"HTTP/") {
                    stream.write_all(&seen).await.ok();
                    seen.clear();
                }
                match stream.read_buf(&mut seen).await {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
            }
        });
    }
}

const OBJECTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: waypoint}
  ports: [{name: hbone, port: 15008}]
---
apiVersion: v1
kind: Pod
metadata:
  name: waypoint-0
  namespace: shop
  labels: {app: waypoint, networking.istio.io/tunnel: http, istio.io/dataplane-mode: none}
spec: {serviceAccountName: waypoint, nodeName: node-1}
status: {podIP: 10.0.0.10, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  clusterIP: 10.96.0.1
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: $PORT}
  - {name: any, port: 9000, targetPort: $PORT}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: $PORT}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, nodeName: node-1}
status: {podIP: 127.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;
