//! The operator's way in: on the loopback address, and only for programs of this host.

use std::io;
use std::net::SocketAddr;

use ::http::request::Parts;
use ::http::{Method, StatusCode};
use ambit_telemetry::LevelControl;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{Reply, Routes, query, text};

/// Why there is no admin page.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It would be open to others.
    #[error("the admin page may only listen on a loopback address, and {0} is none")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Listens for the admin page; not where others could reach it, since it needs no password.
///
/// # Errors
/// If the address is no loopback address, or cannot be had.
pub fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    if !address.ip().to_canonical().is_loopback() {
        return Err(AdminError::NotLoopback(address));
    }
    crate::http::bind(address).map_err(|source| AdminError::Bind { address, source })
}

/// The page itself; add what else there is to show. A POST to `/quitquitquit` cancels `stop`.
#[must_use]
pub fn routes(level: LevelControl, stop: CancellationToken) -> Routes {
    let shown = level.clone();
    Routes::local()
        .add(Method::GET, "/logging", "the log level", move |_| show_level(&shown))
        .add(Method::POST, "/logging", "?level=info,ambit_hbone=debug sets it", move |request| {
            set_level(&level, request)
        })
        .add(Method::POST, "/quitquitquit", "drains and stops the process", move |_| {
            stop.cancel();
            text(StatusCode::OK, "stopping\n")
        })
}

fn show_level(level: &LevelControl) -> Reply {
    match level.show() {
        Ok(filter) => text(StatusCode::OK, format!("{filter}\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn set_level(level: &LevelControl, request: &Parts) -> Reply {
    let Some(filter) = query(request, "level") else {
        return text(StatusCode::BAD_REQUEST, "say ?level=...\n");
    };
    match level.set(&filter) {
        Ok(()) => show_level(level),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
