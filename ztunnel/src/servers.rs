//! The agent's own endpoints: readiness, metrics, and the admin page.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::Method;
use ambit_identity::Identities;
use ambit_model::WorkloadUid;
use ambit_runtime::http::{Reply, Routes, json};
use ambit_runtime::{Drain, admin, http, metrics, readiness, spawn};
use anyhow::Context;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::app::{Control, Logs, Overview};
use crate::config::ServerConfig;
use crate::enrolment::{Standing, State};

/// What the admin page shows.
pub(crate) struct Shown {
    /// The mesh.
    pub(crate) state: Arc<ambit_state::Shared>,
    /// Certificates, never keys.
    pub(crate) identities: Identities,
    /// Pods and kernel programs.
    pub(crate) overview: Arc<Mutex<Overview>>,
}

/// Binds all endpoints, then serves them until the drain begins: from then on a successor answers.
pub(crate) fn start(config: &ServerConfig, shown: Shown, logs: &Logs, control: &Control) -> anyhow::Result<()> {
    let page = admin::bind(config.admin)?;
    let dump = admin::routes(logs.level.clone(), control.stop.clone()).add(
        Method::GET,
        "/config_dump",
        "workloads, services, policies, certificates (no keys), pods",
        move |_| shown.dump(),
    );
    listen("admin", page, dump, &control.drain);
    listen("readiness", bind(config.readiness)?, readiness::routes(control.readiness.clone()), &control.drain);
    listen("metrics", bind(config.metrics)?, metrics::routes(Arc::clone(&logs.metrics)), &control.drain);
    Ok(())
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    http::bind(address).with_context(|| format!("cannot listen on {address}"))
}

fn listen(name: &'static str, listener: TcpListener, routes: Routes, drain: &Drain) {
    spawn(name, drain, http::serve(listener, Arc::new(routes), drain.begun().clone()));
}

impl Shown {
    fn dump(&self) -> Reply {
        let mut dump = self.state.load().dump();
        if let Value::Object(dump) = &mut dump {
            dump.insert("version".to_owned(), self.state.version().into());
            let identities = &self.identities;
            let certificates = ambit_identity::dump(&identities.certificates, &identities.bundle);
            dump.insert("certificates".to_owned(), certificates);
            let overview = self.overview.lock().unwrap_or_else(PoisonError::into_inner);
            dump.insert("pods".to_owned(), Value::Object(overview.pods.iter().filter_map(pod).collect()));
            let faults: Map<_, _> =
                overview.faults.iter().map(|fault| (fault.name.to_owned(), fault.count.into())).collect();
            dump.insert("kernelFaults".to_owned(), Value::Object(faults));
        }
        json(format!("{dump:#}"))
    }
}

/// Those that are not to be captured are left out.
fn pod((uid, standing): (&WorkloadUid, &Standing)) -> Option<(String, Value)> {
    let state = match &standing.state {
        State::Enrolled { .. } => serde_json::json!({ "state": "enrolled" }),
        State::Failed(reason) => serde_json::json!({ "state": "failed", "reason": reason }),
        State::Released => return None,
    };
    Some((uid.to_string(), state))
}
