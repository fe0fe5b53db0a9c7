//! A request, what its reply has to be, and what it may have done if there is none.

use crate::ledger::{Content, Ledger, Place, shown};
use crate::support::resp::{Value, encode};

pub type Verdict = Result<(), String>;

type Judge = Box<dyn FnOnce(&Value, &mut Ledger) -> Verdict + Send>;

pub struct Ask {
    /// As it goes over the wire.
    pub bytes: Vec<u8>,
    /// Says whether the reply is right, and notes what it says.
    pub judge: Judge,
    /// What will be there when it has been done.
    pub writes: Vec<(Place, Content)>,
    /// What is asked behind it is only right if this one is taken.
    pub decides: bool,
}

impl Ask {
    pub fn new<A: AsRef<[u8]>>(
        arguments: &[A],
        judge: impl FnOnce(&Value, &mut Ledger) -> Verdict + Send + 'static,
    ) -> Self {
        Self {
            bytes: encode(arguments),
            judge: Box::new(judge),
            writes: Vec::new(),
            decides: false,
        }
    }

    /// The reply is this.
    pub fn is<A: AsRef<[u8]>>(arguments: &[A], expected: Value) -> Self {
        Self::new(arguments, move |reply, _| expect(reply, &expected))
    }

    /// The reply is an error that begins like that.
    pub fn fails<A: AsRef<[u8]>>(arguments: &[A], begin: &str) -> Self {
        let begin = begin.to_string();
        Self::new(arguments, move |reply, _| match reply {
            Value::Error(text) if text.starts_with(&begin) => Ok(()),
            other => Err(format!("not the error {begin:?}, but {}", brief(other))),
        })
    }

    /// The reply is this, and then that has been written.
    pub fn writes<A: AsRef<[u8]>>(
        arguments: &[A],
        expected: Value,
        place: Place,
        content: Content,
    ) -> Self {
        let written = place.clone();
        let ask = Self::new(arguments, move |reply, ledger| {
            expect(reply, &expected)?;
            ledger.acknowledged(&written, content);
            Ok(())
        });
        ask.may_write(place, content)
    }

    pub fn may_write(mut self, place: Place, content: Content) -> Self {
        self.writes.push((place, content));
        self
    }

    pub fn deciding(mut self) -> Self {
        self.decides = true;
        self
    }

    /// For people.
    pub fn shown(&self) -> String {
        shown(&self.bytes)
    }
}

pub fn expect(reply: &Value, expected: &Value) -> Verdict {
    match reply == expected {
        true => Ok(()),
        false => Err(format!("{} instead of {}", brief(reply), brief(expected))),
    }
}

/// For people: values can have megabytes.
pub fn brief(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => shown(bytes),
        Value::Array(elements) => format!("array of {}", list(elements)),
        Value::Push(elements) => format!("push of {}", list(elements)),
        other => format!("{other:?}").chars().take(200).collect(),
    }
}

fn list(elements: &[Value]) -> String {
    let first: Vec<String> = elements.iter().take(5).map(brief).collect();
    format!("{} [{}]", elements.len(), first.join(", "))
}
