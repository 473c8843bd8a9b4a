//! The objects of a waypoint: of every object, its last valid version, and what they mean together.

mod change;
mod credentials;
mod gateway_api;
mod held;
mod index;
mod issues;
mod policies;
mod routes;
mod settle;
mod telemetry;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ambit_l7::{HttpAuthorization, L7Config, RateLimit};
use ambit_model::ServiceKey;
use ambit_resources::ObjectId;
use ambit_resources::mesh_config::GatewayTopology;

use super::cx::Expressions;
use super::directory::Directory;
use super::gateway_api::{Admission, Route, RouteStatus};
use super::mesh_config::Mesh;
use super::{L7Options, L7Services};
use crate::{Input, Issue};
use gateway_api::Lost;
use held::Held;
use index::Index;
use issues::Issues;
use routes::Routed;
use traffic::Merged;

/// The objects of a waypoint. What is wrong never reaches further than the object it is in, and never puts out of
/// force what was in force. An object that comes, changes or goes marks the services it concerns, and only those
/// are compiled again; what comes out as it was before is the same allocation.
#[derive(Debug, Default)]
pub struct L7Store {
    options: L7Options,
    expressions: Expressions,
    directory: Directory,
    /// The services of the waypoint.
    bound: BTreeSet<ServiceKey>,
    objects: BTreeMap<ObjectId, Held>,
    mesh: Mesh,
    /// What the waypoint's own Gateway says of what stands before it.
    gateway: GatewayTopology,
    index: Index,
    issues: Issues,
    /// What objects route, by service.
    routed: HashMap<ObjectId, HashMap<ServiceKey, Routed>>,
    /// The objects that route something of a service.
    routing: HashMap<ServiceKey, BTreeSet<ObjectId>>,
    /// Policies with their providers.
    authorizations: HashMap<ObjectId, Arc<HttpAuthorization>>,
    /// Limits with the service that counts.
    limits: HashMap<ObjectId, Arc<[Arc<RateLimit>]>>,
    /// Limits that ask for sections which are not there, and policies that deny what nobody is asked about, by service.
    misplaced: HashMap<ServiceKey, BTreeSet<ObjectId>>,
    merged: Merged,
    admission: Admission,
    /// The newest versions of routes that are not in force.
    refused: BTreeMap<ObjectId, Arc<Route>>,
    /// Ports that routes did not get, by service.
    lost: HashMap<ServiceKey, Lost>,
    statuses: BTreeMap<ObjectId, RouteStatus>,
    marked: Marked,
    config: L7Config,
}

/// What is to be compiled again.
#[derive(Debug, Default)]
struct Marked {
    /// Services, for their rules and policies.
    services: BTreeSet<ServiceKey>,
    /// Services, for how they are used.
    traffic: BTreeSet<ServiceKey>,
    /// What is in force where a service says nothing.
    default: bool,
    /// Routes to which something else may be to be said than before.
    statuses: BTreeSet<ObjectId>,
    cost: L7Cost,
}

/// What differs from before: each list in order, nothing in it that is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct L7Delta {
    /// Services whose rules or policies changed, came or went.
    pub services: Vec<ServiceKey>,
    /// Services that are used in another way.
    pub traffic: Vec<ServiceKey>,
    /// Whether what holds for all services changed: [`L7Config::default`], how paths are read, what is tried again.
    pub default: bool,
    /// What is to be said to routes of their parents; nothing where that is none of this waypoint's business.
    pub routes: Vec<(ObjectId, Option<RouteStatus>)>,
    /// All there is to be said about an object; nothing where nothing is any more.
    pub issues: Vec<(ObjectId, Vec<Issue>)>,
    /// What it took.
    pub cost: L7Cost,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L7Cost {
    /// Objects compiled by themselves.
    pub objects: usize,
    /// Objects whose destinations were looked up, once for each service they route.
    pub routed: usize,
    /// Services whose rules were put together.
    pub services: usize,
    /// Services whose use was looked up.
    pub traffic: usize,
}

impl L7Store {
    /// A store without objects.
    #[must_use]
    pub fn new(options: L7Options) -> Self {
        let mut store = Self { options, ..Self::default() };
        store.config.retry = Some(Arc::new(store.options.default_retry.clone()));
        store
    }

    /// Takes in what happened to users' objects, and to services of the mesh (all of them, whosever waypoint they
    /// are bound to: routes may lead to any), and says what differs from before.
    pub fn apply(
        &mut self,
        inputs: impl IntoIterator<Item = Input>,
        changed: impl IntoIterator<Item = ServiceKey>,
        services: &impl L7Services,
    ) -> L7Delta {
        for input in inputs {
            self.take_in(input);
        }
        for key in changed {
            self.service_changed(&key, services.service(&key));
        }
        self.settle()
    }

    /// What is in force.
    #[must_use]
    pub fn config(&self) -> L7Config {
        self.config.clone()
    }
}

#[cfg(test)]
mod tests;
