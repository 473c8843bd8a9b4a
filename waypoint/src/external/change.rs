//! Headers that an authorizer changes.

use ambit_l7::is_managed;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{AskError, WrittenHeader};

/// A header that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    name: HeaderName,
    value: HeaderValue,
    how: How,
}

/// How a header is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Append,
    AddIfAbsent,
    Overwrite,
    OverwriteIfPresent,
}

impl Change {
    pub(super) fn new(name: HeaderName, value: HeaderValue, how: How) -> Self {
        Self { name, value, how }
    }

    /// One value more.
    pub(crate) fn append(name: HeaderName, value: HeaderValue) -> Self {
        Self { name, value, how: How::Append }
    }

    /// One value more, as a service writes it; nothing for what is no header, or nobody's to change.
    pub(crate) fn written(header: &WrittenHeader) -> Option<Self> {
        Self::read(&header.key, header.bytes(), How::Append).ok().flatten()
    }

    /// Reads a change; `None` where the header is nobody's to change. What cannot be a header at all is an error: it
    /// may have been what the consent depends on.
    pub(super) fn read(name: &str, value: &[u8], how: How) -> Result<Option<Self>, AskError> {
        if name.starts_with(':') {
            return Ok(None);
        }
        let malformed = || AskError::Header(name.to_owned());
        let value = HeaderValue::from_bytes(value).map_err(|_| malformed())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        Ok((!is_managed(&name)).then_some(Self { name, value, how }))
    }

    /// Changes the header.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let is_there = headers.contains_key(&self.name);
        match self.how {
            How::Append => {
                headers.append(&self.name, self.value.clone());
            }
            How::AddIfAbsent if is_there => {}
            How::OverwriteIfPresent if !is_there => {}
            How::AddIfAbsent | How::Overwrite | How::OverwriteIfPresent => {
                headers.insert(&self.name, self.value.clone());
            }
        }
    }
}

/// Whether a header may be taken away from a request.
pub(super) fn is_removable(name: &HeaderName) -> bool {
    *name != HOST && !is_managed(name)
}
