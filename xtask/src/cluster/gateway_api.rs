//! The kinds of the Gateway API, as the release of the conformance suite defines them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{command, go, workspace};

/// The folder with the definitions of the standard channel; fetched if need be.
pub(super) fn definitions() -> Result<PathBuf> {
    let mut list = go::command("list", "")?;
    list.args(["-f", "{{.Module.Dir}}", "sigs.k8s.io/gateway-api/apis/v1"]);
    let module = command::output(list.current_dir(workspace::root().join("tests/conformance")))?;
    Ok(Path::new(&module).join("config/crd/standard"))
}
