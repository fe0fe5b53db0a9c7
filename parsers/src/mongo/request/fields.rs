//! The fields of a request.

use super::TRACE_PARENT_CAPTURE;
use crate::Malformed;
use crate::limits::{
    APPLICATION_BYTES, COMMENT_BYTES, DRIVER_BYTES, MODE_BYTES, NAME_BYTES, NAMESPACE_BYTES,
};
use crate::mongo::capture::{Captures, Slot};
use crate::mongo::command::{Command, classify, is_sensitive};
use crate::mongo::header::Opcode;
use crate::mongo::labels::{Action, Element, Head, Kind, Labels, Part, Scalar};
use crate::mongo::message::QueryClass;

/// What has been read of a request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    command: Command,
    is_legacy_query: bool,
    /// An `OP_QUERY` on a `$cmd` collection.
    pub(super) is_legacy_command: bool,
    pub(super) more_to_come: bool,
    pub(super) exhaust_allowed: bool,
    pub(super) checksum_present: bool,
    pub(super) sensitive: bool,
    pub(super) awaitable: bool,
    pub(super) load_balanced: bool,
    pub(super) start_transaction: bool,
    pub(super) tailable: bool,
    pub(super) await_data: bool,
    pub(super) no_cursor_timeout: bool,
    pub(super) change_stream: bool,
    pub(super) has_filter: bool,
    pub(super) id: Option<QueryClass>,
    pub(super) autocommit: Option<bool>,
    pub(super) documents: u32,
    pub(super) lsid: Option<[u8; 16]>,
    pub(super) txn_number: Option<i64>,
    pub(super) cursor_id: Option<i64>,
    pub(super) batch_size: Option<i64>,
    pub(super) max_time_ms: Option<i64>,
}

/// What a document of a request is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// The command itself.
    Command,
    /// The document of an `OP_QUERY` on a `$cmd` collection: a command, or one wrapped in `$query`.
    LegacyCommand,
    /// The document of another `OP_QUERY`: a filter, or one wrapped in `$query`.
    LegacyQuery,
    Session,
    ReadPreference,
    Comment,
    Filter,
    /// The value of `_id` in a filter.
    Id,
    Pipeline,
    FirstStage,
    /// The first stage is a `$match`.
    Match,
    CursorOptions,
    Explained,
    Client,
    Application,
    Driver,
    /// An array whose elements are counted.
    Counted,
    /// A section of kind 3.
    Trace,
    Otel,
}

/// A field with a number or a boolean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    TxnNumber,
    StartTransaction,
    Autocommit,
    CursorId,
    BatchSize,
    MaxTimeMs,
    Tailable,
    AwaitData,
    NoCursorTimeout,
    LoadBalanced,
}

type Next = Action<Role, Field>;

impl Fields {
    pub(super) fn is_hello(&self) -> bool {
        self.command == Command::Hello
    }

    /// The first element of a command names it.
    fn command(&mut self, element: Element<'_, Role>, captures: &mut Captures) -> Next {
        let name = element.name.text;
        let (command, names_collection) = classify(name);
        captures.set(Slot::Command, element.name, NAME_BYTES);
        self.command = command;
        self.sensitive |= is_sensitive(name);
        // A find without a filter asks for everything.
        self.has_filter = command == Command::Find;
        match command {
            Command::GetMore => Action::Scalar(Field::CursorId),
            Command::Explain => Action::Descend(Role::Explained),
            _ if names_collection => Action::Text(Slot::Collection, NAMESPACE_BYTES),
            _ => Action::Skip,
        }
    }

    /// A field of a command.
    fn option(&mut self, element: Element<'_, Role>) -> Next {
        let command = self.command;
        match element.name.text {
            b"$db" => Action::Text(Slot::Database, NAMESPACE_BYTES),
            b"lsid" => Action::Descend(Role::Session),
            b"comment" => comment(element.kind, Slot::Comment),
            b"$comment" => comment(element.kind, Slot::FilterComment),
            b"maxTimeMS" | b"$maxTimeMS" => Action::Scalar(Field::MaxTimeMs),
            b"txnNumber" => Action::Scalar(Field::TxnNumber),
            b"autocommit" => Action::Scalar(Field::Autocommit),
            b"startTransaction" => Action::Scalar(Field::StartTransaction),
            b"$readPreference" => Action::Descend(Role::ReadPreference),
            _ => match command {
                Command::Other | Command::Explain => Action::Skip,
                Command::Hello => self.hello_option(element.name.text),
                _ => self.operation_option(element.name.text, element.kind),
            },
        }
    }

    fn operation_option(&mut self, name: &[u8], kind: Kind) -> Next {
        match (self.command, name) {
            (Command::Find, b"filter") | (Command::Query, b"query") if kind == Kind::Document => {
                self.has_filter = true;
                Action::Descend(Role::Filter)
            }
            (Command::Find, b"tailable") => Action::Scalar(Field::Tailable),
            (Command::Find, b"awaitData") => Action::Scalar(Field::AwaitData),
            (Command::Find, b"noCursorTimeout") => Action::Scalar(Field::NoCursorTimeout),
            (Command::Find | Command::GetMore, b"batchSize") => Action::Scalar(Field::BatchSize),
            (Command::GetMore, b"collection") => Action::Text(Slot::Collection, NAMESPACE_BYTES),
            (Command::Aggregate, b"cursor") => Action::Descend(Role::CursorOptions),
            (Command::Aggregate, b"pipeline") => Action::Descend(Role::Pipeline),
            (Command::KillCursors, b"cursors") if kind == Kind::Array => {
                Action::Descend(Role::Counted)
            }
            (Command::Write, name) if kind == Kind::Array && is_batch(name) => {
                Action::Descend(Role::Counted)
            }
            _ => Action::Skip,
        }
    }

    fn hello_option(&mut self, name: &[u8]) -> Next {
        match name {
            b"client" => return Action::Descend(Role::Client),
            b"loadBalanced" => return Action::Scalar(Field::LoadBalanced),
            b"topologyVersion" | b"maxAwaitTimeMS" => self.awaitable = true,
            b"speculativeAuthenticate" => self.sensitive = true,
            _ => {}
        }
        Action::Skip
    }

    /// A field of a filter, or of what may be one.
    fn filter(&mut self, element: Element<'_, Role>) -> Next {
        match element.name.text {
            b"_id" if self.id.is_none() => self.id(element.kind),
            b"$comment" => comment(element.kind, Slot::FilterComment),
            _ => Action::Skip,
        }
    }

    fn id(&mut self, kind: Kind) -> Next {
        let (class, next) = match kind {
            Kind::Document => (QueryClass::Several, Action::Descend(Role::Id)),
            Kind::Array | Kind::Regex => (QueryClass::Several, Action::Skip),
            _ => (QueryClass::ById, Action::Skip),
        };
        self.id = Some(class);
        next
    }

    fn legacy_query(&mut self, element: Element<'_, Role>) -> Next {
        let is_wrapper = element.first && is_wrapper(&element);
        match element.name.text {
            _ if is_wrapper => Action::Descend(Role::Filter),
            b"$maxTimeMS" => Action::Scalar(Field::MaxTimeMs),
            b"$readPreference" => Action::Descend(Role::ReadPreference),
            _ => self.filter(element),
        }
    }
}

impl Labels for Fields {
    type Role = Role;
    type Field = Field;

    const BODY: Role = Role::Command;

    fn layout(&mut self, opcode: Opcode) -> &'static [Part] {
        self.is_legacy_query = opcode == Opcode::Query;
        match opcode {
            Opcode::Query => &[
                Part::Int32(Head::Flags),
                Part::Name(Slot::Namespace),
                Part::Skip(8),
                Part::Document,
            ],
            Opcode::GetMore => &[
                Part::Skip(4),
                Part::Name(Slot::Namespace),
                Part::Int32(Head::BatchSize),
                Part::Int64(Head::CursorId),
            ],
            Opcode::Insert => &[Part::Skip(4), Part::Name(Slot::Namespace), Part::Documents],
            Opcode::Update | Opcode::Delete => {
                self.documents = 1;
                &[Part::Skip(4), Part::Name(Slot::Namespace)]
            }
            Opcode::KillCursors => &[Part::Skip(4), Part::Int32(Head::Cursors)],
            Opcode::Command => &[Part::Name(Slot::Database), Part::Name(Slot::Command)],
            _ => &[],
        }
    }

    fn trace_role(&self) -> Option<Role> {
        Some(Role::Trace)
    }

    fn legacy_role(&self) -> Option<Role> {
        Some(if self.is_legacy_command {
            Role::LegacyCommand
        } else {
            Role::LegacyQuery
        })
    }

    fn message_flags(&mut self, more_to_come: bool, exhaust_allowed: bool, checksum_present: bool) {
        self.more_to_come = more_to_come;
        self.exhaust_allowed = exhaust_allowed;
        self.checksum_present = checksum_present;
    }

    fn head(&mut self, head: Head, value: i64, left: u32) -> Result<(), Malformed> {
        match head {
            // OP_QUERY: 1 TailableCursor, 4 NoCursorTimeout, 5 AwaitData, 6 Exhaust
            Head::Flags => {
                self.tailable = value & 1 << 1 != 0;
                self.no_cursor_timeout = value & 1 << 4 != 0;
                self.await_data = value & 1 << 5 != 0;
                self.exhaust_allowed = value & 1 << 6 != 0;
            }
            Head::BatchSize => self.batch_size = Some(value),
            Head::CursorId => self.cursor_id = Some(value),
            Head::Cursors => {
                self.documents = u32::try_from(value)
                    .ok()
                    .filter(|count| count.checked_mul(8) == Some(left))
                    .ok_or(Malformed::Count)?;
            }
            Head::Documents => {}
        }
        Ok(())
    }

    fn sequence(&mut self, name: &[u8]) -> bool {
        is_batch(name)
    }

    fn sequence_document(&mut self) {
        self.documents += 1;
    }

    #[inline]
    fn element(&mut self, element: Element<'_, Role>, captures: &mut Captures) -> Next {
        let name = element.name.text;
        match element.role {
            Role::Command if element.first => self.command(element, captures),
            Role::LegacyCommand if element.first && is_wrapper(&element) => {
                Action::Descend(Role::Command)
            }
            Role::LegacyCommand if element.first => self.command(element, captures),
            Role::Command | Role::LegacyCommand => self.option(element),
            Role::LegacyQuery => self.legacy_query(element),
            Role::Session if name == b"id" => Action::Uuid,
            Role::ReadPreference if name == b"mode" => {
                Action::Text(Slot::ReadPreference, MODE_BYTES)
            }
            Role::Comment => match name {
                b"callingFunction" => Action::Text(Slot::CallingFunction, COMMENT_BYTES),
                b"text" => Action::Text(Slot::CommentText, COMMENT_BYTES),
                b"traceparent" => Action::Text(Slot::CommentTrace, TRACE_PARENT_CAPTURE),
                _ => Action::Skip,
            },
            Role::Filter => self.filter(element),
            Role::Id => {
                let is_equality = element.first && name == b"$eq";
                self.id = Some(if is_equality {
                    QueryClass::ById
                } else {
                    QueryClass::Several
                });
                Action::Skip
            }
            Role::Pipeline if element.first => Action::Descend(Role::FirstStage),
            Role::FirstStage if element.first && name == b"$match" => Action::Descend(Role::Match),
            Role::FirstStage if element.first && name == b"$changeStream" => {
                self.change_stream = true;
                Action::Skip
            }
            Role::Match if name == b"$comment" => comment(element.kind, Slot::FilterComment),
            Role::CursorOptions if name == b"batchSize" => Action::Scalar(Field::BatchSize),
            Role::Explained if element.first && classify(name).1 => {
                Action::Text(Slot::Collection, NAMESPACE_BYTES)
            }
            Role::Client if name == b"application" => Action::Descend(Role::Application),
            Role::Client if name == b"driver" => Action::Descend(Role::Driver),
            Role::Application if name == b"name" => {
                Action::Text(Slot::Application, APPLICATION_BYTES)
            }
            Role::Driver if name == b"name" => Action::Text(Slot::Driver, DRIVER_BYTES),
            Role::Driver if name == b"version" => Action::Text(Slot::DriverVersion, DRIVER_BYTES),
            Role::Counted => {
                self.documents += 1;
                match self.command {
                    Command::KillCursors if element.first => Action::Scalar(Field::CursorId),
                    _ => Action::Skip,
                }
            }
            Role::Trace if name == b"otel" => Action::Descend(Role::Otel),
            Role::Otel if name == b"traceparent" => {
                Action::Text(Slot::TraceParent, TRACE_PARENT_CAPTURE)
            }
            _ => Action::Skip,
        }
    }

    fn scalar(&mut self, field: Field, value: Scalar) {
        match field {
            Field::TxnNumber => self.txn_number = Some(value.int()),
            Field::StartTransaction => self.start_transaction = value.truthy(),
            Field::Autocommit => self.autocommit = Some(value.truthy()),
            Field::CursorId => self.cursor_id = Some(value.int()),
            Field::BatchSize => self.batch_size = Some(value.int()),
            Field::MaxTimeMs => self.max_time_ms = Some(value.int()),
            Field::Tailable => self.tailable = value.truthy(),
            Field::AwaitData => self.await_data = value.truthy(),
            Field::NoCursorTimeout => self.no_cursor_timeout = value.truthy(),
            Field::LoadBalanced => self.load_balanced = value.truthy(),
        }
    }

    fn uuid(&mut self, bytes: [u8; 16]) {
        self.lsid = Some(bytes);
    }

    fn captured(&mut self, slot: Slot, captures: &mut Captures, piece: &[u8]) {
        if slot == Slot::Namespace && self.is_legacy_query {
            let namespace = captures.text(slot, piece).unwrap_or_default();
            self.is_legacy_command = namespace.ends_with(b".$cmd");
            self.has_filter = !self.is_legacy_command;
        }
    }
}

/// The arrays, or document sequences, that hold what a write command writes.
fn is_batch(name: &[u8]) -> bool {
    matches!(name, b"documents" | b"updates" | b"deletes" | b"ops")
}

/// Old drivers put a query with options into `$query` or `query`.
fn is_wrapper(element: &Element<'_, Role>) -> bool {
    element.kind == Kind::Document && matches!(element.name.text, b"$query" | b"query")
}

/// A comment may be of any type; a string and a document are looked at.
fn comment(kind: Kind, slot: Slot) -> Next {
    match kind {
        Kind::Document => Action::Descend(Role::Comment),
        _ => Action::Text(slot, COMMENT_BYTES),
    }
}
