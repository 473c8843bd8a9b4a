//! Under which version the API server has a kind, by its own word.

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::Client;

use crate::kinds::Watched;

/// Why nothing is known of a kind.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    /// The API server.
    #[error("cannot ask which versions of {group:?} there are")]
    Kubernetes {
        /// The group asked for.
        group: &'static str,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// It is there, and what it says is not for us to read: as good as not known.
    #[error("{plural} are there as {found} only, which cannot be read")]
    Unreadable {
        /// The kind.
        plural: &'static str,
        /// A version it is served as.
        found: String,
    },
    /// It was said not to be there, and now to be there. What was known of it stays.
    #[error("{plural} cannot be watched as {version}, and are said to be there as that")]
    Contradiction {
        /// The kind.
        plural: &'static str,
        /// The version that was not there.
        version: &'static str,
    },
}

/// The kind at the best version that the API server has and that can be read; nothing if it has the kind in no
/// version at all. To be asked when it says that it does not have `watched`.
pub(super) async fn served(client: &Client, watched: &Watched) -> Result<Option<Watched>, DiscoveryError> {
    let Watched { group, plural, version: missing, .. } = *watched;
    let unknown = |error: kube::Error| DiscoveryError::Kubernetes { group, source: Box::new(error) };
    if group.is_empty() {
        // There is no API server without these.
        return Err(DiscoveryError::Contradiction { plural, version: missing });
    }
    let Some(versions) = versions(client, group).await.map_err(unknown)? else { return Ok(None) };
    for &version in watched.versions.iter().filter(|readable| versions.iter().any(|it| it == *readable)) {
        if has(client, watched, version).await.map_err(unknown)? {
            let found = Watched { version, ..*watched };
            let again = || DiscoveryError::Contradiction { plural, version };
            return if version == missing { Err(again()) } else { Ok(Some(found)) };
        }
    }
    for found in versions.into_iter().filter(|version| !watched.versions.contains(&version.as_str())) {
        if has(client, watched, &found).await.map_err(unknown)? {
            return Err(DiscoveryError::Unreadable { plural, found });
        }
    }
    Ok(None)
}

/// Whether the API server says that it has the kind no more by that version. To be asked when a watch fails: to one
/// that goes on from what it saw, the API server answers with words that no client reads as an answer.
pub(super) async fn is_gone(client: &Client, watched: &Watched) -> bool {
    !watched.group.is_empty() && matches!(has(client, watched, watched.version).await, Ok(false))
}

/// The versions of a group; nothing if there is no such group.
async fn versions(client: &Client, group: &str) -> Result<Option<Vec<String>>, kube::Error> {
    let request = Request::get(format!("/apis/{group}")).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let group = present(client.request::<APIGroup>(request).await)?;
    Ok(group.map(|group| group.versions.into_iter().map(|it| it.version).collect()))
}

/// Whether a version of the kind's group has the kind.
async fn has(client: &Client, watched: &Watched, version: &str) -> Result<bool, kube::Error> {
    let resources = client.list_api_group_resources(&format!("{}/{version}", watched.group)).await;
    Ok(present(resources)?.is_some_and(|list| list.resources.iter().any(|it| it.name == watched.plural)))
}

fn present<T>(answer: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use ambit_resources::Kind;
    use futures::FutureExt;
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_api;

    const GROUP: &str = "/apis/security.istio.io";

    /// An API server with these versions of the group, each with the kinds it has.
    fn api(versions: &'static [(&'static str, &'static [&'static str])], broken: Option<&'static str>) -> Client {
        fake_api::client(move |asked| {
            let answer = match asked.path.strip_prefix(GROUP) {
                _ if broken == Some(asked.path.as_str()) => Err((StatusCode::FORBIDDEN, "no")),
                Some("") if !versions.is_empty() => {
                    let version = |(name, _): &(&str, _)| json!({ "version": name, "groupVersion": name });
                    let versions: Vec<Value> = versions.iter().map(version).collect();
                    Ok(json!({ "name": "security.istio.io", "versions": versions }))
                }
                Some(path) => versions
                    .iter()
                    .find(|(name, _)| path == format!("/{name}"))
                    .map(|(name, plurals)| {
                        let resource = |name: &&str| json!({ "name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": [] });
                        let resources: Vec<Value> = plurals.iter().map(resource).collect();
                        json!({ "groupVersion": name, "resources": resources })
                    })
                    .ok_or((StatusCode::NOT_FOUND, "NotFound")),
                None => Err((StatusCode::NOT_FOUND, "NotFound")),
            };
            async move { answer }.boxed()
        })
    }

    #[tokio::test]
    async fn a_kind_is_looked_for_in_every_version_before_it_counts_as_none() {
        const KIND: &[&str] = &["authorizationpolicies", "peerauthentications", "peerauthentications/status"];
        const OTHER: &[&str] = &["authorizationpolicies"];
        let wanted = Watched::of(Kind::PeerAuthentication).unwrap();
        let text = |found: Result<Option<Watched>, DiscoveryError>| match found {
            Ok(Some(found)) => found.version.to_owned(),
            Ok(None) => "none".to_owned(),
            Err(DiscoveryError::Kubernetes { .. }) => "unknown".to_owned(),
            Err(DiscoveryError::Unreadable { found, .. }) => format!("unreadable {found}"),
            Err(DiscoveryError::Contradiction { version, .. }) => format!("again {version}"),
        };
        for (versions, broken, expected) in [
            (&[][..], None, "none"),
            (&[("v1beta1", KIND)], None, "v1beta1"),
            (&[("v1beta1", OTHER)], None, "none"),
            (&[("v1", OTHER), ("v1beta1", KIND)], None, "v1beta1"),
            (&[("v1beta1", KIND), ("v1", KIND)], None, "again v1"),
            (&[("v2", KIND)], None, "unreadable v2"),
            (&[("v2", OTHER)], None, "none"),
            (&[("v1beta1", KIND)], Some(GROUP), "unknown"),
            (&[("v1beta1", KIND)], Some("/apis/security.istio.io/v1beta1"), "unknown"),
        ] {
            let api = api(versions, broken);
            let found = served(&api, wanted).await;
            assert_eq!(text(found), expected, "{versions:?} {broken:?}");
            assert_eq!(is_gone(&api, wanted).await, expected != "again v1", "{versions:?} {broken:?}");
        }
        let old = Watched { version: "v1beta1", ..*wanted };
        let found = served(&api(&[("v1", KIND)], None), &old).await;
        assert_eq!(text(found), "v1", "a definition that was renewed");
        let core = served(&api(&[], None), Watched::of(Kind::Pod).unwrap()).await;
        assert_eq!(text(core), "again v1");
    }
}
