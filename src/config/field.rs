//! A value as written, or the knowledge that there is none or none of use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::problem::{Place, Span};

/// One value of the configuration, with its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Field<T> {
    /// Not written.
    #[default]
    Absent,
    /// Written, but not usable; that has been reported.
    Bad,
    Given(T, Place),
}

impl<T> Field<T> {
    pub(crate) fn given(&self) -> Option<(&T, Place)> {
        match self {
            Self::Given(value, place) => Some((value, *place)),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.given().map(|(_, place)| place)
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|(value, _)| value)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Name of the newtype by which a `Field` makes itself known to the deserializer, which then gives it
/// line, column, length and the value, or no value after it has recorded what was wrong.
pub(crate) const FIELD: &str = "$narrows::Field";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, FieldVisitor(PhantomData))
    }
}

/// A mapping whose keys are not known beforehand, in the order in which it is written.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table(pub(crate) Vec<(Field<String>, Field<String>)>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Table, A::Error> {
        let mut table = Table::default();
        while let Some(entry) = entries.next_entry()? {
            table.0.push(entry);
        }
        Ok(table)
    }
}

impl JsonSchema for Table {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Table".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, String>::json_schema(generator)
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
        let mut number = || {
            parts
                .next_element()?
                .ok_or_else(|| A::Error::custom("a value without its place"))
        };
        let span = Span {
            line: number()?,
            column: number()?,
            length: number()?,
        };
        Ok(match parts.next_element()? {
            Some(value) => Field::Given(value, Place::Text(span)),
            None => Field::Bad,
        })
    }
}

/// The place is no part of the format.
impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
