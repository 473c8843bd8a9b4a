//! What the status of a waypoint's Gateway, and of its class, says. Pure: a patch, where it does not say that yet.

use ambit_resources::Kind;
use serde_json::{Value, json};

use super::attached::AttachedRoutes;
use crate::condition::{ACCEPTED, Condition, merged};

/// The protocol of a waypoint's listener.
const HBONE: &str = "HBONE";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const PROGRAMMED: &str = "Programmed";
const RESOLVED_REFS: &str = "ResolvedRefs";
/// The routes that listeners take.
const ROUTES: [Kind; 4] = [Kind::HttpRoute, Kind::GrpcRoute, Kind::TcpRoute, Kind::TlsRoute];
/// What of the Gateway API waypoints do beyond its core, by the names that its conformance tests have for it, in order.
const FEATURES: [&str; 19] = [
    "GRPCRoute",
    "HTTPRoute",
    "HTTPRouteBackendTimeout",
    "HTTPRouteMethodMatching",
    "HTTPRouteParentRefPort",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "Mesh",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
];

/// What is known of a waypoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// How many of its pods are ready.
    pub(super) ready: usize,
    /// The addresses of its Service.
    pub(super) addresses: Vec<String>,
    /// Why it is not deployed as it should be.
    pub(super) trouble: Option<Trouble>,
    /// The routes that are attached to it.
    pub(super) attached: AttachedRoutes,
}

/// Why a waypoint is not deployed as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Whether it is what its Gateway says of that (`parametersRef`).
    pub(super) in_parameters: bool,
    /// For people.
    pub(super) message: String,
}

/// A merge patch for the status of a Gateway.
pub(super) fn of_gateway(gateway: &Value, facts: &Facts, now: &str) -> Option<Value> {
    let listeners: Vec<_> = array(gateway, "/spec/listeners").collect();
    let parameters = facts.trouble.as_ref().filter(|trouble| trouble.in_parameters);
    let accepted = if !listeners.iter().any(|listener| is_ours(listener)) {
        Condition::new(ACCEPTED, false, "ListenersNotValid", "no listener has the protocol HBONE")
    } else if let Some(trouble) = parameters {
        Condition::new(ACCEPTED, false, "InvalidParameters", trouble.message.as_str())
    } else {
        Condition::new(ACCEPTED, true, "Accepted", "it is a waypoint")
    };
    let programmed = match (&facts.trouble, facts.ready) {
        (Some(trouble), _) => Condition::new(PROGRAMMED, false, "Invalid", trouble.message.as_str()),
        (None, 0) => Condition::new(PROGRAMMED, false, "Pending", "no pod is ready"),
        // How many would be written anew with each.
        (None, _) => Condition::new(PROGRAMMED, true, "Programmed", "pods are ready"),
    };
    let shown = gateway.get("status").unwrap_or(&Value::Null);
    let of_listener = |listener: &&Value| {
        let name = listener.get("name").and_then(Value::as_str).unwrap_or_default();
        let known = array(shown, "/listeners").find(|it| it.get("name").and_then(Value::as_str) == Some(name));
        let shown = known.and_then(|known| known.get("conditions")).unwrap_or(&Value::Null);
        let wanted = conditions_of_listener(listener, &programmed);
        let own = [ACCEPTED, PROGRAMMED, RESOLVED_REFS];
        json!({
            "name": name,
            "attachedRoutes": facts.attached.count(name),
            "supportedKinds": if is_ours(listener) { ROUTES.map(kind).to_vec() } else { Vec::new() },
            "conditions": merged(shown, &own, &wanted, generation(gateway), now),
        })
    };
    let addresses: Vec<_> =
        facts.addresses.iter().map(|address| json!({ "type": "IPAddress", "value": address })).collect();
    let conditions = shown.get("conditions").unwrap_or(&Value::Null);
    let own = [ACCEPTED, PROGRAMMED];
    patch(
        shown,
        json!({
            "addresses": addresses,
            "listeners": listeners.iter().map(of_listener).collect::<Vec<_>>(),
            "conditions": merged(conditions, &own, &[accepted, programmed.clone()], generation(gateway), now),
        }),
    )
}

fn is_ours(listener: &Value) -> bool {
    listener.get("protocol").and_then(Value::as_str) == Some(HBONE)
}

fn kind(kind: Kind) -> Value {
    json!({ "group": GATEWAY_API, "kind": kind.word() })
}

fn conditions_of_listener(listener: &Value, programmed: &Condition) -> [Condition; 3] {
    let own = if is_ours(listener) {
        Condition::new(ACCEPTED, true, "Accepted", "")
    } else {
        Condition::new(ACCEPTED, false, "UnsupportedProtocol", "a waypoint listens for HBONE only")
    };
    let programmed = Condition { holds: own.holds && programmed.holds, ..programmed.clone() };
    [own, programmed, Condition::new(RESOLVED_REFS, true, "ResolvedRefs", "")]
}

/// A merge patch for the status of a GatewayClass of ours.
pub(super) fn of_class(class: &Value, now: &str) -> Option<Value> {
    let shown = class.get("status").unwrap_or(&Value::Null);
    let accepted = Condition::new(ACCEPTED, true, "Accepted", "its Gateways are waypoints");
    let conditions = shown.get("conditions").unwrap_or(&Value::Null);
    patch(shown, json!({ "conditions": merged(conditions, &[ACCEPTED], &[accepted], generation(class), now) }))
}

/// A merge patch by which a GatewayClass of ours says what its Gateways do. Apart from the other: older definitions do
/// not have the field, or in another form.
pub(super) fn features_of_class(class: &Value) -> Option<Value> {
    let features = FEATURES.map(|name| json!({ "name": name }));
    patch(class.get("status").unwrap_or(&Value::Null), json!({ "supportedFeatures": features }))
}

/// What differs from what is shown, where something does.
fn patch(shown: &Value, wanted: Value) -> Option<Value> {
    let Value::Object(fields) = &wanted else { return None };
    let same = fields.iter().all(|(field, value)| shown.get(field).unwrap_or(&json!([])) == value);
    (!same).then(|| json!({ "status": wanted }))
}

fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

fn array<'a>(object: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(protocol: &str, status: Value) -> Value {
        let spec = json!({ "listeners": [{ "name": "mesh", "port": 15008, "protocol": protocol }] });
        json!({ "metadata": { "generation": 3 }, "spec": spec, "status": status })
    }

    /// The conditions that a patch writes, with their reasons and times.
    fn shown(patch: &Value) -> String {
        let text = |condition: &Value| {
            let text = |field: &str| condition[field].as_str().unwrap().to_owned();
            format!("{} {} {} {}", text("type"), text("status"), text("reason"), text("lastTransitionTime"))
        };
        array(patch, "/status/conditions").map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_a_gateway_says() {
        let facts = |ready, trouble: Option<bool>| Facts {
            ready,
            addresses: vec!["10.0.0.1".to_owned()],
            trouble: trouble.map(|in_parameters| Trouble { in_parameters, message: "no".to_owned() }),
            attached: AttachedRoutes::default(),
        };
        for (protocol, facts, expected) in [
            ("HBONE", facts(1, None), "Accepted True Accepted t1, Programmed True Programmed t1"),
            ("HBONE", facts(0, None), "Accepted True Accepted t1, Programmed False Pending t1"),
            ("HBONE", facts(1, Some(false)), "Accepted True Accepted t1, Programmed False Invalid t1"),
            ("HBONE", facts(1, Some(true)), "Accepted False InvalidParameters t1, Programmed False Invalid t1"),
            ("HTTP", facts(1, None), "Accepted False ListenersNotValid t1, Programmed True Programmed t1"),
        ] {
            let patch = of_gateway(&gateway(protocol, Value::Null), &facts, "t1").unwrap();
            assert_eq!(shown(&patch), expected);
            assert_eq!(patch["status"]["addresses"], json!([{ "type": "IPAddress", "value": "10.0.0.1" }]));
            let all = array(&patch, "/status/conditions").chain(array(&patch, "/status/listeners/0/conditions"));
            assert!(all.into_iter().all(|condition| condition["observedGeneration"] == 3));
            // Once it is written, there is nothing more to write.
            assert_eq!(of_gateway(&gateway(protocol, patch["status"].clone()), &facts, "t2"), None);
        }
    }

    #[test]
    fn a_condition_keeps_its_time_and_those_of_others_stay() {
        let other = json!({ "type": "theirs", "status": "True", "reason": "R", "lastTransitionTime": "t0" });
        let first = of_gateway(&gateway("HBONE", json!({ "conditions": [other] })), &Facts::default(), "t1").unwrap();
        let ready = Facts { ready: 1, ..Facts::default() };
        let second = of_gateway(&gateway("HBONE", first["status"].clone()), &ready, "t2").unwrap();
        assert_eq!(shown(&second), "theirs True R t0, Accepted True Accepted t1, Programmed True Programmed t2");
    }

    #[test]
    fn a_class_of_ours_is_accepted() {
        let class = |status: Value| json!({ "metadata": { "generation": 1 }, "status": status });
        // As the API server makes them.
        let pending = json!({ "conditions": [
            { "type": "Accepted", "status": "Unknown", "reason": "Pending", "lastTransitionTime": "t0" },
        ] });
        let patch = of_class(&class(pending), "t1").unwrap();
        assert_eq!(shown(&patch), "Accepted True Accepted t1");
        assert_eq!(of_class(&class(patch["status"].clone()), "t2"), None);
    }

    #[test]
    fn a_listener_counts_the_routes_attached_to_it() {
        let attached: AttachedRoutes = [
            (route("a"), vec![None]),
            (route("b"), vec![Some("mesh".to_owned())]),
            (route("c"), vec![Some("other".to_owned())]),
        ]
        .into_iter()
        .collect();
        let facts = Facts { attached, ..Facts::default() };
        let patch = of_gateway(&gateway("HBONE", Value::Null), &facts, "t1").unwrap();
        let listener = &patch["status"]["listeners"][0];
        assert_eq!(
            (&listener["attachedRoutes"], &listener["supportedKinds"][0]["kind"]),
            (&json!(2), &json!("HTTPRoute"))
        );
    }

    fn route(name: &str) -> ambit_resources::ObjectId {
        ambit_resources::ObjectId { kind: Kind::HttpRoute, namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn a_class_says_what_its_gateways_do_in_order() {
        let mut sorted = FEATURES;
        sorted.sort_unstable();
        assert_eq!(sorted, FEATURES);
        let patch = features_of_class(&json!({})).unwrap();
        assert_eq!(features_of_class(&json!({ "status": patch["status"].clone() })), None);
    }
}
