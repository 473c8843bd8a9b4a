use super::*;

fn key() -> GatewayKey {
    GatewayKey { namespace: "shop".into(), name: "wp".into() }
}

fn gateway(infrastructure: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": { "name": "wp", "namespace": "shop", "uid": "1234" },
        "spec": { "gatewayClassName": "istio-waypoint", "infrastructure": infrastructure },
    })
}

fn settings() -> Settings {
    Settings {
        image: "ambit/waypoint:1".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        pull_secrets: vec!["registry".to_owned()],
        resources: json!({ "requests": { "cpu": "100m" } }),
        replicas: (2, 5),
        control_plane: "ambitd.ambit-system.svc:15012".to_owned(),
        control_plane_name: "ambitd.ambit-system.svc".to_owned(),
        arguments: vec!["--cluster=Kubernetes".to_owned()],
    }
}

fn rendered(infrastructure: &Value, overlays: &Overlays) -> Value {
    let objects = render(&key(), &gateway(infrastructure), overlays, "PEM", &settings());
    let by_kind = objects.into_iter().map(|object| (object["kind"].as_str().unwrap().to_owned(), object));
    Value::Object(by_kind.collect())
}

#[test]
fn what_is_deployed_for_a_waypoint() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let found = rendered(&Value::Null, &Overlays::default());
    assert_eq!(found, golden, "{found:#}");
}

#[test]
fn labels_and_annotations_of_the_gateway_are_on_everything_and_change_nothing_of_ours() {
    let found = rendered(
        &json!({
            "labels": { "team": "a", GATEWAY_NAME: "other", "istio.io/dataplane-mode": "ambient" },
            "annotations": { "note": "b" },
        }),
        &Overlays::default(),
    );
    let pods = &found["Deployment"]["spec"]["template"];
    for object in found.as_object().unwrap().values().chain([pods]) {
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["team"], "a", "{object}");
        assert_eq!(metadata["labels"][GATEWAY_NAME], "wp", "{object}");
        assert_eq!(metadata["annotations"]["note"], "b", "{object}");
    }
    assert_eq!(pods["metadata"]["labels"]["istio.io/dataplane-mode"], "none");
}

#[test]
fn parameters_change_what_is_deployed_but_not_whose_it_is() {
    let patch = |text: &str| text.to_owned();
    let data = [
        (
            "deployment",
            "metadata: {name: other, namespace: kube-system, labels: {team: a}, ownerReferences: []}\n\
                        spec: {template: {spec: {containers: [{name: waypoint, resources: {limits: {memory: 1Gi}}}]}}}",
        ),
        ("service", "kind: Secret\nmetadata: none\nspec: {type: LoadBalancer}"),
        ("horizontalPodAutoscaler", "spec: {maxReplicas: 9}"),
        ("podDisruptionBudget", "spec: {maxUnavailable: null, minAvailable: 1}"),
    ];
    let overlays = Overlays::read(&data.map(|(key, text)| (key.to_owned(), patch(text))).into()).unwrap();
    let (found, plain) = (rendered(&Value::Null, &overlays), rendered(&Value::Null, &Overlays::default()));
    let container = &found["Deployment"]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"], json!({ "requests": { "cpu": "100m" }, "limits": { "memory": "1Gi" } }));
    assert_eq!(container["image"], "ambit/waypoint:1");
    let mut metadata = plain["Deployment"]["metadata"].clone();
    metadata["labels"]["team"] = json!("a");
    assert_eq!(found["Deployment"]["metadata"], metadata);
    assert_eq!(found["Service"]["metadata"], plain["Service"]["metadata"]);
    assert_eq!(
        (&found["Service"]["spec"]["type"], &found["Service"]["kind"]),
        (&json!("LoadBalancer"), &json!("Service"))
    );
    assert_eq!(found["HorizontalPodAutoscaler"]["spec"]["maxReplicas"], 9);
    let budget = &found["PodDisruptionBudget"]["spec"];
    assert_eq!((budget.get("maxUnavailable"), &budget["minAvailable"]), (None, &json!(1)));
}

#[test]
fn parameters_do_not_change_as_whom_pods_run_nor_put_them_in_their_nodes_place() {
    let pod = "serviceAccountName: admin, serviceAccount: admin, hostNetwork: true, hostPID: true, hostIPC: true";
    for (pod, priority) in [(format!("{pod}, priorityClassName: high"), json!("high")), (String::new(), Value::Null)] {
        let text = format!("spec: {{template: {{spec: {{{pod}}}}}}}");
        let overlays = Overlays::read(&[("deployment".to_owned(), text)].into()).unwrap();
        let mut expected = rendered(&Value::Null, &Overlays::default());
        if !priority.is_null() {
            expected["Deployment"]["spec"]["template"]["spec"]["priorityClassName"] = priority;
        }
        assert_eq!(rendered(&Value::Null, &overlays), expected);
    }
    let taken = "spec: {template: {spec: {serviceAccountName: null}}}";
    let overlays = Overlays::read(&[("deployment".to_owned(), taken.to_owned())].into()).unwrap();
    assert_eq!(rendered(&Value::Null, &overlays), rendered(&Value::Null, &Overlays::default()));
}

#[test]
fn parameters_are_a_config_map() {
    let of = |group: &str, kind: &str| {
        parameters(&gateway(&json!({ "parametersRef": { "group": group, "kind": kind, "name": "more" } })))
    };
    assert_eq!(of("", "ConfigMap"), Ok(Some("more".into())));
    assert_eq!(of("", "Secret"), Err("Secret".to_owned()));
    assert_eq!(of("example.com", "ConfigMap"), Err("ConfigMap.example.com".to_owned()));
    assert_eq!(parameters(&gateway(&Value::Null)), Ok(None));
}
