//! The series of each command: looked up when it is first seen on a worker, then found by its number.

use std::cell::RefCell;
use std::rc::Rc;

use narrows_parsers::redis::Request;
use narrows_parsers::redis::command::{self, Command, Wait};

use crate::stats::{Cluster, RedisCommand, Scope, Shard};

/// Names of unknown commands that a connection remembers: those of modules repeat like all others.
const RECENT: usize = 4;

/// What is counted of one command.
pub(super) struct Series {
    /// What is known of it, or of the container of an unknown subcommand; `None` for a command of a module, or of a later server.
    pub(super) command: Option<&'static Command>,
    /// Its series. What is recorded to it is gathered for the listener and for the cluster too.
    pub(super) stats: Scope<RedisCommand>,
    /// Where it is sent.
    pub(super) cluster: Scope<Cluster>,
}

impl Series {
    /// The server may keep this request waiting for something to happen.
    pub(super) fn blocks(&self, request: &Request<'_>) -> bool {
        self.command.is_some_and(|command| {
            let count = usize::try_from(request.count).unwrap_or(usize::MAX);
            let argument = |index| request.argument(index).map(|text| text.bytes);
            command.wait(count, argument) != Wait::No
        })
    }
}

/// The commands of one listener on one worker that go to one cluster.
pub(super) struct Commands {
    shard: Shard,
    listener: Box<[u8]>,
    cluster: Scope<Cluster>,
    known: RefCell<Vec<Option<Rc<Series>>>>,
}

impl Commands {
    /// None has been seen.
    pub(super) fn new(shard: Shard, listener: &str, cluster: &Scope<Cluster>) -> Self {
        Self {
            shard,
            listener: listener.as_bytes().into(),
            cluster: cluster.clone(),
            known: RefCell::new(vec![None; Command::COUNT]),
        }
    }

    fn known(&self, command: &'static Command) -> Rc<Series> {
        let mut known = self.known.borrow_mut();
        let Some(place) = known.get_mut(command.index()) else {
            return self.series(command.name.as_bytes(), Some(command));
        };
        let series =
            place.get_or_insert_with(|| self.series(command.name.as_bytes(), Some(command)));
        Rc::clone(series)
    }

    fn series(&self, name: &[u8], command: Option<&'static Command>) -> Rc<Series> {
        let stats: Scope<RedisCommand> = self.shard.scope(&[&self.listener, name]);
        let upstream = RedisCommand::UPSTREAM_LATENCY;
        let also = [self.cluster.gets(Cluster::UPSTREAM_RQ_TIME, upstream)];
        Rc::new(Series {
            command,
            stats: stats.shared_with(&also),
            cluster: self.cluster.clone(),
        })
    }
}

/// The unknown commands that a connection sent last.
#[derive(Default)]
pub(super) struct RecentCommands {
    unknown: [Option<Unknown>; RECENT],
    next: usize,
}

/// A command that is not in the table.
struct Unknown {
    /// In lower case.
    name: Box<[u8]>,
    series: Rc<Series>,
}

impl RecentCommands {
    /// The series of a request's command.
    pub(super) fn find(&mut self, commands: &Commands, request: &Request<'_>) -> Rc<Series> {
        let name = request.command();
        let first = request.argument(1).map(|argument| argument.bytes);
        match command::find(name, first) {
            // A subcommand of a later server.
            Some(container) if container.is_container() && first.is_some() => {
                let name = [name, first.unwrap_or_default()].join(&b"_"[..]);
                self.unknown(commands, &name, Some(container))
            }
            Some(command) => commands.known(command),
            None => self.unknown(commands, name, None),
        }
    }

    #[cold]
    fn unknown(
        &mut self,
        commands: &Commands,
        name: &[u8],
        container: Option<&'static Command>,
    ) -> Rc<Series> {
        let mut recent = self.unknown.iter().flatten();
        if let Some(known) = recent.find(|known| known.name.eq_ignore_ascii_case(name)) {
            return Rc::clone(&known.series);
        }
        let lower = name.to_ascii_lowercase();
        let series = commands.series(&lower, container);
        if let Some(place) = self.unknown.get_mut(self.next) {
            *place = Some(Unknown {
                name: lower.into(),
                series: Rc::clone(&series),
            });
        }
        self.next = (self.next + 1) % RECENT;
        series
    }
}
