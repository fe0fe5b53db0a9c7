//! YAML text as a tree of nodes that know their places.
//!
//! Only what a configuration needs is accepted: one document, no anchors, no tags, keys that are words. Anchors would
//! let a small file stand for a huge one; the others would make a second way to write the same thing.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use super::masking::quoted;
use super::problem::{Place, Problem, Span};

/// The nodes of one document.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// `None` for an empty document.
    pub(crate) root: Option<NodeId>,
    /// Mistakes that do not keep the rest of the tree from being read.
    pub(crate) problems: Vec<Problem>,
}

/// Index of a node in its tree.
pub(crate) type NodeId = usize;

pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

pub(crate) enum Kind {
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<NodeId>),
    Mapping(Vec<Entry>),
    /// Reported already.
    Refused,
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: NodeId,
}

impl Tree {
    /// Reads `text`, whose lines end in `\n`.
    ///
    /// # Errors
    /// What keeps the text from being a tree at all: a syntax error, or more than the limits allow.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let mut parser = Parser::new(StrInput::new(text));
        let mut builder = Builder::default();
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                Problem::new(
                    Place::Text(span_from(*error.marker(), *error.marker())),
                    error.info(),
                )
            })?;
            builder.take(event, span_from(span.start, span.end))?;
        }
        Ok(Self {
            nodes: builder.nodes,
            root: builder.root,
            problems: builder.problems,
        })
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }
}

impl Node {
    /// A value that is not there: `key:` or `key: ~`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Where a message about the node points to: a mapping is as long as its first key.
    pub(crate) fn place(&self) -> Place {
        match &self.kind {
            Kind::Mapping(entries) => {
                Place::Text(entries.first().map_or(self.span, |entry| entry.key_span))
            }
            _ => Place::Text(self.span),
        }
    }
}

/// Turns events into nodes. Nesting is kept on a stack of its own, not on the thread's.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    open: Vec<Open>,
    root: Option<NodeId>,
    documents: usize,
    problems: Vec<Problem>,
}

/// A sequence or mapping whose end has not come yet.
struct Open {
    span: Span,
    items: Items,
}

enum Items {
    Sequence(Vec<NodeId>),
    Mapping {
        entries: Vec<Entry>,
        lines: HashMap<String, usize>,
        key: Option<Key>,
    },
}

/// The key that waits for its value.
enum Key {
    Word(String, Span),
    /// Reported already; its value is read and dropped.
    Refused,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(_) => {
                self.problem(
                    span,
                    "aliases (`*name`) are not supported; write the value out",
                );
                self.deliver(Kind::Refused, span)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                self.deliver(
                    Kind::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                    span,
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.open(Items::Sequence(Vec::new()), span)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.open(
                    Items::Mapping {
                        entries: Vec::new(),
                        lines: HashMap::new(),
                        key: None,
                    },
                    span,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(Problem::new(
                Place::Text(span),
                "a second document; one file holds one configuration",
            ));
        }
        Ok(())
    }

    fn refuse_properties(&mut self, anchor: usize, tagged: bool, span: Span) {
        if anchor != 0 {
            self.problem(
                span,
                "anchors (`&name`) are not supported; write the value out where it is needed",
            );
        }
        if tagged {
            self.problem(span, "tags (`!name`) are not supported");
        }
    }

    fn open(&mut self, items: Items, span: Span) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::new(
                Place::Text(span),
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(Open { span, items });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(Open { span, items }) = self.open.pop() else {
            return Ok(());
        };
        let kind = match items {
            Items::Sequence(items) => Kind::Sequence(items),
            Items::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        self.deliver(kind, span)
    }

    /// Hands a complete node to the innermost open container.
    fn deliver(&mut self, kind: Kind, span: Span) -> Result<(), Problem> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Problem::new(
                Place::Text(span),
                format!("more than {MAX_NODES} values"),
            ));
        }
        let id = self.nodes.len();
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(id),
            Some(Items::Sequence(items)) => items.push(id),
            Some(Items::Mapping {
                key: waiting @ None,
                lines,
                ..
            }) => {
                let (key, problem) = key_from(kind, span, lines);
                *waiting = Some(key);
                self.problems.extend(problem);
                return Ok(());
            }
            Some(Items::Mapping { key, entries, .. }) => {
                if let Some(Key::Word(key, key_span)) = key.take() {
                    entries.push(Entry {
                        key,
                        key_span,
                        value: id,
                    });
                }
            }
        }
        self.nodes.push(Node { kind, span });
        Ok(())
    }

    fn problem(&mut self, span: Span, message: &str) {
        self.problems.push(Problem::new(Place::Text(span), message));
    }
}

fn key_from(kind: Kind, span: Span, lines: &mut HashMap<String, usize>) -> (Key, Option<Problem>) {
    let refused = |message: String| (Key::Refused, Some(Problem::new(Place::Text(span), message)));
    match kind {
        Kind::Scalar { text, .. } => match lines.get(&text) {
            Some(line) => refused(format!(
                "key {} is given twice, first on line {line}",
                quoted(&text)
            )),
            None => {
                lines.insert(text.clone(), span.line);
                (Key::Word(text, span), None)
            }
        },
        Kind::Refused => (Key::Refused, None),
        Kind::Sequence(_) | Kind::Mapping(_) => refused("a key has to be a word".to_owned()),
    }
}

/// What spans several lines is as long as a line can be, and is cut where it is shown.
fn span_from(start: Marker, end: Marker) -> Span {
    let length = if end.line() > start.line() {
        MAX_FILE_LEN
    } else {
        end.col().saturating_sub(start.col()).max(1)
    };
    Span {
        line: start.line(),
        column: start.col() + 1,
        length,
    }
}

/// 1 MiB: thousands of listeners. What is larger is the wrong file.
pub(crate) const MAX_FILE_LEN: usize = 1 << 20;
/// The format needs 6.
const MAX_DEPTH: usize = 64;
/// A value takes at least two bytes, so this is reached before the tree outgrows the text many times over.
const MAX_NODES: usize = 100_000;
