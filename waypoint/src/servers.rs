//! The waypoint's own endpoints: readiness, metrics, and the admin page.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{Method, StatusCode};
use ambit_identity::Identities;
use ambit_runtime::http::{Reply, Routes, json, text};
use ambit_runtime::{Drain, admin, http, metrics, readiness, spawn};
use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::app::{Control, Logs};
use crate::config::ServerConfig;
use crate::outlet::Published;
use crate::{explain, routes};

/// What the admin page shows.
#[derive(Clone)]
pub(crate) struct Shown {
    /// What is in force.
    pub(crate) published: Published,
    /// Certificates, never keys.
    pub(crate) identities: Identities,
}

/// Binds all endpoints, then serves them until the drain begins: from then on a successor answers.
pub(crate) fn start(config: &ServerConfig, shown: Shown, logs: &Logs, control: &Control) -> anyhow::Result<()> {
    let page = admin::bind(config.admin)?;
    let (dumped, routed, explained) = (shown.clone(), shown.clone(), shown);
    let dump = admin::routes(logs.level.clone(), control.stop.clone())
        .add(
            Method::GET,
            "/config_dump",
            "workloads, services, users' objects, routes, certificates (no keys)",
            move |_| dumped.dump(),
        )
        .add(Method::GET, "/routes", "what is in force for requests and connections, as YAML", move |_| {
            text(StatusCode::OK, routes::yaml(&routed.published.load()))
        })
        .add(Method::GET, "/explain", explain::HELP, move |request| {
            explain::answer(&explained.published.load(), request)
        });
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
        let in_force = self.published.load();
        let mut dump = in_force.snapshot.dump();
        if let Value::Object(dump) = &mut dump {
            dump.insert("version".to_owned(), self.published.version().into());
            dump.insert("objects".to_owned(), self.published.told().into());
            dump.insert("identity".to_owned(), in_force.own.identity.to_string().into());
            let identities = &self.identities;
            let certificates = ambit_identity::dump(&identities.certificates, &identities.bundle);
            dump.insert("certificates".to_owned(), certificates);
            dump.insert("routes".to_owned(), routes::yaml(&in_force).into());
        }
        json(format!("{dump:#}"))
    }
}
