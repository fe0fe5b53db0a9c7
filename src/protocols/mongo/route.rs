//! Which series an operation belongs to: looked up once, then found again by comparing bytes.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::rc::Rc;

use hashbrown::HashTable;

use crate::stats::{MongoCallsite, MongoCollection, MongoCommand, Scope, Shard};

/// Routes a worker remembers for one listener. Beyond it a route is made for each use, from series
/// that are folded into `_other` by then: 16,384 routes of about 200 bytes are 3 MB.
const MAX_ROUTES: usize = 16_384;

/// Routes a connection remembers. A client's connection repeats a handful of operations.
const RECENT: usize = 4;

/// What an operation is, as the bytes of the wire say it.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// The command's name.
    pub command: &'a [u8],
    /// The database.
    pub database: &'a [u8],
    /// The collection; empty when the command has none.
    pub collection: &'a [u8],
    /// The call site; empty when the client named none.
    pub call_site: &'a [u8],
}

/// The series that every exchange of one operation is added to.
pub struct Route {
    names: Box<[u8]>,
    lengths: [usize; 3],
    /// Database and collection, where call sites are told apart, and the command itself.
    pub command: Scope<MongoCommand>,
    /// Only operations on a collection.
    pub collection: Option<Scope<MongoCollection>>,
    /// Only operations that named a call site.
    pub call_site: Option<Scope<MongoCallsite>>,
    /// What the command does, as far as a report asks.
    pub verb: Verb,
}

/// The commands that a report treats apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads by a filter.
    Find,
    /// Asks for more of a cursor.
    GetMore,
    /// Writes documents.
    Insert,
    /// Changes documents.
    Update,
    /// Removes documents.
    Delete,
    /// Ends cursors.
    KillCursors,
    /// Ends a transaction for good.
    CommitTransaction,
    /// Takes a transaction back.
    AbortTransaction,
    /// The handshake, and how drivers watch a server.
    Hello,
    /// Everything else.
    Other,
}

impl Verb {
    /// The verb of a command's name.
    pub fn of(command: &[u8]) -> Self {
        match command {
            b"find" => Self::Find,
            b"getMore" => Self::GetMore,
            b"insert" => Self::Insert,
            b"update" => Self::Update,
            b"delete" => Self::Delete,
            b"killCursors" => Self::KillCursors,
            b"commitTransaction" => Self::CommitTransaction,
            b"abortTransaction" => Self::AbortTransaction,
            b"hello" | b"isMaster" | b"ismaster" => Self::Hello,
            _ => Self::Other,
        }
    }
}

impl Route {
    fn new(shard: &Shard, listener: &[u8], names: &Names<'_>) -> Self {
        let collection = (!names.collection.is_empty()).then(|| full_name(names));
        let call_site = (!names.call_site.is_empty())
            .then(|| collection.as_deref().unwrap_or(names.database))
            .map(|place| shard.scope(&[listener, place, names.call_site]));
        Self {
            names: [
                names.command,
                names.database,
                names.collection,
                names.call_site,
            ]
            .concat()
            .into(),
            lengths: [
                names.command.len(),
                names.database.len(),
                names.collection.len(),
            ],
            command: shard.scope(&[listener, names.command]),
            collection: collection
                .as_deref()
                .map(|name| shard.scope(&[listener, name])),
            call_site,
            verb: Verb::of(names.command),
        }
    }

    /// True when the route is that of these names.
    fn is_for(&self, names: &Names<'_>) -> bool {
        let lengths = [
            names.command.len(),
            names.database.len(),
            names.collection.len(),
        ];
        if self.lengths != lengths {
            return false;
        }
        let mut rest = &*self.names;
        for part in [names.command, names.database, names.collection] {
            match rest.strip_prefix(part) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest == names.call_site
    }
}

/// All routes of one listener on one worker.
pub(super) struct Routes {
    shard: Shard,
    listener: Box<[u8]>,
    table: RefCell<HashTable<Rc<Route>>>,
    hasher: foldhash::fast::RandomState,
}

impl Routes {
    /// No routes yet.
    pub(super) fn new(shard: Shard, listener: &str) -> Self {
        Self {
            shard,
            listener: listener.as_bytes().into(),
            table: RefCell::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    fn route(&self, names: &Names<'_>) -> Rc<Route> {
        let hash = self.hash(names);
        let mut table = self.table.borrow_mut();
        if let Some(route) = table.find(hash, |route| route.is_for(names)) {
            return Rc::clone(route);
        }
        let route = Rc::new(Route::new(&self.shard, &self.listener, names));
        if table.len() < MAX_ROUTES {
            table.insert_unique(hash, Rc::clone(&route), |route| self.hash(&route.names()));
        }
        route
    }

    fn hash(&self, names: &Names<'_>) -> u64 {
        self.hasher.hash_one((
            names.command,
            names.database,
            names.collection,
            names.call_site,
        ))
    }
}

impl Route {
    fn names(&self) -> Names<'_> {
        let [command, database, collection] = self.lengths;
        let part =
            |from: usize, length: usize| self.names.get(from..from + length).unwrap_or_default();
        let site = command + database + collection;
        Names {
            command: part(0, command),
            database: part(command, database),
            collection: part(command + database, collection),
            call_site: self.names.get(site..).unwrap_or_default(),
        }
    }
}

/// The routes a connection used last: most exchanges find theirs here, without a hash.
#[derive(Default)]
pub(super) struct RecentRoutes {
    routes: [Option<Rc<Route>>; RECENT],
    next: usize,
}

impl RecentRoutes {
    /// The route of these names.
    pub(super) fn find(&mut self, routes: &Routes, names: &Names<'_>) -> Rc<Route> {
        if let Some(route) = self
            .routes
            .iter()
            .flatten()
            .find(|route| route.is_for(names))
        {
            return Rc::clone(route);
        }
        let route = routes.route(names);
        if let Some(place) = self.routes.get_mut(self.next) {
            *place = Some(Rc::clone(&route));
        }
        self.next = (self.next + 1) % RECENT;
        route
    }
}

/// `database.collection`: the name by which MongoDB itself calls a collection.
fn full_name(names: &Names<'_>) -> Vec<u8> {
    [names.database, b".", names.collection].concat()
}
