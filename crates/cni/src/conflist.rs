//! A network's list of plugins: puts ours into it, and takes it out again. Edits are cuts in the text,
//! so that everything of others, to the last space, stays what it was; what is put in and taken out
//! leaves the text of before.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::PLUGIN;

/// What a file in the runtime's folder of networks is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A list of plugins.
    List,
    /// One plugin.
    Single,
}

/// Why a text is not edited.
#[derive(Debug, thiserror::Error)]
pub enum ConflistError {
    /// It is not what its name says.
    #[error("not a network configuration")]
    Json(#[from] serde_json::Error),
    /// JSON, but a list of values where fields have names.
    #[error("not an object")]
    NoObject,
    /// A list of nothing, or of ours alone: there is no network to stand behind.
    #[error("no plugin in it makes a network")]
    Empty,
    /// A name is what runtimes and other plugins know a network by.
    #[error("it has no name")]
    NoName,
}

impl Kind {
    /// What the file is; none if no runtime reads it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match Path::new(name).extension()?.to_str()? {
            "conflist" => Some(Self::List),
            "conf" | "json" => Some(Self::Single),
            _ => None,
        }
    }
}

/// The plugin's entry.
#[must_use]
pub fn entry(socket: &Path, meshed_namespaces: &Path) -> String {
    serde_json::json!({ "type": PLUGIN, "socket": socket, "meshedNamespaces": meshed_namespaces }).to_string()
}

/// Puts `entry` at the end of a list. None if it is in it already: once, as it is now, and behind another
/// plugin. It need not be the last, or two who want to be would never come to rest.
///
/// # Errors
/// If the text is no list.
pub fn insert(list: &str, entry: &str) -> Result<Option<String>, ConflistError> {
    let chain = Chain::parse(list)?;
    let same = |text: &str| {
        let parsed = |text| serde_json::from_str::<Value>(text).ok();
        parsed(text).is_some_and(|value| Some(value) == parsed(entry))
    };
    let mut ours = chain.links.iter().enumerate().filter(|(_, link)| link.ours);
    if let (Some((1.., link)), None) = (ours.next(), ours.next())
        && list.get(link.at.clone()).is_some_and(same)
    {
        return Ok(None);
    }
    let foreign = remove(list)?.unwrap_or_else(|| list.to_owned());
    let chain = Chain::parse(&foreign)?;
    let last = chain.links.last().filter(|link| !link.ours).ok_or(ConflistError::Empty)?;
    let (before, after) = foreign.split_at_checked(last.at.end).ok_or(ConflistError::Empty)?;
    // As far from its neighbour as that one is from its own.
    let lead = foreign.get(..last.at.start).unwrap_or_default();
    let space = lead.get(lead.trim_end().len()..).unwrap_or_default();
    Ok(Some(format!("{before},{space}{entry}{after}")))
}

/// Takes the plugin out of a list. None if it is not in it.
///
/// # Errors
/// If the text is no list.
pub fn remove(list: &str) -> Result<Option<String>, ConflistError> {
    let mut text = list.to_owned();
    let mut removed = false;
    while let Some(cut) = Chain::parse(&text)?.cut() {
        text.replace_range(cut, "");
        removed = true;
    }
    Ok(removed.then_some(text))
}

/// How many plugins there are in a list.
///
/// # Errors
/// If the text is no list.
pub fn plugins(list: &str) -> Result<usize, ConflistError> {
    Ok(Chain::parse(list)?.links.len())
}

/// The list that runtimes make of a file of one plugin, with `entry` behind it.
///
/// # Errors
/// If the text is no plugin's configuration.
pub fn from_single(plugin: &str, entry: &str) -> Result<String, ConflistError> {
    /// A plugin that is a network by itself.
    #[derive(Deserialize)]
    struct Single {
        #[serde(rename = "cniVersion", default)]
        version: Option<String>,
        #[serde(default)]
        name: Option<String>,
        #[serde(rename = "type")]
        _kind: String,
    }
    let single: Single = object(plugin)?;
    let name = Value::from(single.name.filter(|name| !name.is_empty()).ok_or(ConflistError::NoName)?);
    let version = single.version.map(|version| format!("  \"cniVersion\": {},\n", Value::from(version)));
    let (version, plugin) = (version.unwrap_or_default(), plugin.trim());
    Ok(format!("{{\n{version}  \"name\": {name},\n  \"plugins\": [\n{plugin},\n{entry}\n  ]\n}}\n"))
}

/// Reads an object. serde takes an array of the values for one too, and no runtime does.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ConflistError> {
    if text.trim_start().starts_with('{') { Ok(serde_json::from_str(text)?) } else { Err(ConflistError::NoObject) }
}

/// Where the plugins of a list stand in its text.
struct Chain {
    links: Vec<Link>,
}

struct Link {
    at: Range<usize>,
    ours: bool,
}

impl Chain {
    fn parse(list: &str) -> Result<Self, ConflistError> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(borrow)]
            plugins: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Plugin {
            #[serde(rename = "type")]
            kind: String,
        }
        let parsed: List<'_> = object(list)?;
        let link = |raw: &&RawValue| {
            let plugin: Plugin = object(raw.get())?;
            // A raw value is a part of the text it was read from.
            let start = raw.get().as_ptr().addr() - list.as_ptr().addr();
            Ok(Link { at: start..start + raw.get().len(), ours: plugin.kind == PLUGIN })
        };
        let links: Vec<_> = parsed.plugins.iter().map(link).collect::<Result<_, ConflistError>>()?;
        if links.is_empty() { Err(ConflistError::Empty) } else { Ok(Self { links }) }
    }

    /// What to cut out so that the last one of ours is gone, with the comma that belongs to it.
    fn cut(&self) -> Option<Range<usize>> {
        let index = self.links.iter().rposition(|link| link.ours)?;
        let link = self.links.get(index)?;
        let before = index.checked_sub(1).and_then(|before| self.links.get(before));
        let after = self.links.get(index + 1);
        match (before, after) {
            (Some(before), _) => Some(before.at.end..link.at.end),
            (None, Some(after)) => Some(link.at.start..after.at.start),
            // A list of nothing would be no list.
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
