//! Credentials for connections to applications, as Secrets and ConfigMaps hold them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::Credentials;

/// Where a credential is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialKey {
    /// In which of both.
    pub kind: CredentialKind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What holds credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A Secret.
    Secret,
    /// A ConfigMap: of authorities only.
    ConfigMap,
}

impl fmt::Display for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Texts of PEM. Which are there may be shown; what they say is shown to nobody.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// Our certificate, and those between it and its root.
    pub certificate: Option<Arc<str>>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// The authorities that are believed.
    pub roots: Option<Arc<str>>,
    /// What they have revoked.
    pub revoked: Option<Arc<str>>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, key, roots, revoked } = self;
        let all = [("certificate", certificate), ("key", key), ("roots", roots), ("revoked", revoked)];
        f.debug_set().entries(all.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| name)).finish()
    }
}

/// Why a credential cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CredentialError {
    /// It is not there, or was not delivered.
    #[error("{0} is not there, or may not be read")]
    Missing(CredentialKey),
    /// It does not hold what it should.
    #[error("{key} cannot be used: {entry} is not there, or not PEM of the kind it should be")]
    Unusable {
        /// Which.
        key: CredentialKey,
        /// What of it.
        entry: &'static str,
    },
}

/// The credentials that a waypoint has been given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given(pub BTreeMap<CredentialKey, Result<Arc<Credential>, CredentialError>>);

/// What stands behind the name of a Secret where its authorities are in another: as in the field.
const AUTHORITIES: &str = "-cacert";

impl Credentials {
    /// Where they are looked for, if not in files.
    #[must_use]
    pub fn keys(&self) -> Vec<CredentialKey> {
        match self {
            Self::Named { namespace, name } => {
                let names = [Arc::clone(name), format!("{name}{AUTHORITIES}").into()];
                let key = |name| CredentialKey { kind: CredentialKind::Secret, namespace: Arc::clone(namespace), name };
                names.map(key).into()
            }
            Self::Authorities(keys) => keys.clone(),
            Self::System | Self::Files { .. } | Self::Roots(_) => Vec::new(),
        }
    }
}

impl Given {
    /// What credentials come to; nothing where they are in none of these.
    ///
    /// # Errors
    /// If they cannot be used: then there is no connection.
    pub fn find(&self, credentials: &Credentials) -> Result<Option<Credential>, CredentialError> {
        let keys = credentials.keys();
        let find = |key: &CredentialKey| match self.0.get(key) {
            Some(found) => found.clone(),
            None => Err(CredentialError::Missing(key.clone())),
        };
        match (credentials, keys.as_slice()) {
            (Credentials::Named { .. }, [own, authorities]) => match (find(own), find(authorities)) {
                (own, Err(CredentialError::Missing(_))) => own.map(|own| Some((*own).clone())),
                (Err(CredentialError::Missing(_)), only) => only.map(|only| Some((*only).clone())),
                (own, authorities) => {
                    let (own, authorities) = (own?, authorities?);
                    Ok(Some(Credential { roots: authorities.roots.clone(), ..(*own).clone() }))
                }
            },
            (Credentials::Authorities(keys), _) => all_roots(keys.iter().map(find)).map(Some),
            (_, _) => Ok(None),
        }
    }
}

impl Given {
    /// Why credentials cannot be used, or not all of them.
    #[must_use]
    pub fn problems(&self, credentials: &Credentials) -> Vec<CredentialError> {
        let Credentials::Authorities(keys) = credentials else {
            return self.find(credentials).err().into_iter().collect();
        };
        let one = |key: &CredentialKey| self.find(&Credentials::Authorities(vec![key.clone()])).err();
        keys.iter().filter_map(one).collect()
    }
}

/// The authorities of all that can be used; what cannot counts where nothing else is left.
fn all_roots(
    found: impl Iterator<Item = Result<Arc<Credential>, CredentialError>>,
) -> Result<Credential, CredentialError> {
    let (mut roots, mut error) = (String::new(), None);
    for found in found {
        match found {
            Ok(credential) => {
                roots.extend(credential.roots.iter().flat_map(|text| [&**text, "\n"]));
            }
            Err(found) => error = error.or(Some(found)),
        }
    }
    match error {
        Some(error) if roots.is_empty() => Err(error),
        _ => Ok(Credential { roots: Some(roots.into()), ..Credential::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: CredentialKind, name: &str) -> CredentialKey {
        CredentialKey { kind, namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn credentials_are_found_or_it_is_said_why_not() {
        use CredentialKind::{ConfigMap, Secret};
        let text = || Some("hush".into());
        let own = Credential { certificate: text(), key: text(), ..Credential::default() };
        let with = |roots: &str| Credential { roots: Some(roots.into()), ..Credential::default() };
        let bad = key(Secret, "bad");
        let error = CredentialError::Unusable { key: bad.clone(), entry: "tls.crt" };
        let mut given = Given::default();
        for (key, found) in [
            (key(Secret, "own"), Ok(own.clone())),
            (key(Secret, "apart"), Ok(own.clone())),
            (key(Secret, "apart-cacert"), Ok(with("roots"))),
            (key(Secret, "only-cacert"), Ok(with("only"))),
            (bad, Err(error.clone())),
            (key(Secret, "bad-cacert"), Ok(with("roots"))),
            (key(ConfigMap, "a"), Ok(with("a"))),
            (key(ConfigMap, "b"), Ok(with("b"))),
        ] {
            given.0.insert(key, found.map(Arc::new));
        }
        let named = |name: &str| Credentials::Named { namespace: "shop".into(), name: name.into() };
        let authorities =
            |names: &[&str]| Credentials::Authorities(names.iter().map(|name| key(ConfigMap, name)).collect());
        let missing = |kind, name| Err(CredentialError::Missing(key(kind, name)));
        for (credentials, expected) in [
            (Credentials::System, Ok(None)),
            (named("own"), Ok(Some(own.clone()))),
            (named("apart"), Ok(Some(Credential { roots: Some("roots".into()), ..own }))),
            (named("only"), Ok(Some(with("only")))),
            (named("none"), missing(Secret, "none")),
            (named("bad"), Err(error)),
            (authorities(&["a", "b"]), Ok(Some(with("a\nb\n")))),
            (authorities(&["a", "none"]), Ok(Some(with("a\n")))),
            (authorities(&["none"]), missing(ConfigMap, "none")),
        ] {
            assert_eq!(given.find(&credentials), expected, "{credentials:?}");
        }
        assert!(!format!("{given:?}").contains("hush"), "{given:?}");
    }
}
