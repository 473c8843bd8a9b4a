//! Who has no right to it gets nothing from the control plane, and garbage harms nobody.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use ambit_tests::cluster::{Agent, App, Namespace, Node, PATIENCE, Pod, SYSTEM, client, kubectl};
use ambit_tests::until;
use ambit_xds::TypeUrl;
use ambit_xds::proto::certificate::IstioCertificateRequest;
use ambit_xds::proto::certificate::istio_certificate_service_client::IstioCertificateServiceClient;
use ambit_xds::proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_xds::proto::discovery::{DeltaDiscoveryRequest, Resource};
use ambit_xds::proto::node::PodReport;
use ambit_xds::proto::node::node_reports_client::NodeReportsClient;
use ambit_xds::proto::node::pod_report::State;

use crate::control_plane_client::{channel, control_planes, token};
use crate::mesh;

#[test]
fn a_pod_gets_no_certificate_but_its_own() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("thief")?;
    let [thief, _] = shop.start(&[client("thief", 1), client("victim", 1)], ["thief", "victim"])?;
    let token = token(&thief, "thief")?;
    let victim = "spiffe://cluster.local/ns/thief/sa/victim";
    assert_eq!(certificate(Some(&token), Some(victim))?.map_err(|status| status.code()), Err(Code::PermissionDenied));
    assert!(certificate(Some(&token), None)?.is_ok(), "its own");
    for (none, token) in [("no token", None), ("a made-up token", Some("eyJhbGciOiJub25lIn0.e30."))] {
        let refused = certificate(token, Some(victim))?.map_err(|status| status.code());
        assert_eq!(refused, Err(Code::Unauthenticated), "{none}");
    }
    Ok(())
}

#[test]
fn a_stolen_agents_token_is_good_for_its_own_node_only() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("stolen")?;
    shop.start(&[client("here", 1), client("there", 2)], ["here", "there"])?;
    let token = token(Agent::on(Node::ALL[1])?.pod(), "ztunnel")?;
    let there = certificate(Some(&token), Some("spiffe://cluster.local/ns/stolen/sa/there"))?;
    assert!(there.is_ok(), "what its node runs: {there:?}");
    let here = certificate(Some(&token), Some("spiffe://cluster.local/ns/stolen/sa/here"))?;
    assert_eq!(here.map_err(|status| status.code()), Err(Code::PermissionDenied));
    // Of no pod, so of no node.
    let anywhere = kubectl(&["--namespace", SYSTEM, "create", "token", "ztunnel", "--audience=istio-ca"])?;
    let there = certificate(Some(anywhere.trim()), Some("spiffe://cluster.local/ns/stolen/sa/there"))?;
    assert_eq!(there.map_err(|status| status.code()), Err(Code::PermissionDenied));
    // Of pods it is told of, those of its node, whatever it asks for.
    let pods = discovery(Some(&token), TypeUrl::Pod)?.map_err(|status| status.code());
    assert!(pods.as_ref().is_ok_and(|pods| pods.iter().any(|uid| uid == "Kubernetes//Pod/stolen/there")), "{pods:?}");
    assert!(pods.is_ok_and(|pods| pods.iter().all(|uid| uid != "Kubernetes//Pod/stolen/here")));
    Ok(())
}

#[test]
fn discovery_wants_a_token_that_has_the_right() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("curious")?;
    let [pod] = shop.start(&[client("curious", 1)], ["curious"])?;
    pod.wait_enrolled(true)?;
    let asked = |token: Option<&str>, of| Ok::<_, anyhow::Error>(discovery(token, of)?.map_err(|status| status.code()));
    assert_eq!(asked(None, TypeUrl::Address)?, Err(Code::Unauthenticated));
    // Valid, but for another purpose.
    let other = kubectl(&["--namespace", "curious", "create", "token", "curious"])?;
    assert_eq!(asked(Some(other.trim()), TypeUrl::Address)?, Err(Code::Unauthenticated));
    let token = token(&pod, "curious")?;
    let mesh = asked(Some(&token), TypeUrl::Address)?;
    assert!(mesh.is_ok_and(|names| names.iter().any(|name| name == "Kubernetes//Pod/curious/curious")));
    // What nodes are told of their pods is for nobody else.
    for of in [TypeUrl::Pod, TypeUrl::TrustBundle, TypeUrl::MeshedNamespace, TypeUrl::Object, TypeUrl::Labels] {
        assert_eq!(asked(Some(&token), of)?, Err(Code::PermissionDenied), "{of}");
    }
    Ok(())
}

#[test]
fn a_report_is_believed_of_the_pods_own_node_only() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("slandered")?;
    let [pod] = shop.start(&[client("slandered", 1)], ["slandered"])?;
    pod.wait_enrolled(true)?;
    let failed = PodReport {
        uid: "Kubernetes//Pod/slandered/slandered".to_owned(),
        pod_uid: pod.text("/metadata/uid")?,
        state: State::Failed.into(),
        reason: "slander".to_owned(),
    };
    let report = |token: &str| {
        let told = call(Some(token), async |channel, metadata| {
            let report = Request::from_parts(metadata, Default::default(), tokio_stream::iter([failed.clone()]));
            NodeReportsClient::new(channel).report(report).await.map(drop)
        });
        Ok::<_, anyhow::Error>(told?.map_err(|status| status.code()))
    };
    assert_eq!(report(&token(&pod, "slandered")?)?, Err(Code::PermissionDenied), "the pod itself");
    assert_eq!(report(&token(Agent::on(Node::ALL[1])?.pod(), "ztunnel")?)?, Ok(()), "another node's agent");
    // Whatever came of these would be seen by the time a later report is.
    let [later] = shop.start(&[client("later", 1)], ["later"])?;
    later.wait_enrolled(true)?;
    assert!(pod.is_enrolled()?, "nobody believed it");
    assert_eq!(report(&token(Agent::on(Node::ALL[0])?.pod(), "ztunnel")?)?, Ok(()), "its node's agent");
    pod.wait_enrolled(false)?;
    // Its users are told why.
    until("an event of the pod", PATIENCE, || {
        let events = shop.kubectl(&["get", "events", "--field-selector=involvedObject.name=slandered"]).ok()?;
        events.contains("EnrolmentFailed").then_some(())
    })
}

#[test]
fn garbage_on_every_port_harms_nobody() -> Result<()> {
    mesh::installed()?;
    let shop = Namespace::meshed("garbage")?;
    let server = App::server("web").container("readinessProbe: {httpGet: {port: 8080, path: /debug}}").on(2);
    let [asker, web] = shop.start(&[client("client", 1), server.pod()], ["client", "web"])?;
    web.wait_enrolled(true)?;
    asker.wait_enrolled(true)?;
    let control = control_planes()?;
    let agents = Node::ALL.into_iter().map(Agent::on).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&Pod> = control.iter().chain(agents.iter().map(Agent::pod)).chain([&web]).collect();
    let lives = || parts.iter().map(|pod| pod.incarnation()).collect::<Result<Vec<_>>>();
    let before = lives()?;
    for pod in &control {
        [15012, 15017, 15014, 8080].into_iter().for_each(|port| garbage(pod.ip().ok(), port));
    }
    for node in Node::ALL {
        [15020, 15021].into_iter().for_each(|port| garbage(Some(node.ip().into()), port));
    }
    [15001, 15006, 15008, 8080].into_iter().for_each(|port| garbage(web.ip().ok(), port));
    assert_eq!(lives()?, before, "nothing was restarted");
    mesh::wait_ready()?;
    asker.wait_answered(&format!("http://{}:8080/debug", web.ip()?)).map(drop)
}

/// Sends what no protocol begins with, and what some begin with and none goes on with.
fn garbage(ip: Option<IpAddr>, port: u16) {
    let Some(ip) = ip else { return };
    let noise: Vec<u8> = (0_u32..65_536).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let half_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 64]].concat();
    let endless = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'a'; 200_000]].concat();
    let tls_noise = [&[0x16, 3, 3, 0xff, 0xff], noise.as_slice()].concat();
    for bytes in [noise.as_slice(), &half_hello, &preface, &endless, &tls_noise, b""] {
        let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_secs(2)) else {
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_millis(200))).ok();
        stream.write_all(bytes).ok();
        // Whatever it says: it must live on.
        stream.read_to_end(&mut Vec::new()).ok();
    }
}

/// Asks for the certificate of an identity, or for one's own.
fn certificate(token: Option<&str>, identity: Option<&str>) -> Result<Result<Vec<String>, Status>> {
    let csr = CertificateParams::default().serialize_request(&KeyPair::generate()?)?.pem()?;
    let metadata = identity.map(|identity| {
        let value = Value { kind: Some(Kind::StringValue(identity.to_owned())) };
        Struct { fields: [("ImpersonatedIdentity".to_owned(), value)].into() }
    });
    let request = IstioCertificateRequest { csr, validity_duration: 60, metadata };
    call(token, async |channel, metadata| {
        let request = Request::from_parts(metadata, Default::default(), request);
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
        Ok(answer.into_inner().cert_chain)
    })
}

/// Opens a stream of everything of a type, and gives the names in the first answer.
fn discovery(token: Option<&str>, of: TypeUrl) -> Result<Result<Vec<String>, Status>> {
    let first = DeltaDiscoveryRequest { type_url: of.as_str().to_owned(), ..DeltaDiscoveryRequest::default() };
    call(token, async |channel, metadata| {
        let requests = tokio_stream::iter([first]).chain(tokio_stream::pending());
        let request = Request::from_parts(metadata, Default::default(), requests);
        let stream = AggregatedDiscoveryServiceClient::new(channel).delta_aggregated_resources(request).await?;
        let answer = stream.into_inner().message().await?.unwrap_or_default();
        Ok(answer.resources.into_iter().filter_map(|bytes| Some(Resource::decode(bytes).ok()?.name)).collect())
    })
}

/// One call to the control plane.
fn call<T>(
    token: Option<&str>,
    ask: impl AsyncFnOnce(Channel, MetadataMap) -> Result<T, Status>,
) -> Result<Result<T, Status>> {
    let pods = control_planes()?;
    let ip = until("a control plane with an address", PATIENCE, || pods.first()?.ip().ok())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = channel(SocketAddr::new(ip, 15012)).await?;
        let mut metadata = MetadataMap::new();
        if let Some(token) = token {
            metadata.insert("authorization", format!("Bearer {token}").parse()?);
        }
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, ask(channel, metadata)).await.context("no answer in time")
    })
}
