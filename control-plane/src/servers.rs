//! The process's own endpoints: readiness, metrics, and the admin page.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::Method;
use ambit_runtime::http::{Routes, json};
use ambit_runtime::{Drain, admin, http, metrics, readiness, spawn};
use ambit_telemetry::{LevelControl, Metrics};
use anyhow::Context;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::app::Control;
use crate::config::ServerConfig;
use crate::world;

/// What the endpoints show.
pub(crate) struct Shown {
    /// The log level.
    pub(crate) level: LevelControl,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// The world.
    pub(crate) world: world::Outlet,
}

/// Binds all endpoints, then serves them: readiness and metrics to the very end, so that probes see why.
pub(crate) fn start(config: &ServerConfig, shown: Shown, control: &Control) -> anyhow::Result<()> {
    let page = admin::bind(config.admin)?;
    let Shown { level, metrics, world } = shown;
    let dump = admin::routes(level, control.stop.clone()).add(
        Method::GET,
        "/config_dump",
        "pods by node, and what is to be said about objects",
        move |_| json(format!("{:#}", dump(&world))),
    );
    listen("admin", page, dump, &control.drain);
    listen("readiness", bind(config.readiness)?, readiness::routes(control.readiness.clone()), &control.drain);
    listen("metrics", bind(config.metrics)?, metrics::routes(metrics), &control.drain);
    Ok(())
}

/// Listens on an address.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    http::bind(address).with_context(|| format!("cannot listen on {address}"))
}

fn listen(name: &'static str, listener: TcpListener, routes: Routes, drain: &Drain) {
    spawn(name, drain, http::serve(listener, Arc::new(routes), drain.cut_off().clone()));
}

fn dump(world: &world::Outlet) -> Value {
    json!({ "nodes": world.pods.dump(), "issues": world.findings.dump() })
}
