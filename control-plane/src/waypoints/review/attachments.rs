//! What policies and routes are attached to, as they write it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ambit_compile::RouteStatus;
use ambit_model::{GatewayKey, Service, ServiceKey};
use ambit_resources::{Kind, ObjectId};
use bytes::Bytes;
use serde_json::Value;

use crate::condition::Condition;
use crate::waypoints::bound::{self, Unbound};
use crate::waypoints::gateways::CLASS;
use crate::waypoints::objects::gateway;

/// `targetRefs` of policies and `parentRefs` of routes; nothing of what has none.
#[derive(Debug, Default)]
pub(super) struct Attachments(HashMap<ObjectId, Vec<Reference>>);

#[derive(Debug)]
struct Reference {
    kind: String,
    namespace: Arc<str>,
    name: Arc<str>,
    section: Option<String>,
}

impl Attachments {
    /// An object came, changed or went.
    pub(super) fn put(&mut self, id: &ObjectId, object: Option<&Bytes>) {
        let object = object.and_then(|json| serde_json::from_slice::<Value>(json).ok());
        let found = ["/spec/targetRef", "/spec/targetRefs", "/spec/parentRefs"].into_iter();
        let found = found.filter_map(|field| object.as_ref()?.pointer(field));
        let items = found.flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice));
        let references: Vec<_> = items.map(|item| Reference::of(item, &id.namespace)).collect();
        if references.is_empty() {
            self.0.remove(id);
        } else {
            self.0.insert(id.clone(), references);
        }
    }

    /// The policies that are attached to something.
    pub(super) fn policies(&self) -> impl Iterator<Item = &ObjectId> {
        self.0.keys().filter(|id| is_policy(id))
    }

    /// The listeners of a waypoint that a route is attached to, by the status that the waypoint gives it.
    pub(super) fn places(
        &self,
        id: &ObjectId,
        waypoint: &GatewayKey,
        status: Option<&RouteStatus>,
    ) -> Vec<Option<String>> {
        let parents = self.0.get(id).map(Vec::as_slice).unwrap_or_default();
        let accepted = status.into_iter().flat_map(|status| &status.parents).filter(|of| of.accepted.reason.is_true());
        let accepted = accepted.filter_map(|of| parents.get(of.parent)).filter(|parent| parent.is_gateway(waypoint));
        accepted.map(|parent| parent.section.clone()).collect()
    }

    /// What is said of a policy by the waypoints of what it is attached to.
    pub(super) fn condition(
        &self,
        id: &ObjectId,
        services: &BTreeMap<ServiceKey, Arc<Service>>,
        is_waypoint: impl Fn(&GatewayKey) -> bool,
    ) -> Option<Condition> {
        let references = self.0.get(id).filter(|_| is_policy(id))?;
        let targets: Vec<_> =
            references.iter().flat_map(|reference| reference.enforced(services, &is_waypoint)).collect();
        bound::attached(&targets)
    }
}

fn is_policy(id: &ObjectId) -> bool {
    matches!(id.kind, Kind::AuthorizationPolicy | Kind::RequestAuthentication | Kind::RateLimitPolicy)
}

impl Reference {
    fn of(written: &Value, own: &Arc<str>) -> Self {
        let text = |field: &str| written.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        Self {
            kind: text("kind").unwrap_or("Gateway").to_owned(),
            namespace: text("namespace").map_or_else(|| Arc::clone(own), Arc::from),
            name: text("name").unwrap_or_default().into(),
            section: text("sectionName").map(str::to_owned),
        }
    }

    fn is_gateway(&self, key: &GatewayKey) -> bool {
        self.kind == "Gateway" && self.namespace == key.namespace && self.name == key.name
    }

    /// Where it is enforced for this, or why nowhere; nothing of what may be another controller's.
    fn enforced(
        &self,
        services: &BTreeMap<ServiceKey, Arc<Service>>,
        is_waypoint: &impl Fn(&GatewayKey) -> bool,
    ) -> Vec<Result<String, Unbound>> {
        let Self { kind, namespace, name, .. } = self;
        match kind.as_str() {
            "Service" | "ServiceEntry" => {}
            "GatewayClass" if **name == *CLASS => return vec![Ok("every waypoint".to_owned())],
            "Gateway" => {
                let key = GatewayKey { namespace: Arc::clone(namespace), name: Arc::clone(name) };
                return is_waypoint(&key).then(|| Ok(key.to_string())).into_iter().collect();
            }
            _ => return Vec::new(),
        }
        let shown = || format!("{kind} {namespace}/{name}");
        let first = ServiceKey { namespace: Arc::clone(namespace), hostname: "".into() };
        let here = services.range(first..).map(|(_, service)| service);
        let here = here.take_while(|service| service.key.namespace == *namespace);
        let mut found: Vec<_> = here
            .map(|service| (bound::object(service), service))
            .filter(|(id, _)| id.name == *name && id.kind.word() == kind)
            .flat_map(|(_, service)| match service.waypoint.as_deref().and_then(gateway) {
                Some(_) => service.waypoints().filter_map(|it| Some(Ok(gateway(it)?.to_string()))).collect(),
                None => vec![Err(Unbound::NoWaypoint(shown()))],
            })
            .collect();
        if found.is_empty() {
            found.push(Err(Unbound::Missing(shown())));
        }
        found
    }
}
