//! A namespace of a test's own.

use anyhow::Result;

use super::{Pod, apply, kubectl};

/// The label that puts a namespace, or one pod, into the mesh.
const LABEL: &str = "istio.io/dataplane-mode";

/// A namespace; deleted when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// One that is not in the mesh.
    ///
    /// # Errors
    /// Fails when an earlier one of that name does not go away, or a new one cannot be made.
    pub fn plain(name: &str) -> Result<Self> {
        // Left by a run that was killed.
        kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait=true"])?;
        kubectl(&["create", "namespace", name])?;
        Ok(Self { name: name.to_owned() })
    }

    /// One in the mesh from its beginning.
    ///
    /// # Errors
    /// As [`Namespace::plain`].
    pub fn meshed(name: &str) -> Result<Self> {
        let namespace = Self::plain(name)?;
        namespace.enrol()?;
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts it into the mesh.
    ///
    /// # Errors
    /// Fails when kubectl does.
    pub fn enrol(&self) -> Result<()> {
        kubectl(&["label", "--overwrite", "namespace", &self.name, &format!("{LABEL}=ambient")]).map(drop)
    }

    /// Takes it out of the mesh.
    ///
    /// # Errors
    /// Fails when kubectl does.
    pub fn release(&self) -> Result<()> {
        kubectl(&["label", "namespace", &self.name, &format!("{LABEL}-")]).map(drop)
    }

    /// Creates or changes objects in it.
    ///
    /// # Errors
    /// Fails when one is refused.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        apply(&self.name, manifest)
    }

    /// kubectl, with this namespace as its own.
    ///
    /// # Errors
    /// Fails when kubectl does.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// A pod in it, there or not.
    #[must_use]
    pub fn pod(&self, name: &str) -> Pod {
        Pod::named(&self.name, name)
    }

    /// Creates objects and waits until all pods are ready; gives the pods named.
    ///
    /// # Errors
    /// Fails when an object is refused or a pod does not get ready.
    pub fn start<const N: usize>(&self, manifests: &[String], pods: [&str; N]) -> Result<[Pod; N]> {
        self.apply(&manifests.join("---\n"))?;
        self.all_ready()?;
        Ok(pods.map(|name| self.pod(name)))
    }

    /// Waits until every pod in it is ready.
    ///
    /// # Errors
    /// Fails when one is not in time.
    pub fn all_ready(&self) -> Result<()> {
        let ready = self.kubectl(&["wait", "pod", "--all", "--for=condition=Ready", "--timeout=90s"]);
        ready.map_err(|error| error.context(self.kubectl(&["describe", "pods"]).unwrap_or_default())).map(drop)
    }

    /// The names of the pods with a label.
    ///
    /// # Errors
    /// Fails when kubectl does.
    pub fn pods(&self, label: &str) -> Result<Vec<Pod>> {
        let names = self.kubectl(&["get", "pods", "--selector", label, "--output=name"])?;
        Ok(names.lines().filter_map(|line| line.strip_prefix("pod/")).map(|name| self.pod(name)).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failed test's namespace goes too: what it was about is in its message.
        self.kubectl(&["delete", "pods", "--all", "--wait=false", "--grace-period=0", "--force"]).ok();
        kubectl(&["delete", "namespace", &self.name, "--wait=false"]).ok();
    }
}
