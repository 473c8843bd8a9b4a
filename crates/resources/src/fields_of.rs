//! The fields a type has at some place: asked of its own reader, so that there is no second list of them.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::field_path::Segment;

/// The names of the fields at a place.
pub(crate) type FieldsOf = fn(&[Segment]) -> &'static [&'static str];

/// The names of the fields that a type, or what is in it at the end of a path, has.
pub(crate) fn fields_of<T: DeserializeOwned>(path: &[Segment]) -> &'static [&'static str] {
    match T::deserialize(Probe { path }) {
        Ok(_) => &[],
        Err(Found(fields)) => fields,
    }
}

/// Leads a type's reader along a path, to where it says which fields it would take.
struct Probe<'a> {
    path: &'a [Segment],
}

/// What it says: an error, since then it reads no further.
#[derive(Debug)]
struct Found(&'static [&'static str]);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.join(", ").fmt(f)
    }
}

impl std::error::Error for Found {}

impl Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(&[]))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_seq(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Found> {
        if self.path.is_empty() { Err(Found(fields)) } else { visitor.visit_map(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Probe<'_> {
    type Error = Found;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Found> {
        match self.path {
            [Segment::Index(_), path @ ..] => seed.deserialize(Probe { path }).map(Some),
            _ => Err(Found(&[])),
        }
    }
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = Found;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Found> {
        match self.path {
            [Segment::Field(name), path @ ..] => {
                self.path = path;
                let name: StrDeserializer<'_, Found> = name.as_str().into_deserializer();
                seed.deserialize(name).map(Some)
            }
            _ => Err(Found(&[])),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Found> {
        seed.deserialize(Probe { path: self.path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthorizationPolicy, FieldPath, PeerAuthentication, Pod};

    #[test]
    fn a_type_is_asked_for_its_fields() {
        let rule = FieldPath::of("spec.rules").index(7);
        let ports = FieldPath::of("spec.portLevelMtls.8080");
        for (found, expected) in [
            (fields_of::<AuthorizationPolicy>(&[]), &["metadata", "spec"][..]),
            (fields_of::<AuthorizationPolicy>(rule.segments()), &["from", "to", "when"]),
            (fields_of::<AuthorizationPolicy>(FieldPath::of("spec.provider").segments()), &["name"]),
            (fields_of::<AuthorizationPolicy>(FieldPath::of("spec.rules").segments()), &[]),
            (fields_of::<AuthorizationPolicy>(FieldPath::of("spec.nothing.at.all").segments()), &[]),
            (fields_of::<AuthorizationPolicy>(FieldPath::of("spec.action").segments()), &[]),
            (fields_of::<PeerAuthentication>(ports.segments()), &["mode"]),
            (fields_of::<Pod>(FieldPath::of("metadata.labels").segments()), &[]),
        ] {
            assert_eq!(found, expected);
        }
    }
}
