//! What one client knows of its own documents, and the judge of what it is shown.

use std::collections::BTreeMap;

use bson::{Document, doc};

use crate::support::commands::number;

/// One of these is the content of a document: a version, or that it is not there.
type Content = Option<i64>;

/// A document of this client.
#[derive(Clone, Debug)]
struct Known {
    /// What may be found, the last acknowledged content first.
    possible: Vec<Content>,
    /// A write of it ended without an answer, so it may take effect at any later time: it is left alone from then on.
    in_doubt: bool,
}

/// All that one client has written.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: i64,
    documents: BTreeMap<i64, Known>,
}

impl Ledger {
    pub fn new(client: i64) -> Self {
        Self {
            client,
            documents: BTreeMap::new(),
        }
    }

    /// The number of a document that was never written.
    pub fn fresh(&self) -> i64 {
        self.documents
            .last_key_value()
            .map_or(1, |(last, _)| last + 1)
    }

    /// A write was acknowledged: this is what is there.
    pub fn acknowledged(&mut self, number: i64, content: Content) {
        let known = Known {
            possible: vec![content],
            in_doubt: false,
        };
        self.documents.insert(number, known);
    }

    /// Nobody knows whether the write of this content was or will be done.
    pub fn in_doubt(&mut self, number: i64, content: Content) {
        let known = self.documents.entry(number).or_insert(Known {
            possible: vec![None],
            in_doubt: true,
        });
        known.in_doubt = true;
        known.possible.push(content);
    }

    /// One of the documents that are surely there, and its version.
    pub fn pick(&self, random: u64) -> Option<(i64, i64)> {
        let certain: Vec<_> = self.certain().collect();
        let at = usize::try_from(random)
            .unwrap()
            .checked_rem(certain.len())?;
        Some(certain[at])
    }

    /// The documents that are surely there, with their versions.
    fn certain(&self) -> impl Iterator<Item = (i64, i64)> {
        let certain = self.documents.iter().filter(|(_, known)| !known.in_doubt);
        certain.filter_map(|(number, known)| Some((*number, known.possible[0]?)))
    }

    /// Fewest and most documents that may be there.
    pub fn count(&self) -> (i64, i64) {
        let least = i64::try_from(self.certain().count()).unwrap();
        let doubtful = self.documents.values().filter(|known| known.in_doubt);
        (least, least + i64::try_from(doubtful.count()).unwrap())
    }

    /// The document as it has to look.
    pub fn document(&self, number: i64, version: i64) -> Document {
        doc! {
            "_id": id(self.client, number),
            "owner": self.client,
            "number": number,
            "version": version,
            "payload": payload(self.client, number, version),
        }
    }

    /// A document that was shown to this client: its own, whole, and of a version that may be there.
    pub fn check(&self, found: &Document) -> Result<(), String> {
        let of = |key| number(found, key);
        if of("owner") != self.client {
            let (me, owner) = (self.client, of("owner"));
            return Err(format!(
                "client {me} was shown a document of client {owner}: {found}"
            ));
        }
        let (number, version) = (of("number"), of("version"));
        if *found != self.document(number, version) {
            return Err(format!(
                "client {}: a document is damaged: {found}",
                self.client
            ));
        }
        self.check_content(number, Some(version))
    }

    /// This document, or that it is not there, was shown to this client.
    pub fn check_content(&self, number: i64, content: Content) -> Result<(), String> {
        let client = self.client;
        match self.documents.get(&number) {
            Some(known) if known.possible.contains(&content) => Ok(()),
            Some(known) => Err(format!(
                "client {client}, document {number}: {content:?} was found, possible are {:?}",
                known.possible
            )),
            None if content.is_none() => Ok(()),
            None => Err(format!(
                "client {client}, document {number} was never written"
            )),
        }
    }

    /// Everything that was found of this client: each document is right, and none is missing.
    pub fn check_all(&self, found: &[Document]) -> Result<(), String> {
        let mut missing: BTreeMap<i64, i64> = self.certain().collect();
        let mut seen = std::collections::BTreeSet::new();
        for document in found {
            self.check(document)?;
            let number = number(document, "number");
            missing.remove(&number);
            if !seen.insert(number) {
                return Err(format!(
                    "client {}, document {number} came twice",
                    self.client
                ));
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "client {}: acknowledged and not found: {missing:?}",
                self.client
            )),
        }
    }
}

/// The `_id` of a document.
pub fn id(client: i64, number: i64) -> String {
    format!("client {client}, document {number}")
}

/// Text that no other document has, of a length between 0 and 4 KB.
fn payload(client: i64, number: i64, version: i64) -> String {
    let mut random = crate::random::Random::new((client << 40 ^ number << 16 ^ version) as u64);
    let length = random.below(4096) as usize;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        text.push_str(&format!("{:016x}", random.next()));
    }
    text
}

#[test]
fn the_judge_finds_what_belongs_to_another() {
    let (mut mine, theirs) = (Ledger::new(1), Ledger::new(2));
    mine.acknowledged(1, Some(1));
    let good = mine.document(1, 1);
    mine.check(&good).unwrap();
    mine.check_all(std::slice::from_ref(&good)).unwrap();
    let foreign = mine.check(&theirs.document(1, 1)).unwrap_err();
    assert!(foreign.contains("a document of client 2"), "{foreign}");
    let mut damaged = good.clone();
    damaged.insert("payload", "");
    mine.check(&damaged).unwrap_err();
    mine.check(&mine.document(1, 2)).unwrap_err();
    mine.check(&mine.document(2, 1)).unwrap_err();
    mine.check_all(&[]).unwrap_err();
    mine.check_all(&[good.clone(), good]).unwrap_err();
}

#[test]
fn the_judge_allows_what_is_in_doubt() {
    let mut mine = Ledger::new(1);
    mine.in_doubt(1, Some(1));
    mine.check_all(&[]).unwrap();
    mine.check_all(&[mine.document(1, 1)]).unwrap();
    mine.acknowledged(2, Some(1));
    mine.in_doubt(2, None);
    mine.check_all(&[mine.document(2, 1)]).unwrap();
    assert_eq!(mine.count(), (0, 2));
    mine.check_content(2, Some(2)).unwrap_err();
}
