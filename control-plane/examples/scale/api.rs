//! Writing to the API server, over connections that stay open.

use std::path::Path;

use anyhow::{Context, Result};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// The API server.
#[derive(Clone)]
pub(crate) struct Api(kube::Client);

impl Api {
    pub(crate) async fn connect(kubeconfig: &Path) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Self(kube::Client::try_from(config)?))
    }

    /// Creates an object in the collection at `path`.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, "application/json", object).await
    }

    /// Changes some fields of an object.
    pub(crate) async fn merge(&self, path: &str, fields: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, "application/merge-patch+json", fields).await
    }

    /// The object at `path`.
    pub(crate) async fn read(&self, path: &str) -> Result<Value> {
        Ok(self.0.request(Request::get(path).body(Vec::new())?).await?)
    }

    async fn send(&self, method: Method, path: &str, content: &str, body: &Value) -> Result<Value> {
        let request = Request::builder().method(method.clone()).uri(path).header("content-type", content);
        let answer = self.0.request(request.body(serde_json::to_vec(body)?)?).await;
        answer.with_context(|| format!("{method} {path}"))
    }
}
