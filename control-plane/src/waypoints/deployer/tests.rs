use std::sync::Mutex;

use ambit_identity::{CaOptions, NewRoot};
use ambit_resources::{Kind, ObjectId};
use futures::FutureExt;
use http::{Method, StatusCode};

use super::*;
use crate::fake_api::{Asked, client};

/// What was written, as `METHOD path`; objects of `foreign` paths are there and somebody else's.
struct Rig {
    gateways: Arc<Gateways>,
    asked: Arc<Mutex<Vec<Asked>>>,
    deployer: Deployer,
}

impl Rig {
    fn new(foreign: &'static str) -> Self {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = Arc::clone(&asked);
        let client = client(move |request| {
            let answer = match request.method {
                Method::GET if !foreign.is_empty() && request.path.ends_with(foreign) => {
                    Ok(json!({ "metadata": { "name": "wp" } }))
                }
                Method::GET => Err((StatusCode::NOT_FOUND, "NotFound")),
                _ if request.path.ends_with("/services/wp") => {
                    Ok(json!({ "metadata": {}, "spec": { "clusterIPs": ["10.9.0.1"] } }))
                }
                _ => Ok(json!({ "metadata": {} })),
            };
            seen.lock().unwrap().push(request);
            async move { answer }.boxed()
        });
        let gateways = Arc::<Gateways>::default();
        let settings = Settings {
            image: "w:1".to_owned(),
            pull_policy: "Always".to_owned(),
            pull_secrets: Vec::new(),
            resources: json!({}),
            replicas: (1, 2),
            control_plane: "ambitd:15012".to_owned(),
            control_plane_name: "ambitd".to_owned(),
            arguments: Vec::new(),
        };
        let root = NewRoot::generate(&CaOptions::new("cluster.local")).unwrap();
        let roots = Roots::from_pem(root.certificate.as_bytes()).unwrap();
        let (_, roots) = watch::channel(Arc::new(roots));
        let deployer = Deployer::new(client, Arc::clone(&gateways), roots, settings);
        Self { gateways, asked, deployer }
    }

    fn put(&self, class: &str) {
        let id = ObjectId { kind: Kind::Gateway, namespace: "shop".into(), name: "wp".into() };
        let listener = json!({ "name": "mesh", "port": 15008, "protocol": "HBONE" });
        let spec = json!({ "gatewayClassName": class, "listeners": [listener] });
        let api_version = "gateway.networking.k8s.io/v1";
        self.gateways.put(&id, json!({ "apiVersion": api_version, "metadata": { "uid": "1" }, "spec": spec }));
    }

    /// What one round writes.
    async fn round(&mut self) -> Vec<String> {
        assert!(self.deployer.round().await);
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let writes = asked.iter().filter(|request| request.method != Method::GET);
        let line = |request: &Asked| {
            let condition = request.body.pointer("/status/conditions/1/reason").and_then(Value::as_str);
            let address = request.body.pointer("/status/addresses/0/value").and_then(Value::as_str);
            let path: Vec<_> = request.path.rsplitn(3, '/').collect();
            let path = format!("{}/{}", path[1], path[0]);
            let said = [condition, address].into_iter().flatten().map(|it| format!(" {it}"));
            format!("{} {path}{}", request.method, said.collect::<String>())
        };
        writes.map(line).filter(|line| !line.ends_with("gatewayclasses/istio-waypoint")).collect()
    }
}

const OBJECTS: [&str; 6] = [
    "serviceaccounts/wp",
    "configmaps/wp-roots",
    "deployments/wp",
    "services/wp",
    "horizontalpodautoscalers/wp",
    "poddisruptionbudgets/wp",
];

#[tokio::test]
async fn a_waypoint_is_deployed_once_and_taken_away_with_its_class() {
    let mut rig = Rig::new("");
    assert_eq!(rig.round().await, [""; 0]);
    rig.put(CLASS);
    let mut expected = OBJECTS.map(|it| format!("PATCH {it}")).to_vec();
    expected.push("PATCH wp/status Pending 10.9.0.1".to_owned());
    assert_eq!(rig.round().await, expected);
    // Its status was not seen yet.
    assert_eq!(rig.round().await, ["PATCH wp/status Pending 10.9.0.1"]);
    rig.put("another");
    assert_eq!(rig.round().await, OBJECTS.map(|it| format!("DELETE {it}")));
}

#[tokio::test]
async fn what_is_somebody_elses_is_left_alone() {
    let mut rig = Rig::new("/deployments/wp");
    rig.put(CLASS);
    let expected = ["PATCH serviceaccounts/wp", "PATCH configmaps/wp-roots", "PATCH wp/status Invalid"];
    assert_eq!(rig.round().await, expected);
}
