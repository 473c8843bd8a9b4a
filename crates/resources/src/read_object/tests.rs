use serde_json::json;

use super::*;
use crate::{Kind, Object};

fn parse(object: Value) -> Result<Readable, Refusal> {
    parse_object(object, &"Kubernetes".into())
}

fn said(issues: &[Issue<Problem>]) -> Vec<String> {
    issues.iter().map(ToString::to_string).collect()
}

/// As the API server sends them, with what it adds.
fn metadata(name: &str) -> Value {
    json!({
        "name": name, "namespace": "shop", "uid": "7c1", "resourceVersion": "12", "generation": 1,
        "creationTimestamp": "2026-01-31T09:30:00Z",
        "managedFields": [{
            "manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-31T09:30:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}},
        }],
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_the_api_server_adds_is_no_news() {
    let version = |version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata("web")});
        let fields = object.as_object_mut().unwrap();
        fields.extend(rest.as_object().unwrap().clone());
        object
    };
    let status = json!({"conditions": [{"type": "Accepted", "status": "True"}], "observedGeneration": "1"});
    for (object, expected) in [
        (
            version(
                "v1",
                "Node",
                json!({"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
            ),
            Kind::Node,
        ),
        (
            version(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                json!({
                    "addressType": "IPv4",
                    "endpoints": [{
                        "addresses": ["10.0.0.1"], "nodeName": "n1", "zone": "z", "hints": {"forZones": [{"name": "z"}]},
                        "conditions": {"ready": true, "serving": true, "terminating": false},
                        "targetRef": {"kind": "Pod", "name": "web", "namespace": "shop", "uid": "7"},
                    }],
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
                }),
            ),
            Kind::EndpointSlice,
        ),
        (
            version(
                "networking.istio.io/v1",
                "ServiceEntry",
                json!({
                    "spec": {
                        "hosts": ["x.org"], "addresses": ["240.0.0.1"], "location": "MESH_EXTERNAL",
                        "ports": [{"number": 443, "name": "tls", "protocol": "TLS", "targetPort": 8443}],
                        "resolution": "STATIC", "exportTo": ["*"], "subjectAltNames": ["spiffe://a/ns/b/sa/c"],
                        "endpoints": [{
                            "address": "1.2.3.4", "ports": {"tls": 8443}, "labels": {"a": "b"}, "locality": "r/z",
                            "network": "n", "weight": 3, "serviceAccount": "x",
                        }],
                        "workloadSelector": {"labels": {"app": "vm"}},
                    },
                    "status": status,
                }),
            ),
            Kind::ServiceEntry,
        ),
        (
            version(
                "networking.istio.io/v1alpha3",
                "WorkloadEntry",
                json!({"spec": {"address": "1.2.3.4"}, "status": status}),
            ),
            Kind::WorkloadEntry,
        ),
        (
            version("security.istio.io/v1", "AuthorizationPolicy", json!({"spec": {"rules": [{}]}, "status": status})),
            Kind::AuthorizationPolicy,
        ),
        (
            version(
                "security.istio.io/v1",
                "PeerAuthentication",
                json!({"spec": {"mtls": {"mode": "STRICT"}}, "status": status}),
            ),
            Kind::PeerAuthentication,
        ),
    ] {
        let (parsed, issues) = parse(object).unwrap();
        assert_eq!(said(&issues), [] as [&str; 0]);
        let origin = parsed.unwrap().origin;
        assert_eq!((origin.id.kind, &*origin.id.name, &*origin.file), (expected, "web", "Kubernetes"));
    }
}

#[test]
fn a_policy_is_held_to_every_word_here_too() {
    let policy = |spec: Value| json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata("p"), "spec": spec});
    for (spec, expected) in [
        (
            json!({"acton": "DENY"}),
            "Kubernetes: error: AuthorizationPolicy shop/p: spec.acton: unknown field; did you mean action?",
        ),
        (
            json!({"selector": null}),
            "Kubernetes: error: AuthorizationPolicy shop/p: spec.selector: no value: leave the field out, or give it one",
        ),
    ] {
        let refusal = parse(policy(spec)).unwrap_err();
        assert_eq!(refusal.id.map(|id| id.to_string()).as_deref(), Some("AuthorizationPolicy shop/p"));
        assert_eq!(said(&refusal.issues), [expected]);
    }
}

#[test]
fn what_is_nobodys_is_no_object() {
    for (object, expected) in [
        (
            json!([]),
            Err("Kubernetes: error: not a Kubernetes object: a mapping with apiVersion, kind and metadata is expected"),
        ),
        (json!({"kind": "Pod"}), Err("Kubernetes: error: apiVersion: required, but absent")),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}),
            Err("Kubernetes: error: metadata.name: required, but absent"),
        ),
        (
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "x"}}),
            Ok("Kubernetes: info: kind LimitRange of v1 is not used by the mesh: ignored"),
        ),
    ] {
        match (parse(object), expected) {
            (Ok((None, issues)), Ok(expected)) => assert_eq!(said(&issues), [expected]),
            (Err(refusal), Err(expected)) => {
                assert_eq!((refusal.id, said(&refusal.issues)), (None, vec![expected.to_owned()]))
            }
            (found, _) => panic!("{found:?}"),
        }
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata("web"), "status": {"podIP": "10.0.0.1"}});
    let (Some(Parsed { object, .. }), _) = parse(pod).unwrap() else { panic!() };
    let Object::Pod(pod) = &*object else { panic!() };
    assert_eq!(pod.metadata.uid, "7c1");
}
