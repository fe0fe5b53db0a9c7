//! The fields of a reply.

use crate::Malformed;
use crate::limits::{CODE_NAME_BYTES, NAMESPACE_BYTES};
use crate::mongo::capture::{Captures, Slot};
use crate::mongo::header::Opcode;
use crate::mongo::labels::{Action, Element, Head, Kind, Labels, Part, Scalar};
use crate::mongo::message::ErrorLabels;

/// Longest error label that is looked at, in bytes; the longest known one has 30.
const ERROR_LABEL_BYTES: u16 = 40;

/// What has been read of a reply.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) more_to_come: bool,
    pub(super) cursor_not_found: bool,
    pub(super) query_failure: bool,
    pub(super) ok: Option<bool>,
    pub(super) labels: ErrorLabels,
    pub(super) code: Option<i32>,
    pub(super) documents: Option<u32>,
    pub(super) write_errors: u32,
    pub(super) first_write_error: Option<i32>,
    pub(super) write_concern_error: Option<i32>,
    pub(super) cursors_killed: Option<u32>,
    pub(super) cursor_id: Option<i64>,
    pub(super) n: Option<i64>,
    pub(super) n_modified: Option<i64>,
}

/// What a document of a reply is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Reply,
    Cursor,
    /// `firstBatch` or `nextBatch`.
    Batch,
    CursorsKilled,
    ErrorLabels,
    WriteErrors,
    FirstWriteError,
    WriteConcernError,
}

/// A field with a number or a boolean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Ok,
    Code,
    N,
    NModified,
    CursorId,
    FirstWriteError,
    WriteConcernError,
}

type Next = Action<Role, Field>;

impl Fields {
    fn top(&mut self, name: &[u8], kind: Kind) -> Next {
        match name {
            b"ok" => Action::Scalar(Field::Ok),
            b"cursor" => Action::Descend(Role::Cursor),
            b"n" => Action::Scalar(Field::N),
            b"nModified" => Action::Scalar(Field::NModified),
            b"code" => Action::Scalar(Field::Code),
            b"codeName" => Action::Text(Slot::CodeName, CODE_NAME_BYTES),
            b"errorLabels" => Action::Descend(Role::ErrorLabels),
            b"writeErrors" => Action::Descend(Role::WriteErrors),
            b"writeConcernError" => Action::Descend(Role::WriteConcernError),
            b"cursorsKilled" if kind == Kind::Array => {
                self.cursors_killed.get_or_insert(0);
                Action::Descend(Role::CursorsKilled)
            }
            _ => Action::Skip,
        }
    }

    fn cursor(&mut self, name: &[u8], kind: Kind) -> Next {
        match name {
            b"id" => Action::Scalar(Field::CursorId),
            b"ns" => Action::Text(Slot::Namespace, NAMESPACE_BYTES),
            b"firstBatch" | b"nextBatch" if kind == Kind::Array => {
                self.documents.get_or_insert(0);
                Action::Descend(Role::Batch)
            }
            _ => Action::Skip,
        }
    }
}

impl Labels for Fields {
    type Role = Role;
    type Field = Field;

    const BODY: Role = Role::Reply;

    fn layout(&mut self, opcode: Opcode) -> &'static [Part] {
        match opcode {
            Opcode::Reply => &[
                Part::Int32(Head::Flags),
                Part::Int64(Head::CursorId),
                Part::Skip(4),
                Part::Int32(Head::Documents),
                Part::Document,
            ],
            _ => &[],
        }
    }

    fn trace_role(&self) -> Option<Role> {
        None
    }

    /// The reply to a command is one document; several are the result of a query, which say nothing here.
    fn legacy_role(&self) -> Option<Role> {
        (self.documents == Some(1)).then_some(Role::Reply)
    }

    fn message_flags(
        &mut self,
        more_to_come: bool,
        _exhaust_allowed: bool,
        _checksum_present: bool,
    ) {
        self.more_to_come = more_to_come;
    }

    fn head(&mut self, head: Head, value: i64, left: u32) -> Result<(), Malformed> {
        match head {
            // OP_REPLY: 0 CursorNotFound, 1 QueryFailure
            Head::Flags => {
                self.cursor_not_found = value & 1 << 0 != 0;
                self.query_failure = value & 1 << 1 != 0;
            }
            Head::CursorId => self.cursor_id = Some(value),
            Head::Documents => {
                let fits = |count: &u32| count.checked_mul(5).is_some_and(|least| least <= left);
                self.documents = Some(
                    u32::try_from(value)
                        .ok()
                        .filter(fits)
                        .ok_or(Malformed::Count)?,
                );
            }
            Head::BatchSize | Head::Cursors => {}
        }
        Ok(())
    }

    fn sequence(&mut self, _name: &[u8]) -> bool {
        false
    }

    fn sequence_document(&mut self) {}

    #[inline]
    fn element(&mut self, element: Element<'_, Role>, _captures: &mut Captures) -> Next {
        let name = element.name.text;
        match element.role {
            Role::Reply => self.top(name, element.kind),
            Role::Cursor => self.cursor(name, element.kind),
            Role::Batch => {
                self.documents = self.documents.map(|count| count + 1);
                Action::Skip
            }
            Role::CursorsKilled => {
                self.cursors_killed = self.cursors_killed.map(|count| count + 1);
                Action::Skip
            }
            Role::ErrorLabels => Action::Text(Slot::ErrorLabel, ERROR_LABEL_BYTES),
            Role::WriteErrors => {
                self.write_errors += 1;
                if element.first {
                    Action::Descend(Role::FirstWriteError)
                } else {
                    Action::Skip
                }
            }
            Role::FirstWriteError if name == b"code" => Action::Scalar(Field::FirstWriteError),
            Role::WriteConcernError if name == b"code" => Action::Scalar(Field::WriteConcernError),
            _ => Action::Skip,
        }
    }

    fn scalar(&mut self, field: Field, value: Scalar) {
        match field {
            Field::Ok => self.ok = Some(value.truthy()),
            Field::Code => self.code = Some(value.int32()),
            Field::N => self.n = Some(value.int()),
            Field::NModified => self.n_modified = Some(value.int()),
            Field::CursorId => self.cursor_id = Some(value.int()),
            Field::FirstWriteError => self.first_write_error = Some(value.int32()),
            Field::WriteConcernError => self.write_concern_error = Some(value.int32()),
        }
    }

    fn uuid(&mut self, _bytes: [u8; 16]) {}

    fn captured(&mut self, slot: Slot, captures: &mut Captures, piece: &[u8]) {
        if slot == Slot::ErrorLabel {
            self.labels
                .insert(captures.text(slot, piece).unwrap_or_default());
            captures.release(slot);
        }
    }
}
