use super::*;
use crate::{Kind, Object};

/// The issues of a file, as users read them.
fn issues(text: &str) -> Vec<String> {
    parse_file("f.yaml", text).issues.iter().map(ToString::to_string).collect()
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n{spec}"
    )
}

const REAL_POD: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: web-5d8f-x
  namespace: shop
  uid: 7c1
  resourceVersion: "1"
  creationTimestamp: "2026-01-31T09:30:00Z"
  generateName: web-5d8f-
  managedFields: []
  labels: {app: web}
  annotations:
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-5d8f, uid: 1, controller: true, blockOwnerDeletion: true}
spec:
  nodeName: node-1
  serviceAccountName: web
  serviceAccount: web
  restartPolicy: Always
  volumes: [{name: x, emptyDir: {}}]
  tolerations: [{key: a, operator: Exists}]
  containers:
  - name: web
    image: web:1
    resources: {limits: {cpu: 1, memory: 1Gi}}
    ports: [{name: http, containerPort: 8080, protocol: TCP, hostPort: 80}]
    readinessProbe: {httpGet: {port: http}}
    env: [{name: A, value: "1"}]
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
  hostIP: 192.168.0.1
  startTime: "2026-01-31T09:30:00Z"
  conditions:
  - {type: Ready, status: "True", lastProbeTime: null, lastTransitionTime: "2026-01-31T09:30:00Z"}
  containerStatuses: [{name: web}]
"#;

#[test]
fn a_real_pod_is_read_without_a_word() {
    let file = parse_file("f.yaml", REAL_POD);
    assert_eq!(file.issues, []);
    let [Parsed { origin, object }] = file.objects.as_slice() else { panic!("{:?}", file.objects) };
    let Object::Pod(pod) = &**object else { panic!("{object:?}") };
    assert_eq!(origin.id.to_string(), "Pod shop/web-5d8f-x");
    assert_eq!(pod.spec.containers[0].ports[0].container_port, 8080);
    assert_eq!(pod.status.pod_ips[1].ip, "fd00::1");
    assert!(pod.metadata.owner_references[0].controller);
    assert!(pod.metadata.creation_timestamp.is_some());
}

#[test]
fn other_kinds_get_one_word_and_slips_of_the_pen_an_error() {
    for (api_version, kind, expected) in [
        ("apps/v1", "Deployment", "info: kind: Deployment"),
        ("v1", "LimitRange", "info"),
        ("serving.knative.dev/v1", "Service", "info"),
        ("networking.istio.io/v1", "EnvoyFilter", "info"),
        ("networking.istio.io/v1", "Gateway", "info"),
        ("gateway.networking.k8s.io/v1alpha2", "UDPRoute", "info"),
        ("k8s.nginx.org/v1", "VirtualServer", "info"),
        ("kuadrant.io/v1", "RateLimitPolicy", "info"),
        ("gateway.networking.k8s.io/v1alpha1", "HTTPRoute", "did you mean gateway.networking.k8s.io/v1 HTTPRoute?"),
        ("gateway.networking.k8s.io/v1", "HttpRoute", "did you mean gateway.networking.k8s.io/v1 HTTPRoute?"),
        ("ambit.io/v1", "RateLimitPolicy", "did you mean ambit.io/v1alpha1 RateLimitPolicy?"),
        ("networking.istio.io/v2", "ServiceEntry", "did you mean networking.istio.io/v1 ServiceEntry?"),
        ("security.istio.io/v1", "RequestAuthentification", "did you mean security.istio.io/v1 RequestAuthentication?"),
        ("security.istio.io/v1", "AuthorisationPolicy", "error: kind: there is no kind AuthorisationPolicy"),
        ("security.istio.io/v2", "AuthorizationPolicy", "error: kind: there is no kind AuthorizationPolicy"),
        ("security.istio.oi/v1", "PeerAuthentication", "did you mean security.istio.io/v1 PeerAuthentication?"),
        ("v1", "service", "did you mean v1 Service?"),
    ] {
        let found =
            issues(&format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{a: b}}\n"));
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        assert!(found[0].contains(expected.trim_start_matches("info: ").trim_start_matches("kind: Deployment")));
        assert_eq!(found[0].contains(": info: "), expected.starts_with("info"), "{found:?}");
    }
}

#[test]
fn what_a_policy_says_is_never_lost() {
    for (spec, expected) in [
        ("  action: ALLOW\n  rules: []\n", ""),
        ("  {}\n", ""),
        ("", "f.yaml:4: error: AuthorizationPolicy shop/p: spec: no value: leave the field out, or give it one"),
        (
            "  rules:\n  - from:\n    - source:\n        principal: [a]\n",
            "f.yaml:8: error: AuthorizationPolicy shop/p: spec.rules[0].from[0].source.principal: unknown field; did you mean principals?",
        ),
        ("  rule: []\n", "spec.rule: unknown field; did you mean rules?"),
        (
            "  rules:\n  - whence: []\n",
            "f.yaml:6: error: AuthorizationPolicy shop/p: spec.rules[0].whence: an empty list",
        ),
        ("  selector:\n", "f.yaml:5: error: AuthorizationPolicy shop/p: spec.selector: no value"),
        ("  rules:\n  - from: []\n", "spec.rules[0].from: an empty list"),
        ("  rules:\n  - from:\n    - source: {principals: []}\n", "source.principals: an empty list"),
        ("  action: DENNY\n", "f.yaml:5: error: AuthorizationPolicy shop/p: spec.action: unknown variant `DENNY`"),
        (
            "  rules:\n  - to:\n    - operation: {ports: [8080]}\n",
            "ports[0]: invalid type: integer `8080`, expected a string",
        ),
        ("  rules: {}\n", "spec.rules: invalid type: map, expected a sequence"),
        ("  {}\nsepc: {}\n", "f.yaml:6: error: AuthorizationPolicy shop/p: sepc: unknown field; did you mean spec?"),
    ] {
        let file = parse_file("f.yaml", &policy(spec));
        let found: Vec<_> = file.issues.iter().map(ToString::to_string).collect();
        if expected.is_empty() {
            assert_eq!((file.objects.len(), found.len()), (1, 0), "{spec}{found:?}");
        } else {
            assert!(found.iter().any(|issue| issue.contains(expected)), "{spec}{found:?}");
            assert_eq!((file.objects.len(), file.refused.len()), (0, 1), "{spec}");
        }
    }
}

#[test]
fn a_typo_in_a_kubernetes_object_is_a_warning() {
    let text = REAL_POD.replace("nodeName:", "nodename:").replace("labels:", "lables:");
    let file = parse_file("f.yaml", &text);
    let found: Vec<_> = file.issues.iter().map(ToString::to_string).collect();
    assert_eq!(file.objects.len(), 1);
    assert_eq!(
        found,
        [
            "f.yaml:12: warning: Pod shop/web-5d8f-x: metadata.lables: unknown field; did you mean labels?",
            "f.yaml:17: warning: Pod shop/web-5d8f-x: spec.nodename: unknown field; did you mean nodeName?",
        ]
    );
}

#[test]
fn a_broken_document_stays_alone() {
    let good = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n";
    for (broken, expected) in [
        ("a: [", "f.yaml:6"),
        ("\tx", "f.yaml:6"),
        ("- 1", "f.yaml:6: error: not a Kubernetes object"),
        ("kind: Pod", "f.yaml:6: error: apiVersion: required, but absent"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}", "f.yaml:8: error: metadata.name: required, but absent"),
    ] {
        let file = parse_file("f.yaml", &format!("{good}---\n{broken}\n---\n{good}"));
        let issue = file.issues.iter().find(|issue| issue.is_error()).map(ToString::to_string).unwrap();
        assert!(issue.starts_with(expected), "{issue}");
        assert!(file.unreadable, "{broken}");
        let lines: Vec<_> = file.objects.iter().map(|o| o.origin.lines.at(&FieldPath::of("metadata.name"))).collect();
        assert_eq!(lines.first(), Some(&4), "{broken}");
        assert_eq!(lines.len(), 2, "{broken}: {:?}", file.issues);
    }
}

#[test]
fn names_are_checked_and_namespaces_have_a_default() {
    for (metadata, expected) in [
        ("name: web", Ok("Pod default/web")),
        ("name: web\n  namespace: ''", Ok("Pod default/web")),
        ("name: ../web", Err("metadata.name")),
        ("name: web\n  namespace: a.b", Err("metadata.namespace")),
        ("name: web\n  labels: {version: 1}", Err("metadata.labels.version")),
        ("name: web\n  creationTimestamp: yesterday", Err("metadata.creationTimestamp")),
    ] {
        let file = parse_file("f.yaml", &format!("apiVersion: v1\nkind: Pod\nmetadata:\n  {metadata}\n"));
        match expected {
            Ok(id) => assert_eq!(file.objects[0].origin.id.to_string(), id),
            Err(field) => assert_eq!(file.issues[0].field.to_string(), field, "{:?}", file.issues),
        }
    }
}

#[test]
fn lists_are_their_items() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n- 3\n";
    let file = parse_file("f.yaml", text);
    assert_eq!(file.objects[0].origin.id.kind, Kind::Namespace);
    assert_eq!(
        file.issues[0].to_string(),
        "f.yaml:7: error: not a Kubernetes object: a mapping with apiVersion, kind and metadata is expected"
    );
}

#[test]
fn what_nobody_uses_may_be_deeper_than_what_is_read() {
    let spec = "{a: ".repeat(40) + &"}".repeat(40);
    for (kind, expected) in
        [("CustomResourceDefinition", "f.yaml:1: info: kind CustomResource"), ("Pod", "f.yaml:4: error")]
    {
        let found = issues(&format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}"));
        assert!(matches!(found.as_slice(), [issue] if issue.starts_with(expected)), "{found:?}");
    }
}

#[test]
fn files_are_bounded() {
    let file = parse_file("f.yaml", &"#".repeat(MAX_FILE_BYTES + 1));
    assert!(file.unreadable);
    assert_eq!(
        file.issues[0].to_string(),
        "f.yaml: error: the file has 8388609 bytes, more than the 8388608 that are read"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "(---\n|[a-zA-Z{}:,\\[\\]&*!|>'\"%@#\t -]{0,12}\n?){0,30}") {
        drop(parse_file("f", &text));
    }

    #[test]
    fn mutated_manifests_never_panic(at in 0usize..2000, cut in 0usize..40, insert in "\\PC{0,6}") {
        let text = format!("{REAL_POD}---\n{}", policy("  rules:\n  - from:\n    - source: {principals: [a]}\n"));
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, insert.chars());
        drop(parse_file("f", &chars.into_iter().collect::<String>()));
    }
}

#[test]
fn a_document_that_did_not_change_is_not_read_again_wherever_it_stands_now() {
    let pod = |name: &str, spec: &str| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec: {{{spec}}}\n")
    };
    let texts = [
        pod("a", "") + &pod("b", "nodename: x"),
        format!("# one\n# more\n{}{}", pod("a", ""), pod("b", "nodename: x")),
        format!("apiVersion: v1\nkind: Pod\n{}{}", pod("b", "nodename: x"), pod("a", "nodename: y")),
        pod("b", "nodename: x").repeat(2),
    ];
    let mut documents = Documents::default();
    let object_of = |file: &ParsedFile, name: &str| {
        let found = file.objects.iter().find(|object| &*object.origin.id.name == name);
        found.map(|found| Arc::clone(&found.object))
    };
    let mut before: Option<ParsedFile> = None;
    for text in &texts {
        let file = documents.read("f.yaml", text);
        assert_eq!(file, parse_file("f.yaml", text), "{text}");
        if let Some(before) = &before {
            assert!(Arc::ptr_eq(&object_of(before, "b").unwrap(), &object_of(&file, "b").unwrap()), "{text}");
        }
        before = Some(file);
    }
    assert_eq!(documents.known.len(), 1);
    assert!(documents.read("f.yaml", &"#".repeat(MAX_FILE_BYTES + 1)).unreadable);
    assert!(documents.known.is_empty());
}
