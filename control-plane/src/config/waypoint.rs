//! Settings of the waypoints that are deployed.

use clap::Args;
use serde_json::Value;

use super::Problem;
use crate::waypoints::deploy::Settings;

/// The port of the control plane's services for nodes and waypoints, as its Service has it.
const CONTROL_PLANE_PORT: u16 = 15012;

/// Settings of the waypoints that are deployed.
#[derive(Debug, Args)]
pub(crate) struct WaypointArgs {
    /// Image of the waypoints that are deployed for Gateways [default: none are]
    #[arg(long, env = "AMBIT_WAYPOINT_IMAGE", value_name = "IMAGE")]
    pub(crate) waypoint_image: Option<String>,

    /// When the kubelet pulls that image.
    #[arg(long, env = "AMBIT_WAYPOINT_PULL_POLICY", value_name = "POLICY", default_value = "IfNotPresent")]
    pub(crate) waypoint_pull_policy: String,

    /// Name of a Secret to pull it with, in the waypoint's namespace; may be given several times.
    #[arg(long, env = "AMBIT_WAYPOINT_PULL_SECRETS", value_name = "NAME", value_delimiter = ',')]
    pub(crate) waypoint_pull_secret: Vec<String>,

    /// Requests and limits of a waypoint's container, as JSON.
    #[arg(long, env = "AMBIT_WAYPOINT_RESOURCES", value_name = "JSON", default_value = "{}")]
    pub(crate) waypoint_resources: String,

    /// Fewest pods of a waypoint.
    #[arg(long, env = "AMBIT_WAYPOINT_REPLICAS", value_name = "N", default_value_t = 1)]
    pub(crate) waypoint_replicas: u32,

    /// Most pods of a waypoint, when they have much to do.
    #[arg(long, env = "AMBIT_WAYPOINT_MAX_REPLICAS", value_name = "N", default_value_t = 5)]
    pub(crate) waypoint_max_replicas: u32,
}

/// What waypoints are told, if any are deployed.
///
/// # Errors
/// If the resources are not an object.
pub(super) fn settings(args: &super::Args) -> Result<Option<Settings>, Problem> {
    let of = &args.waypoint;
    let resources: Value = match serde_json::from_str(&of.waypoint_resources) {
        Ok(resources @ Value::Object(_)) => resources,
        _ => return Err(Problem::Resources(of.waypoint_resources.clone())),
    };
    let Some(image) = of.waypoint_image.clone().filter(|image| !image.is_empty()) else { return Ok(None) };
    let name = format!("{}.{}.svc", args.service, args.namespace);
    let form = match args.log_format {
        super::Form::Text => "text",
        super::Form::Json => "json",
    };
    Ok(Some(Settings {
        image,
        pull_policy: of.waypoint_pull_policy.clone(),
        pull_secrets: of.waypoint_pull_secret.iter().filter(|name| !name.is_empty()).cloned().collect(),
        resources,
        replicas: (of.waypoint_replicas, of.waypoint_max_replicas),
        control_plane: format!("{name}:{CONTROL_PLANE_PORT}"),
        control_plane_name: name,
        arguments: vec![
            format!("--trust-domain={}", args.trust_domain),
            format!("--cluster={}", args.cluster),
            format!("--root-namespace={}", args.root_namespace),
            format!("--certificate-lifetime-seconds={}", args.certificate_lifetime_seconds),
            format!("--log-format={form}"),
        ],
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn waypoints_are_deployed_where_they_have_an_image() {
        let read = |more: &[&str]| {
            let args = super::super::Args::parse_from([&["ambitd"], more].concat());
            settings(&args).map(|settings| settings.map(|it| (it.image, it.resources)))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["--waypoint-image="]), Ok(None));
        let (image, resources) = ("--waypoint-image=w:1", r#"--waypoint-resources={"limits":{"cpu":"1"}}"#);
        let expected = serde_json::json!({ "limits": { "cpu": "1" } });
        assert_eq!(read(&[image, resources]), Ok(Some(("w:1".to_owned(), expected))));
        for wrong in ["[]", "cpu", ""] {
            let resources = format!("--waypoint-resources={wrong}");
            assert_eq!(read(&[image, &resources]), Err(Problem::Resources(wrong.to_owned())));
        }
    }
}
