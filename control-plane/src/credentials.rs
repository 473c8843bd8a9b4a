//! Credentials that objects of waypoints name: Secrets and ConfigMaps, each read by its name and told to those
//! waypoints alone that are told of such an object.
//!
//! They are read, again and again, and not watched: who may watch or list Secrets may have all of a namespace, and
//! this needs no more than those that are named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ambit_model::GatewayKey;
use ambit_resources::{Kind, ObjectId};
use ambit_xds::Cache;
use ambit_xds::proto::config;
use bytes::Bytes;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::failure::error_chain;
use crate::waypoints::objects::Told;
use crate::waypoints::review::{Inbox, News};

/// How often they are read: a certificate that was renewed is used after that.
const PERIOD: Duration = Duration::from_secs(10);
/// Longest wait for the API server's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What is passed on of authorities.
const AUTHORITIES: [&str; 4] = ["ca.crt", "cacert", "ca.crl", "crl"];
/// And of what a waypoint shows itself.
const OWN: [&str; 4] = ["tls.crt", "cert", "tls.key", "key"];

/// The credentials that the objects of each waypoint name, and for what.
pub(crate) type Wanted = BTreeMap<GatewayKey, BTreeSet<(ObjectId, Use)>>;

/// What a credential is needed for. Who only believes an authority gets no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Use {
    /// To believe whom it names.
    Believe,
    /// And to show it.
    Show,
}

impl Use {
    fn passes(self, entry: &str) -> bool {
        AUTHORITIES.contains(&entry) || (self == Self::Show && OWN.contains(&entry))
    }
}

/// Reads credentials, and tells of them.
pub(crate) struct Credentials {
    client: Client,
    cache: Arc<Cache>,
    review: Arc<Inbox>,
    wanted: watch::Receiver<Wanted>,
    /// What was read last; nothing of what is not there.
    known: BTreeMap<ObjectId, Map<String, Value>>,
    told: BTreeMap<(GatewayKey, ObjectId), Bytes>,
    /// Those that were said not to be readable.
    refused: BTreeSet<ObjectId>,
}

impl Credentials {
    /// Those that are `wanted`, told of through `cache` and reviewed.
    pub(crate) fn new(client: Client, cache: Arc<Cache>, review: Arc<Inbox>, wanted: watch::Receiver<Wanted>) -> Self {
        let (known, told, refused) = Default::default();
        Self { client, cache, review, wanted, known, told, refused }
    }

    /// Works until nobody wants any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.round().await;
            let waiting = self.wanted.borrow().is_empty();
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() {
                    return; // the process is ending
                },
                () = tokio::time::sleep(PERIOD), if !waiting => {}
            }
        }
    }

    async fn round(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let all: BTreeSet<_> = wanted.values().flatten().map(|(id, _)| id.clone()).collect();
        self.known.retain(|id, _| all.contains(id));
        self.refused.retain(|id| all.contains(id));
        for id in all {
            self.read(id).await;
        }
        let mut now = BTreeMap::new();
        for (waypoint, ids) in wanted {
            // What is also to be shown comes last.
            let known = ids.into_iter().filter_map(|(id, of)| Some((object(&id, of, self.known.get(&id)?), id)));
            now.extend(known.map(|(json, id)| ((waypoint.clone(), id), json)));
        }
        self.tell(now);
    }

    /// What cannot be read for a moment stays as it was; what may not be read is not there.
    async fn read(&mut self, id: ObjectId) {
        let found = tokio::time::timeout(ANSWER, data(&self.client, &id)).await;
        let data = match found {
            Ok(Ok(data)) => data,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                if self.refused.insert(id.clone()) {
                    tracing::warn!(credential = %id, "may not be read: see waypoint.credentialNamespaces of the chart");
                }
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(credential = %id, error = error_chain(&error), "cannot read a credential");
                return;
            }
            Err(_) => {
                tracing::warn!(credential = %id, "the API server takes too long to answer for a credential");
                return;
            }
        };
        match data {
            Some(data) => drop(self.known.insert(id, data)),
            None => drop(self.known.remove(&id)),
        }
    }

    fn tell(&mut self, now: BTreeMap<(GatewayKey, ObjectId), Bytes>) {
        let message = |id: &ObjectId, json: &Bytes| config::Object {
            kind: id.kind.word().to_owned(),
            api_version: "v1".to_owned(),
            namespace: id.namespace.to_string(),
            name: id.name.to_string(),
            json: json.clone(),
        };
        let changed = now.iter().filter(|(key, json)| self.told.get(*key) != Some(*json));
        let gone = self.told.keys().filter(|key| !now.contains_key(*key));
        let told = changed.map(|((waypoint, id), json)| (waypoint, id, Some(message(id, json))));
        let told = told.chain(gone.map(|(waypoint, id)| (waypoint, id, None)));
        let told: Vec<_> =
            told.map(|(waypoint, id, object)| Told { waypoint: waypoint.clone(), id: id.clone(), object }).collect();
        self.told = now;
        if !told.is_empty() {
            self.cache.publish(told.iter().map(Told::entry).collect());
            self.review.put(News { told, ..News::default() }, Vec::new());
        }
    }
}

/// What it holds; nothing of what is not there.
async fn data(client: &Client, id: &ObjectId) -> Result<Option<Map<String, Value>>, kube::Error> {
    let (namespace, name) = (&*id.namespace, &*id.name);
    if id.kind == Kind::Secret {
        let found = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
        return Ok(found.map(|found| of_use(found.data)));
    }
    let found = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(found.map(|found| of_use(found.data)))
}

/// The entries that anybody may need.
fn of_use<T: serde::Serialize>(data: Option<BTreeMap<String, T>>) -> Map<String, Value> {
    let data = data.unwrap_or_default().into_iter().filter(|(name, _)| Use::Show.passes(name));
    data.map(|(name, value)| (name, json!(value))).collect()
}

/// What of it is passed on.
fn object(id: &ObjectId, of: Use, data: &Map<String, Value>) -> Bytes {
    let data: Map<_, _> = data.clone().into_iter().filter(|(name, _)| of.passes(name)).collect();
    let metadata = json!({ "name": &*id.name, "namespace": &*id.namespace });
    json!({ "apiVersion": "v1", "kind": id.kind.word(), "metadata": metadata, "data": data }).to_string().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;
    use http::StatusCode;

    use super::*;
    use crate::fake_api;

    #[tokio::test]
    async fn credentials_are_read_by_name_and_kept_while_the_api_server_is_away() {
        let answer = Arc::new(Mutex::new(Err((StatusCode::NOT_FOUND, "NotFound"))));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (answers, seen) = (Arc::clone(&answer), Arc::clone(&asked));
        let client = fake_api::client(move |request| {
            seen.lock().unwrap().push(format!("{} {}", request.method, request.path));
            let answer = answers.lock().unwrap().clone();
            async { answer }.boxed()
        });
        let id = ObjectId { kind: Kind::Secret, namespace: "shop".into(), name: "s".into() };
        let waypoint = |name: &str| GatewayKey { namespace: "shop".into(), name: name.into() };
        let wanted: Wanted = [
            (waypoint("a"), [(id.clone(), Use::Believe), (id.clone(), Use::Show)].into()),
            (waypoint("b"), [(id.clone(), Use::Believe)].into()),
        ]
        .into();
        let (sender, receiver) = watch::channel(wanted);
        let mut credentials = Credentials::new(client, Arc::default(), Arc::default(), receiver);
        let secret = |data: Value| Ok(json!({ "metadata": { "name": "s" }, "data": data }));
        let (forbidden, broken) = (StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR);
        for (now, expected) in [
            (Err((StatusCode::NOT_FOUND, "NotFound")), None),
            (secret(json!({ "tls.key": "YQ==", "password": "Yg==" })), Some(json!({ "tls.key": "YQ==" }))),
            (Err((broken, "InternalError")), Some(json!({ "tls.key": "YQ==" }))),
            (secret(json!({ "tls.key": "Yw==" })), Some(json!({ "tls.key": "Yw==" }))),
            (Err((forbidden, "Forbidden")), None),
        ] {
            *answer.lock().unwrap() = now.clone();
            credentials.round().await;
            let told = |waypoint| {
                let told = credentials.told.get(&(waypoint, id.clone()));
                told.map(|json| serde_json::from_slice::<Value>(json).unwrap()["data"].clone())
            };
            assert_eq!(told(waypoint("a")), expected, "{now:?}");
            assert_eq!(told(waypoint("b")), expected.map(|_| json!({})), "who believes only gets no key");
            assert_eq!(told(waypoint("c")), None);
        }
        let path = "GET /api/v1/namespaces/shop/secrets/s";
        assert!(asked.lock().unwrap().iter().all(|asked| asked == path), "{asked:?}");
        sender.send_replace(Wanted::new());
        credentials.round().await;
        assert_eq!((credentials.known.len(), credentials.told.len()), (0, 0));
    }
}
