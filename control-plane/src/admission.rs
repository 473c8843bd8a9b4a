//! What the API server asks before it stores a user's object, and the answer: the same reader and compiler
//! that will have to live with the object.

use std::sync::Arc;

use ambit_compile::{Input, Issue, Options, Problem, Store};
use ambit_resources::{Refusal, Severity, parse_object};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::condition::line;
use crate::waypoints::review;

/// Most warnings of an answer, and bytes of one: the API server cuts off what is beyond.
const MAX_WARNINGS: (usize, usize) = (16, 250);
/// What stands for a file in messages.
const SOURCE: &str = "admission";
/// The name of an object that will get one.
const NAME_TO_COME: &str = "generated";

/// The question, as far as it matters.
#[derive(Debug, Deserialize)]
struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    namespace: String,
    /// Null when it is deleted.
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

/// A request that is no review.
#[derive(Debug, thiserror::Error)]
#[error("not an AdmissionReview")]
pub(crate) struct NoReview(#[from] serde_json::Error);

/// The answer to a review.
///
/// # Errors
/// If it is none.
pub(crate) fn answer(review: &[u8], options: &Options) -> Result<Value, NoReview> {
    let Review { request } = serde_json::from_slice(review)?;
    let uid = request.uid.clone();
    let (errors, warnings) = judge(request, options);
    let status = json!({ "code": 422, "reason": "Invalid", "message": errors.join("; ") });
    let response = if errors.is_empty() {
        json!({ "uid": uid, "allowed": true, "warnings": warnings })
    } else {
        json!({ "uid": uid, "allowed": false, "warnings": warnings, "status": status })
    };
    Ok(json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }))
}

/// What is wrong with the object, and what else there is to say.
fn judge(request: Request, options: &Options) -> (Vec<String>, Vec<String>) {
    let Request { sub_resource, namespace, object, old_object, .. } = request;
    // A change that leaves the spec alone is let through: it may be the removal of a finalizer, without which
    // an object that was there before this webhook could not even be deleted.
    let same_spec = !old_object.is_null() && old_object.get("spec") == object.get("spec");
    if object.is_null() || !sub_resource.is_empty() || same_spec {
        return Default::default();
    }
    let issues = issues(named(object, &namespace), options);
    let of = |severity| issues.iter().filter(move |issue| issue.severity == severity && is_about_the_object(issue));
    let errors = of(Severity::Error).map(line).collect();
    let warnings = of(Severity::Warning).take(MAX_WARNINGS.0).map(|issue| bounded(line(issue))).collect();
    (errors, warnings)
}

/// The object with the name and the namespace that the API server is about to give it.
fn named(mut object: Value, namespace: &str) -> Value {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        if !metadata.contains_key("name") {
            metadata.insert("name".to_owned(), NAME_TO_COME.into());
        }
        if !namespace.is_empty() {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
    }
    object
}

fn issues(object: Value, options: &Options) -> Vec<Issue> {
    let source: Arc<str> = SOURCE.into();
    match parse_object(object, &source) {
        Ok((Some(parsed), issues)) => {
            let own = review::issues_of(&parsed, &options.root_namespace);
            let delta = Store::new(options.clone()).apply([Input::Put(Box::new(parsed), issues)]);
            let mut all: Vec<_> = delta.issues.into_iter().flat_map(|(_, issues)| issues).collect();
            let new: Vec<_> = own.into_iter().filter(|issue| !all.contains(issue)).collect();
            all.extend(new);
            all
        }
        Ok((None, issues)) | Err(Refusal { issues, .. }) => {
            issues.into_iter().map(|issue| issue.map(Problem::from)).collect()
        }
    }
}

/// Not about what becomes of it in the mesh.
fn is_about_the_object(issue: &Issue) -> bool {
    !matches!(issue.problem, Problem::LastVersionKept | Problem::NotInForce)
}

fn bounded(mut warning: String) -> String {
    warning.truncate(warning.floor_char_boundary(MAX_WARNINGS.1));
    warning
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: &Value) -> Value {
        let metadata = json!({"name": "p", "namespace": "shop"});
        json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec})
    }

    fn ask(request: &Value) -> Value {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let answer = answer(review.to_string().as_bytes(), &Options::default()).unwrap();
        assert_eq!(answer["response"]["uid"], request["uid"]);
        answer["response"].clone()
    }

    #[test]
    fn bad_objects_are_denied_with_everything_that_is_wrong() {
        let bad = policy(&json!({"action": "DENI", "rules": [{"from": [{"source": {"principal": ["a"]}}]}]}));
        let response = ask(&json!({"uid": "1", "operation": "CREATE", "object": bad}));
        assert_eq!(response["allowed"], false);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("spec.action") || message.contains("DENI"), "{message}");
        let metadata = json!({"name": "v", "namespace": "shop"});
        let spec = json!({"hosts": ["web"], "http": [{"match": [{"uri": {"regex": "("}}]}]});
        let bad = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec});
        let response = ask(&json!({"uid": "1", "object": bad}));
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("spec.http[0].match[0].uri"), "what only waypoints can judge: {message}");
        let bad = policy(&json!({"rules": [{"from": [{"source": {"principal": ["a"]}}]}, {"to": []}]}));
        let response = ask(&json!({"uid": "1", "operation": "CREATE", "object": bad}));
        let message = response["status"]["message"].as_str().unwrap();
        for expected in ["did you mean principals?", "spec.rules[1].to"] {
            assert!(message.contains(expected), "{expected:?} is missing in {message:?}");
        }
    }

    #[test]
    fn good_objects_changes_of_metadata_and_deletions_pass() {
        let good = policy(&json!({"rules": [{"from": [{"source": {"namespaces": ["a"]}}]}]}));
        let bad = policy(&json!({"nonsense": 1}));
        let mut nameless = good.clone();
        nameless["metadata"] = json!({"generateName": "p-"});
        for (request, expected) in [
            (json!({"uid": "1", "object": good}), true),
            (json!({"uid": "1", "namespace": "shop", "object": nameless}), true),
            (json!({"uid": "1", "object": null, "oldObject": bad}), true),
            (json!({"uid": "1", "object": bad, "oldObject": good}), false),
            (json!({"uid": "1", "object": bad, "oldObject": bad}), true),
            (json!({"uid": "1", "object": bad, "subResource": "status"}), true),
        ] {
            assert_eq!(ask(&request)["allowed"], expected, "{request}");
        }
    }

    #[test]
    fn warnings_are_warnings() {
        let rule = json!({"to": [{"operation": {"methods": ["GET"]}}]});
        let response = ask(&json!({"uid": "1", "object": policy(&json!({"action": "DENY", "rules": [rule]}))}));
        assert_eq!(response["allowed"], true);
        assert!(response["warnings"][0].as_str().unwrap().contains("waypoint"), "{response}");
    }

    #[test]
    fn what_is_no_review_is_an_error() {
        for garbage in ["", "{}", "[]", "\u{0}", r#"{"request": {}}"#] {
            assert!(answer(garbage.as_bytes(), &Options::default()).is_err(), "{garbage:?}");
        }
    }
}
