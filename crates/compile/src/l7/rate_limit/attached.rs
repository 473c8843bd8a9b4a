//! What limits are attached to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_l7::{HttpRule, LimitScope};
use ambit_model::Service;
use ambit_resources::rate_limit_policy::LimitTarget;
use ambit_resources::{Kind, ObjectId, TargetRef};

use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::targets::{Target, target, targets_of};
use crate::l7::{L7Options, L7Problem};

/// The parts of something, by their names; `None`: all of it.
type Sections = BTreeSet<Option<Arc<str>>>;

/// What a policy is attached to.
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    targets: BTreeMap<Target, Sections>,
    /// Objects, for requests that their rules decide about.
    routes: BTreeMap<ObjectId, Sections>,
}

/// Kinds whose rules limits can be attached to, with their groups.
const ROUTES: [(&str, &str, Kind); 3] = [
    ("gateway.networking.k8s.io", "HTTPRoute", Kind::HttpRoute),
    ("gateway.networking.k8s.io", "GRPCRoute", Kind::GrpcRoute),
    ("networking.istio.io", "VirtualService", Kind::VirtualService),
];

impl Attachment {
    pub(super) fn prepare(written: &[LimitTarget], at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        if written.is_empty() {
            cx.error(at, L7Problem::Required { what: "at least one target" });
        }
        let mut found = Self::default();
        for (i, of) in written.iter().enumerate() {
            let at = at.index(i);
            let section = of.section_name.as_deref().map(Arc::from);
            if let Some(route) = route(of, &at, cx) {
                found.routes.entry(route).or_default().insert(section);
                continue;
            }
            let LimitTarget { group, kind, name, section_name: _ } = of.clone();
            let Some(target) = target(&TargetRef { group, kind, name, namespace: String::new() }, &at, cx) else {
                continue;
            };
            if section.is_some() && !matches!(target, Target::Service(..)) {
                let reason = "only rules of routes and ports of Services have names";
                cx.error(&at.field("sectionName"), L7Problem::Unsupported { reason });
            }
            found.targets.entry(target).or_default().insert(section);
        }
        found
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.keys()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &ObjectId> {
        self.routes.keys()
    }

    /// The parts of a service's requests that it is about, and the sections that are not there.
    pub(crate) fn scopes(
        &self,
        service: &Service,
        rules: &[Arc<HttpRule>],
        options: &L7Options,
    ) -> (Vec<LimitScope>, Vec<Arc<str>>) {
        let (mut scopes, mut missing) = (Vec::new(), Vec::new());
        let own = targets_of(service, options);
        for name in own.iter().filter_map(|target| self.targets.get(target)).flatten() {
            match name.as_ref().map(|name| (name, service.ports.iter().find(|port| port.name == *name))) {
                None => scopes.push(LimitScope::All),
                Some((_, Some(port))) => scopes.push(LimitScope::Port(port.port)),
                Some((name, None)) => missing.push(Arc::clone(name)),
            }
        }
        for (id, names) in &self.routes {
            let object: Arc<str> = id.to_string().into();
            let of_route: Vec<_> = rules.iter().map(|rule| &rule.origin).filter(|of| of.object == object).collect();
            for name in names.iter().filter(|_| !of_route.is_empty()) {
                match name {
                    Some(name) if of_route.iter().all(|of| of.name != *name) => missing.push(Arc::clone(name)),
                    name => scopes.push(LimitScope::Route { object: Arc::clone(&object), rule: name.clone() }),
                }
            }
        }
        (scopes, missing)
    }
}

/// The object whose rules are a target, if it is of a kind that has rules.
fn route(of: &LimitTarget, at: &At<'_>, cx: &mut Cx<'_>) -> Option<ObjectId> {
    let (.., kind) = ROUTES.iter().find(|(group, kind, _)| of.group == *group && of.kind == *kind)?;
    if of.name.is_empty() {
        cx.error(&at.field("name"), L7Problem::Required { what: "a name" });
    }
    Some(ObjectId { kind: *kind, namespace: Arc::clone(cx.namespace()), name: of.name.as_str().into() })
}
