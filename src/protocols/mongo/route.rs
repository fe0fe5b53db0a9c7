//! Which series an operation belongs to: looked up once, then found again by comparing bytes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;

use hashbrown::HashTable;

use crate::stats::{Cluster, MongoCallsite, MongoCollection, MongoCommand, Scope, Shard};

/// Routes a worker remembers for one listener. Beyond it a route is made for each use, from series
/// that are folded into `_other` by then: 16,384 routes of about 200 bytes are 3 MB.
const MAX_ROUTES: usize = 16_384;

/// Combinations of series for which a worker records each value once. It is a bargain for a
/// combination that is busy, but each has six histograms to be gathered and added to four series;
/// when there are many of them, each is used little, and their values are recorded to every series.
const MAX_SHARED: usize = 128;

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
    /// The command, whatever it works on.
    pub command: Scope<MongoCommand>,
    /// What is recorded to `command` is gathered for the collection, the call site and the cluster
    /// too.
    pub is_shared: bool,
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
    fn new(routes: &Routes, names: &Names<'_>) -> Self {
        let (shard, listener) = (&routes.shard, &*routes.listener);
        let full_name = (!names.collection.is_empty()).then(|| full_name(names));
        let call_site = (!names.call_site.is_empty())
            .then(|| full_name.as_deref().unwrap_or(names.database))
            .map(|place| shard.scope(&[listener, place, names.call_site]));
        let collection = full_name
            .as_deref()
            .map(|name| shard.scope(&[listener, name]));
        let command = shard.scope(&[listener, names.command]);
        let shared = routes.shared(&command, collection.as_ref(), call_site.as_ref());
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
            is_shared: shared.is_some(),
            command: shared.unwrap_or(command),
            collection,
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
    cluster: Scope<Cluster>,
    table: RefCell<HashTable<Rc<Route>>>,
    shared: RefCell<HashMap<[Option<u32>; 3], Scope<MongoCommand>>>,
    hasher: foldhash::fast::RandomState,
}

impl Routes {
    /// No routes yet.
    pub(super) fn new(shard: Shard, listener: &str, cluster: Scope<Cluster>) -> Self {
        Self {
            shard,
            listener: listener.as_bytes().into(),
            cluster,
            table: RefCell::default(),
            shared: RefCell::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    fn route(&self, names: &Names<'_>) -> Rc<Route> {
        let hash = self.hash(names);
        let mut table = self.table.borrow_mut();
        if let Some(route) = table.find(hash, |route| route.is_for(names)) {
            return Rc::clone(route);
        }
        let route = Rc::new(Route::new(self, names));
        if table.len() < MAX_ROUTES {
            table.insert_unique(hash, Rc::clone(&route), |route| self.hash(&route.names()));
        }
        route
    }

    /// The command's series for operations that also belong to these, unless there are too many.
    fn shared(
        &self,
        command: &Scope<MongoCommand>,
        collection: Option<&Scope<MongoCollection>>,
        call_site: Option<&Scope<MongoCallsite>>,
    ) -> Option<Scope<MongoCommand>> {
        let key = [
            Some(command.id()),
            collection.map(Scope::id),
            call_site.map(Scope::id),
        ];
        let mut shared = self.shared.borrow_mut();
        if let Some(known) = shared.get(&key) {
            return Some(known.clone());
        }
        if shared.len() >= MAX_SHARED {
            return None;
        }
        let upstream = MongoCommand::REPLY_TIME_MS;
        let mut also = vec![self.cluster.gets(Cluster::UPSTREAM_RQ_TIME, upstream)];
        if let Some(stats) = collection {
            also.extend([
                stats.gets(MongoCollection::REPLY_SIZE, MongoCommand::REPLY_SIZE),
                stats.gets(
                    MongoCollection::REPLY_NUM_DOCS,
                    MongoCommand::REPLY_NUM_DOCS,
                ),
                stats.gets(MongoCollection::REPLY_TIME_MS, upstream),
            ]);
        }
        if let Some(stats) = call_site {
            also.extend([
                stats.gets(MongoCallsite::REPLY_SIZE, MongoCommand::REPLY_SIZE),
                stats.gets(MongoCallsite::REPLY_NUM_DOCS, MongoCommand::REPLY_NUM_DOCS),
                stats.gets(MongoCallsite::REPLY_TIME_MS, upstream),
            ]);
        }
        let made = command.shared_with(&also);
        shared.insert(key, made.clone());
        Some(made)
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
