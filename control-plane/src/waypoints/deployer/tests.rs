use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use ambit_identity::{CaOptions, NewRoot};
use ambit_resources::{Kind, ObjectId};
use futures::FutureExt;
use http::{Method, StatusCode};

use super::*;
use crate::fake_api::{Answer, Asked, client};

/// A cluster: what is there, by path, and what was asked of it.
#[derive(Default)]
struct Cluster {
    objects: HashMap<String, Value>,
    asked: Vec<Asked>,
    /// What cannot be deleted: the end of its path.
    stuck: Option<&'static str>,
}

impl Cluster {
    fn answer(&mut self, request: Asked) -> Answer {
        let Asked { method, path, mut body } = request.clone();
        self.asked.push(request);
        match method {
            Method::DELETE if self.stuck.is_some_and(|end| path.ends_with(end)) => {
                Err((StatusCode::FORBIDDEN, "Forbidden"))
            }
            Method::DELETE => self.objects.remove(&path).ok_or((StatusCode::NOT_FOUND, "NotFound")),
            Method::GET => self.objects.get(&path).cloned().ok_or((StatusCode::NOT_FOUND, "NotFound")),
            _ => {
                body["metadata"]["uid"] = json!(path);
                if path.ends_with("/services/wp") {
                    body["spec"]["clusterIPs"] = json!(["10.9.0.1"]);
                }
                self.objects.insert(path, body.clone());
                Ok(body)
            }
        }
    }

    /// An object, and there are no two of this end, is somebody else's from now on.
    fn is_foreign(&mut self, end: &str) {
        let path = self.objects.keys().find(|path| path.ends_with(end)).unwrap().clone();
        self.objects.insert(path, json!({ "metadata": { "name": "wp", "uid": "2", "ownerReferences": [] } }));
    }
}

struct Rig {
    gateways: Arc<Gateways>,
    cluster: Arc<Mutex<Cluster>>,
    deployer: Deployer,
    roots: watch::Sender<Arc<Roots>>,
}

impl Rig {
    fn new() -> Self {
        let cluster = Arc::<Mutex<Cluster>>::default();
        let of = Arc::clone(&cluster);
        let client = client(move |request| {
            let answer = of.lock().unwrap().answer(request);
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
        let (sender, roots) = watch::channel(Arc::new(roots));
        let deployer = Deployer::new(client, Arc::clone(&gateways), roots, settings);
        Self { gateways, cluster, deployer, roots: sender }
    }

    fn put(&self, class: &str) {
        self.put_with(class, &Value::Null);
    }

    fn put_with(&self, class: &str, infrastructure: &Value) {
        let id = ObjectId { kind: Kind::Gateway, namespace: "shop".into(), name: "wp".into() };
        let listener = json!({ "name": "mesh", "port": 15008, "protocol": "HBONE" });
        let spec = json!({ "gatewayClassName": class, "listeners": [listener], "infrastructure": infrastructure });
        let api_version = "gateway.networking.k8s.io/v1";
        self.gateways.put(&id, json!({ "apiVersion": api_version, "metadata": { "uid": "1" }, "spec": spec }));
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap()
    }

    /// What one round writes that goes well, as `METHOD path`.
    async fn round(&mut self) -> Vec<String> {
        assert!(self.deployer.round().await);
        self.written()
    }

    /// What was written since this was last asked.
    fn written(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.cluster().asked);
        let writes = asked.iter().filter(|request| request.method != Method::GET);
        let line = |request: &Asked| {
            let condition = request.body.pointer("/status/conditions/1/reason").and_then(Value::as_str);
            let address = request.body.pointer("/status/addresses/0/value").and_then(Value::as_str);
            if request.method == Method::DELETE {
                assert_eq!(request.body.pointer("/preconditions/uid"), Some(&json!(request.path)));
            }
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

fn lines(method: &str, objects: &[&str]) -> Vec<String> {
    objects.iter().map(|it| format!("{method} {it}")).collect()
}

#[tokio::test]
async fn a_waypoint_is_deployed_once_and_taken_away_with_its_class() {
    let mut rig = Rig::new();
    assert_eq!(rig.round().await, [""; 0]);
    rig.put(CLASS);
    let mut expected = lines("PATCH", &OBJECTS);
    expected.push("PATCH wp/status Pending 10.9.0.1".to_owned());
    assert_eq!(rig.round().await, expected);
    // Its status was not seen yet.
    assert_eq!(rig.round().await, ["PATCH wp/status Pending 10.9.0.1"]);
    rig.put("another");
    assert_eq!(rig.round().await, lines("DELETE", &OBJECTS));
    assert_eq!(rig.round().await, [""; 0]);
    rig.deployer.round().await;
    assert!(rig.cluster().asked.iter().all(|asked| asked.method != Method::GET), "it is not looked for again");
}

#[tokio::test]
async fn what_another_leader_deployed_is_taken_away_with_the_class() {
    let mut rig = Rig::new();
    rig.put(CLASS);
    rig.round().await;
    // One that leads since the class changed.
    let Deployer { client, gateways, roots, settings, .. } = rig.deployer;
    rig.deployer = Deployer::new(client, gateways, roots, settings);
    rig.put("another");
    let name = "/apis/apps/v1/namespaces/shop/deployments/wp";
    // Whoever looks after the Gateway now calls it the same.
    rig.cluster().objects.get_mut(name).unwrap()["metadata"]["labels"][MANAGED.0] = json!("another");
    let ours: Vec<_> = OBJECTS.into_iter().filter(|it| *it != "deployments/wp").collect();
    assert_eq!(rig.round().await, lines("DELETE", &ours));
}

#[tokio::test]
async fn parameters_that_are_not_there_or_no_config_map_are_refused_aloud() {
    let mut rig = Rig::new();
    for (kind, well, reason) in [("ConfigMap", false, "InvalidParameters"), ("Secret", true, "InvalidParameters")] {
        rig.put_with(CLASS, &json!({ "parametersRef": { "group": "", "kind": kind, "name": "more" } }));
        assert_eq!(rig.deployer.round().await, well, "{kind}");
        let asked = std::mem::take(&mut rig.cluster().asked);
        let said = asked.iter().find(|request| request.path.ends_with("/gateways/wp/status")).unwrap();
        assert_eq!(said.body.pointer("/status/conditions/0/reason"), Some(&json!(reason)), "{kind}");
        assert!(asked.iter().all(|request| !request.path.ends_with("/deployments/wp")), "nothing is deployed");
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_left_alone() {
    let mut rig = Rig::new();
    let path = "/apis/apps/v1/namespaces/shop/deployments/wp";
    rig.cluster().objects.insert(path.to_owned(), json!({ "metadata": { "name": "wp" } }));
    rig.put(CLASS);
    let expected = ["PATCH serviceaccounts/wp", "PATCH configmaps/wp-roots", "PATCH wp/status Invalid"];
    assert_eq!(rig.round().await, expected);
}

#[tokio::test]
async fn what_has_become_somebody_elses_is_not_deleted() {
    let mut rig = Rig::new();
    rig.put(CLASS);
    rig.round().await;
    rig.cluster().is_foreign("/services/wp");
    rig.put("another");
    let ours: Vec<_> = OBJECTS.into_iter().filter(|it| *it != "services/wp").collect();
    assert_eq!(rig.round().await, lines("DELETE", &ours));
}

#[tokio::test]
async fn what_could_not_be_deleted_is_tried_again_or_written_whole() {
    let mut rig = Rig::new();
    for then in ["another", CLASS] {
        rig.put(CLASS);
        rig.round().await;
        rig.cluster().stuck = Some("/deployments/wp");
        rig.put("another");
        assert!(!rig.deployer.round().await);
        assert_eq!(rig.written(), lines("DELETE", &OBJECTS));
        rig.cluster().stuck = None;
        rig.put(then);
        let written = rig.round().await;
        let expected = if then == CLASS { lines("PATCH", &OBJECTS) } else { vec!["DELETE deployments/wp".to_owned()] };
        assert_eq!(written[..expected.len()], expected, "{written:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leads_again_writes_everything_again() {
    let rig = Rig::new();
    rig.put(CLASS);
    let Rig { cluster, deployer, roots: _roots, .. } = rig;
    let (_known, known) = watch::channel(true);
    let (lead, leads) = watch::channel(true);
    tokio::spawn(deployer.run(known, leads));
    let deployments = || {
        let is_it = |it: &&Asked| it.method == Method::PATCH && it.path.ends_with("/deployments/wp");
        cluster.lock().unwrap().asked.iter().filter(is_it).count()
    };
    for times in 1..=3 {
        // Well before what is deployed is written again anyway.
        tokio::time::sleep(ROUND * 2).await;
        assert_eq!(deployments(), times);
        lead.send_replace(false);
        tokio::time::sleep(ROUND * 2).await;
        assert_eq!(deployments(), times);
        lead.send_replace(true);
    }
}
