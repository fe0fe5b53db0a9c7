//! Edits of headers.

use std::collections::HashMap;

use super::super::{Resolver, first_at};
use super::texts;
use crate::config::field::{Field, Table};
use crate::config::file::HeaderEditsFile;
use crate::config::masking::quoted;
use crate::config::model::HeaderEditsConfig;
use crate::config::problem::Place;

impl Resolver<'_> {
    pub(super) fn header_edits(&mut self, written: &Field<HeaderEditsFile>) -> HeaderEditsConfig {
        let Some(HeaderEditsFile { set, add, remove }) = written.value() else {
            return HeaderEditsConfig::default();
        };
        let mut once = HashMap::new();
        HeaderEditsConfig {
            set: self.values(set, &mut once),
            add: self.values(add, &mut HashMap::new()),
            remove: self.names(remove, &mut once),
        }
    }

    /// Names and values, by name.
    fn values(
        &mut self,
        written: &Field<Table>,
        once: &mut HashMap<String, Place>,
    ) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for (name, value) in written.value().into_iter().flat_map(|table| &table.0) {
            let value = self.optional(value, texts::header_value);
            let Some((name, place)) = self.edited_name(name) else {
                continue;
            };
            self.is_new(&name, place, once);
            values.extend(value.map(|value| (name, value)));
        }
        values.sort();
        values
    }

    fn names(
        &mut self,
        written: &Field<Vec<Field<String>>>,
        once: &mut HashMap<String, Place>,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for name in written.value().into_iter().flatten() {
            if let Some((name, place)) = self.edited_name(name) {
                self.is_new(&name, place, once);
                names.push(name);
            }
        }
        names
    }

    fn edited_name(&mut self, written: &Field<String>) -> Option<(String, Place)> {
        let (text, place) = written.given()?;
        let name = self.read(text, place, texts::editable_header_name)?;
        Some((name, place))
    }

    fn is_new(&mut self, name: &str, place: Place, once: &mut HashMap<String, Place>) {
        match once.get(name) {
            Some(first) => self.problem(
                place,
                format!("{} stands here twice{}", quoted(name), first_at(*first)),
            ),
            None => {
                once.insert(name.to_owned(), place);
            }
        }
    }
}
