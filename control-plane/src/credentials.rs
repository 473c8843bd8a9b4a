//! Credentials that objects of waypoints name: Secrets and ConfigMaps, each read by its name and told to those
//! waypoints alone that are told of such an object.
//!
//! They are read, again and again, and not watched: who may watch or list Secrets may have all of a namespace, and
//! this needs no more than those that are named.
//!
//! Unknown is not gone: what cannot be read, or not yet, a waypoint that has it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ambit_model::GatewayKey;
use ambit_resources::{Kind, ObjectId};
use ambit_xds::proto::config;
use ambit_xds::{Cache, Entry};
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

/// What each waypoint is told of each credential; `None` of one that is not there.
type Known = BTreeMap<(GatewayKey, ObjectId), Option<Bytes>>;

/// Others are wanted now. Hands back what is to be published of that before they are read: of what has come nobody
/// knows whether it is there.
pub(crate) fn want(wanted: &watch::Sender<Wanted>, now: Wanted) -> Vec<Entry> {
    let pairs = |wanted: &Wanted| -> BTreeSet<_> {
        let of = |(key, all): (&GatewayKey, &BTreeSet<(ObjectId, Use)>)| {
            all.iter().map(|(id, _)| (key.clone(), id.clone())).collect::<Vec<_>>()
        };
        wanted.iter().flat_map(of).collect()
    };
    if *wanted.borrow() == now {
        return Vec::new();
    }
    let (now, before) = (pairs(&now), pairs(&wanted.send_replace(now)));
    let come = now
        .difference(&before)
        .map(|(waypoint, id)| Entry::unknown_object(waypoint, id.kind.word(), &id.namespace, &id.name));
    let gone = before
        .difference(&now)
        .map(|(waypoint, id)| Entry::removed_object(waypoint, id.kind.word(), &id.namespace, &id.name));
    come.chain(gone).collect()
}

/// Reads credentials, and tells of them.
pub(crate) struct Credentials {
    client: Client,
    cache: Arc<Cache>,
    review: Arc<Inbox>,
    wanted: watch::Receiver<Wanted>,
    /// What was read last, `None` where there was none; nothing of what could not be read yet.
    known: BTreeMap<ObjectId, Option<Map<String, Value>>>,
    told: Known,
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
        let mut now = Known::new();
        for (waypoint, ids) in wanted {
            // What is also to be shown comes last.
            let known = ids.into_iter().filter_map(|(id, of)| {
                let data = self.known.get(&id)?.as_ref();
                let key = (waypoint.clone(), id.clone());
                // What may not be read any more stays where it is, and goes nowhere else.
                let is_given = !self.refused.contains(&id) || self.told.contains_key(&key);
                is_given.then(|| (key, data.map(|data| object(&id, of, data))))
            });
            now.extend(known);
        }
        self.tell(now);
    }

    /// What cannot be read stays as it was, be it that it may not be read: rights come and go with an upgrade, too.
    async fn read(&mut self, id: ObjectId) {
        let error = match tokio::time::timeout(ANSWER, data(&self.client, &id)).await {
            Ok(Ok(data)) => {
                self.refused.remove(&id);
                self.known.insert(id, data);
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::warn!(credential = %id, "the API server takes too long to answer for a credential");
                return;
            }
        };
        if !matches!(&error, kube::Error::Api(status) if status.code == 403) {
            tracing::warn!(credential = %id, error = error_chain(&error), "cannot read a credential");
        } else if self.refused.insert(id.clone()) {
            tracing::warn!(
                credential = %id,
                "may not be read: see waypoint.credentialNamespaces of the chart; waypoints go on with what they have",
            );
        }
    }

    fn tell(&mut self, now: Known) {
        let told = |(waypoint, id): &(GatewayKey, ObjectId), json: &Option<Bytes>| Told {
            waypoint: waypoint.clone(),
            id: id.clone(),
            object: json.as_ref().map(|json| message(id, json)),
        };
        let gone = self.told.keys().filter(|key| !now.contains_key(*key)).map(|key| told(key, &None));
        let all: Vec<_> = now.iter().map(|(key, json)| told(key, json)).chain(gone).collect();
        // All of it: what is as it was is no change, and what is gone may not have been told of by this process.
        self.cache.publish(all.iter().map(Told::entry).collect());
        let before = std::mem::replace(&mut self.told, now);
        let differs = |told: &Told| {
            let key = (told.waypoint.clone(), told.id.clone());
            before.get(&key).and_then(Option::as_ref) != told.object.as_ref().map(|object| &object.json)
        };
        let told: Vec<_> = all.into_iter().filter(differs).collect();
        if !told.is_empty() {
            self.review.put(News { told, ..News::default() }, Vec::new());
        }
    }
}

fn message(id: &ObjectId, json: &Bytes) -> config::Object {
    config::Object {
        kind: id.kind.word().to_owned(),
        api_version: "v1".to_owned(),
        namespace: id.namespace.to_string(),
        name: id.name.to_string(),
        json: json.clone(),
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

    #[test]
    fn of_what_is_wanted_anew_nobody_knows_and_what_is_wanted_no_more_is_gone() {
        let waypoint = GatewayKey { namespace: "shop".into(), name: "a".into() };
        let id = |name: &str| ObjectId { kind: Kind::Secret, namespace: "shop".into(), name: name.into() };
        let of = |names: &[&str]| -> Wanted {
            [(waypoint.clone(), names.iter().map(|name| (id(name), Use::Show)).collect())].into()
        };
        let (sender, _receiver) = watch::channel(Wanted::new());
        for (wanted, published) in [
            (of(&["s", "t"]), vec!["-shop/a/Secret/shop/s", "-shop/a/Secret/shop/t"]),
            (of(&["s", "t"]), vec![]),
            (of(&["t", "u"]), vec!["-shop/a/Secret/shop/u", "-shop/a/Secret/shop/s"]),
            (Wanted::new(), vec!["-shop/a/Secret/shop/t", "-shop/a/Secret/shop/u"]),
        ] {
            let entries = want(&sender, wanted.clone());
            assert_eq!(entries.iter().map(Entry::to_string).collect::<Vec<_>>(), published, "{wanted:?}");
            assert_eq!(*sender.borrow(), wanted);
        }
    }

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
            (Err((forbidden, "Forbidden")), Some(json!({ "tls.key": "Yw==" }))),
            (Err((StatusCode::NOT_FOUND, "NotFound")), None),
            (Err((forbidden, "Forbidden")), None),
        ] {
            *answer.lock().unwrap() = now.clone();
            credentials.round().await;
            let told = |waypoint| {
                let told = credentials.told.get(&(waypoint, id.clone()));
                told.and_then(Option::as_ref).map(|json| serde_json::from_slice::<Value>(json).unwrap()["data"].clone())
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
