//! Requests and clients that tests own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ambit_model::Identity;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{
    ClientView, ConnectionView, Fault, Forward, HeaderChanges, HttpAction, HttpMatch, HttpRule, Origin, RequestView,
    Rewrite,
};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) destination: IpAddr,
    pub(crate) port: u16,
    pub(crate) server_name: Option<String>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            method: Method::GET,
            scheme: "http".into(),
            authority: "reviews".into(),
            path: "/".into(),
            query: None,
            headers: HeaderMap::new(),
            destination: Ipv4Addr::new(10, 96, 0, 1).into(),
            port: 80,
            server_name: None,
        }
    }
}

impl Asked {
    pub(crate) fn of_path(path: &str) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// The same with one header more.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: &self.scheme,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            connection: self.connection(),
        }
    }

    pub(crate) fn connection(&self) -> ConnectionView<'_> {
        ConnectionView { destination_ip: self.destination, port: self.port, server_name: self.server_name.as_deref() }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) identity: Option<Identity>,
    pub(crate) ip: IpAddr,
    pub(crate) remote_ip: IpAddr,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
}

impl Default for Client {
    fn default() -> Self {
        let ip = Ipv4Addr::new(10, 1, 0, 7).into();
        let labels = [("app".into(), "cart".into())].into();
        Self { identity: Some(Identity::new("td", "shop", "cart")), ip, remote_ip: ip, labels }
    }
}

impl Client {
    pub(crate) fn view(&self) -> ClientView<'_> {
        ClientView {
            identity: self.identity.as_ref(),
            ip: self.ip,
            remote_ip: self.remote_ip,
            labels: &self.labels,
            namespace: self.identity.as_ref().map(Identity::namespace),
        }
    }
}

/// A rule with these matches.
pub(crate) fn rule(name: &str, matches: Vec<HttpMatch>) -> Arc<HttpRule> {
    Arc::new(HttpRule {
        origin: origin(name),
        matches,
        action: HttpAction::Forward(Forward {
            backends: Vec::new(),
            rewrite: Rewrite::default(),
            rewrite_to_backend: false,
        }),
        timeout: None,
        retry: None,
        fault: Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    })
}

/// A place of that name.
pub(crate) fn origin(name: &str) -> Origin {
    Origin { object: "VirtualService shop/reviews".into(), field: "spec".into(), name: name.into() }
}
