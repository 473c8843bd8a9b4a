//! What the status of a waypoint's Gateway, and of its class, says. Pure: a patch, where it does not say that yet.

use serde_json::{Value, json};

/// The protocol of a waypoint's listener.
const HBONE: &str = "HBONE";

/// What is known of a waypoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// How many of its pods are ready.
    pub(super) ready: usize,
    /// The addresses of its Service.
    pub(super) addresses: Vec<String>,
    /// Why it is not deployed as it should be.
    pub(super) trouble: Option<String>,
}

/// A condition: its type, whether it holds, a word and a sentence.
type Condition<'a> = (&'a str, bool, &'a str, String);

/// A merge patch for the status of a Gateway.
pub(super) fn of_gateway(gateway: &Value, facts: &Facts, now: &str) -> Option<Value> {
    let listeners: Vec<_> = array(gateway, "/spec/listeners").collect();
    let is_ours = |listener: &Value| listener.get("protocol").and_then(Value::as_str) == Some(HBONE);
    let accepted = if listeners.iter().any(|listener| is_ours(listener)) {
        ("Accepted", true, "Accepted", "it is a waypoint".to_owned())
    } else {
        ("Accepted", false, "ListenersNotValid", "no listener has the protocol HBONE".to_owned())
    };
    let programmed = match (&facts.trouble, facts.ready) {
        (Some(trouble), _) => ("Programmed", false, "Invalid", trouble.clone()),
        (None, 0) => ("Programmed", false, "Pending", "no pod is ready".to_owned()),
        // How many would be written anew with each.
        (None, _) => ("Programmed", true, "Programmed", "pods are ready".to_owned()),
    };
    let shown = gateway.get("status").unwrap_or(&Value::Null);
    let generation = generation(gateway);
    let of_listener = |listener: &&Value| {
        let name = listener.get("name").and_then(Value::as_str).unwrap_or_default();
        let known = array(shown, "/listeners").find(|it| it.get("name").and_then(Value::as_str) == Some(name));
        let own = if is_ours(listener) {
            ("Accepted", true, "Accepted", String::new())
        } else {
            ("Accepted", false, "UnsupportedProtocol", "a waypoint listens for HBONE only".to_owned())
        };
        let resolved = ("ResolvedRefs", true, "ResolvedRefs", String::new());
        let programmed = ("Programmed", own.1 && programmed.1, programmed.2, programmed.3.clone());
        let conditions = conditions(known.unwrap_or(&Value::Null), &[own, programmed, resolved], generation, now);
        json!({ "name": name, "attachedRoutes": 0, "supportedKinds": [], "conditions": conditions })
    };
    let addresses: Vec<_> =
        facts.addresses.iter().map(|address| json!({ "type": "IPAddress", "value": address })).collect();
    patch(
        shown,
        json!({
            "addresses": addresses,
            "listeners": listeners.iter().map(of_listener).collect::<Vec<_>>(),
            "conditions": conditions(shown, &[accepted, programmed.clone()], generation, now),
        }),
    )
}

/// A merge patch for the status of a GatewayClass of ours.
pub(super) fn of_class(class: &Value, now: &str) -> Option<Value> {
    let shown = class.get("status").unwrap_or(&Value::Null);
    let accepted = ("Accepted", true, "Accepted", "its Gateways are waypoints".to_owned());
    patch(shown, json!({ "conditions": conditions(shown, &[accepted], generation(class), now) }))
}

/// What differs from what is shown, where something does.
fn patch(shown: &Value, wanted: Value) -> Option<Value> {
    let Value::Object(fields) = &wanted else { return None };
    let same = fields.iter().all(|(field, value)| shown.get(field).unwrap_or(&json!([])) == value);
    (!same).then(|| json!({ "status": wanted }))
}

/// The conditions of others as they are, and ours; each since when it changed.
fn conditions(shown: &Value, ours: &[Condition<'_>], generation: i64, now: &str) -> Vec<Value> {
    let is = |condition: &Value, kind: &str| condition.get("type").and_then(Value::as_str) == Some(kind);
    let others = array(shown, "/conditions").filter(|condition| !ours.iter().any(|it| is(condition, it.0))).cloned();
    let own = ours.iter().map(|(kind, holds, reason, message)| {
        let before = array(shown, "/conditions").find(|condition| is(condition, kind));
        let status = if *holds { "True" } else { "False" };
        let since = before
            .filter(|before| before.get("status").and_then(Value::as_str) == Some(status))
            .and_then(|before| before.get("lastTransitionTime").and_then(Value::as_str));
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or(now),
        })
    });
    others.chain(own).collect()
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
        let facts = |ready, trouble: Option<&str>| Facts {
            ready,
            addresses: vec!["10.0.0.1".to_owned()],
            trouble: trouble.map(str::to_owned),
        };
        for (protocol, facts, expected) in [
            ("HBONE", facts(1, None), "Accepted True Accepted t1, Programmed True Programmed t1"),
            ("HBONE", facts(0, None), "Accepted True Accepted t1, Programmed False Pending t1"),
            ("HBONE", facts(1, Some("no")), "Accepted True Accepted t1, Programmed False Invalid t1"),
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
}
