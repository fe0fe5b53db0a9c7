//! From the tree to the structs of `file.rs`, without stopping at the first mistake: whatever goes wrong below a
//! [`Field`](super::field::Field) is recorded with its place, and the field is marked as bad.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::field::{FIELD, Field};
use super::masking::quoted;
use super::problem::{Place, Problem, Span};
use super::suggest::did_you_mean;
use super::tree::{Entry, Kind, Node, NodeId, Tree};

/// Reads the whole tree as a `T`, and adds what is wrong to `problems`.
pub(crate) fn from_tree<'a, T>(tree: &'a Tree, problems: &mut Vec<Problem>) -> Field<T>
where
    T: Deserialize<'a> + Default,
{
    let Some(root) = tree.root else {
        return Field::Given(T::default(), Place::Whole);
    };
    let found = RefCell::new(std::mem::take(problems));
    let value = Field::deserialize(NodeDeserializer {
        tree,
        id: root,
        problems: &found,
    });
    *problems = found.into_inner();
    value.unwrap_or(Field::Bad)
}

#[derive(Clone, Copy)]
struct NodeDeserializer<'a> {
    tree: &'a Tree,
    id: NodeId,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> NodeDeserializer<'a> {
    fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    fn node(self) -> Result<&'a Node, Mismatch> {
        self.tree
            .node(self.id)
            .ok_or_else(|| Mismatch::custom("a value without a node"))
    }

    /// The text of a scalar that is written without quotes.
    fn word(self, expected: &str) -> Result<&'a str, Mismatch> {
        match &self.node()?.kind {
            Kind::Scalar { text, plain: true } if !self.node()?.is_null() => Ok(text),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn mismatch(self, expected: &str) -> Mismatch {
        let Ok(node) = self.node() else {
            return Mismatch(format!("expected {expected}"));
        };
        let found = match &node.kind {
            _ if node.is_null() => "nothing; a key that has a default can be left out".to_owned(),
            Kind::Scalar { text, plain: true } => quoted(text),
            Kind::Scalar { text, plain: false } => format!("the text {}", quoted(text)),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Refused => "something else".to_owned(),
        };
        Mismatch(format!("expected {expected}, found {found}"))
    }

    fn record(self, place: Place, message: String) {
        self.problems
            .borrow_mut()
            .push(Problem::new(place, message));
    }

    fn report_unknown_keys(self, entries: &[Entry], known: &[&str]) {
        for Entry { key, key_span, .. } in entries {
            if !known.contains(&key.as_str()) {
                let hint = plain_password(key, known)
                    .or_else(|| did_you_mean(key, known))
                    .unwrap_or_else(|| format!("; the keys here are: {}", known.join(", ")));
                self.record(
                    Place::Text(*key_span),
                    format!("unknown key {}{hint}", quoted(key)),
                );
            }
        }
    }
}

/// What to do instead of writing a password where `password_file` could stand.
fn plain_password(key: &str, known: &[&str]) -> Option<String> {
    let is_tried = PASSWORD_KEYS.contains(&key.to_ascii_lowercase().as_str());
    (is_tried && known.contains(&"password_file")).then(|| {
        "; a password does not stand in the config: `password_file` or `password_env` says where it is"
            .to_owned()
    })
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Mismatch> {
        Err(self.mismatch("a value of another type"))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let expected = "`true` or `false`";
        match self.word(expected)? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let expected = "a whole number that is not negative";
        let word = self.word(expected)?;
        if !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.mismatch(expected));
        }
        visitor.visit_u64(
            word.parse()
                .map_err(|_| self.mismatch("a smaller number"))?,
        )
    }

    /// Numbers and the like are texts too: whether `name: 7` or `prefix: true` makes sense is for the field to say.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node()?.kind {
            Kind::Scalar { text, .. } if !self.node()?.is_null() => visitor.visit_str(text),
            _ => Err(self.mismatch("a text")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node()?.kind {
            Kind::Sequence(items) => visitor.visit_seq(Items {
                list: self,
                rest: items.iter(),
            }),
            _ => Err(self.mismatch("a list")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match &self.node()?.kind {
            Kind::Mapping(entries) => {
                self.report_unknown_keys(entries, known);
                visitor.visit_map(Entries {
                    mapping: self,
                    known,
                    rest: entries.iter(),
                    value: None,
                })
            }
            _ => Err(self.mismatch(&format!(
                "a mapping with keys such as `{}`",
                known.join("`, `")
            ))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node()?.kind {
            Kind::Mapping(entries) => visitor.visit_map(Pairs {
                mapping: self,
                rest: entries.iter(),
                value: None,
            }),
            _ => Err(self.mismatch("a mapping")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if name != FIELD {
            return visitor.visit_newtype_struct(self);
        }
        let place = self.node()?.place();
        let Place::Text(span) = place else {
            return Err(Mismatch::custom("a value without its place"));
        };
        visitor.visit_seq(Parts {
            value: self,
            span,
            given: 0,
        })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str bytes byte_buf option unit unit_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

/// What a `Field` is made of: line, column, length, and the value if it is one.
struct Parts<'a> {
    value: NodeDeserializer<'a>,
    span: Span,
    given: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        self.given += 1;
        let number = match self.given {
            1 => self.span.line,
            2 => self.span.column,
            3 => self.span.length,
            _ => return Ok(self.value_or_record(seed)),
        };
        seed.deserialize(number.into_deserializer()).map(Some)
    }
}

impl Parts<'_> {
    fn value_or_record<'de, T: DeserializeSeed<'de>>(&self, seed: T) -> Option<T::Value> {
        let node = self.value.node().ok()?;
        if matches!(node.kind, Kind::Refused) {
            return None;
        }
        seed.deserialize(self.value)
            .map_err(|Mismatch(message)| self.value.record(node.place(), message))
            .ok()
    }
}

struct Items<'a> {
    list: NodeDeserializer<'a>,
    rest: std::slice::Iter<'a, NodeId>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        self.rest
            .next()
            .map(|&id| seed.deserialize(self.list.at(id)))
            .transpose()
    }
}

/// The entries of a mapping whose keys are known; the others have been reported.
struct Entries<'a> {
    mapping: NodeDeserializer<'a>,
    known: &'static [&'static str],
    rest: std::slice::Iter<'a, Entry>,
    value: Option<NodeId>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        let known = self.known;
        let Some(entry) = self.rest.find(|entry| known.contains(&entry.key.as_str())) else {
            return Ok(None);
        };
        self.value = Some(entry.value);
        let key: StrDeserializer<'_, Mismatch> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let id = self
            .value
            .take()
            .ok_or_else(|| Mismatch::custom("a value without its key"))?;
        seed.deserialize(self.mapping.at(id))
    }
}

/// The entries of a mapping whose keys are not known beforehand.
struct Pairs<'a> {
    mapping: NodeDeserializer<'a>,
    rest: std::slice::Iter<'a, Entry>,
    value: Option<NodeId>,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        let Some(entry) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(entry.value);
        seed.deserialize(Key(entry)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let id = self
            .value
            .take()
            .ok_or_else(|| Mismatch::custom("a value without its key"))?;
        seed.deserialize(self.mapping.at(id))
    }
}

/// A key as a `Field`.
struct Key<'a>(&'a Entry);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_str(&self.0.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_seq(KeyParts {
            entry: self.0,
            given: 0,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct KeyParts<'a> {
    entry: &'a Entry,
    given: usize,
}

impl<'de> SeqAccess<'de> for KeyParts<'_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        let Entry { key, key_span, .. } = self.entry;
        self.given += 1;
        let number = match self.given {
            1 => key_span.line,
            2 => key_span.column,
            3 => key_span.length,
            _ => {
                let key: StrDeserializer<'_, Mismatch> = key.as_str().into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        };
        seed.deserialize(number.into_deserializer()).map(Some)
    }
}

/// Keys of other programs' configs that hold a password.
const PASSWORD_KEYS: [&str; 5] = ["password", "passwd", "pass", "pwd", "secret"];

/// Why a value is not what its field needs; the field adds the place.
#[derive(Debug)]
struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
