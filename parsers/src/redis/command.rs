//! What is known of a command by its name: where its keys are, whether it writes, and what it does to the connection that it comes on.
//!
//! The table has the commands of Redis 7.0 and those that came later in Redis and Valkey. A command that is not in it is for the server to
//! judge: modules and later versions bring their own.

mod class;
mod keys;
mod options;
mod spelling;
mod table;

pub use class::{Audience, Class, Timeout, Wait};
pub use keys::{KeyPositions, Keys};
pub use options::LIMIT as OPTIONS_LIMIT;

use spelling::Spelling;
use table::ROWS;

/// One command, or one subcommand of a container such as CLIENT. Arguments are counted as the server does: the name is argument 0, and a
/// subcommand argument 1.
#[derive(Debug)]
pub struct Command {
    /// In lower case, for stats: `get`, `client_no_evict` for CLIENT NO-EVICT.
    pub name: &'static str,
    /// How many arguments it takes, its name among them; at least so many if negative. Where servers differ, this is what the most lenient takes.
    pub arity: i8,
    /// Where its keys are.
    pub keys: Keys,
    /// Whether it reads or writes.
    pub access: Access,
    /// What it asks of the connection.
    pub class: Class,
    /// How it may be split by its keys.
    pub split: Option<Split>,
    spelling: Spelling,
    index: u16,
    container: bool,
}

/// The flags `readonly` and `write` of the server. Only what reads may be sent to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `readonly`
    Read,
    /// `write`
    Write,
    /// Neither: it touches no keys, or, like EVAL and PUBLISH, may do what it likes.
    Neither,
}

/// How a command of several keys is cut into one per group of keys, and the replies made one. It is no longer atomic then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// The replies are arrays of one value per key, to be put in the order of the keys.
    Values,
    /// Each reply is `OK`, and so is the whole.
    Ok,
    /// The replies are numbers, to be added.
    Sum,
}

/// The command of a request: of its name, and of its first argument where the name is that of a container. In whatever case. An unknown
/// subcommand gives the container.
#[inline]
pub fn find(name: &[u8], first_argument: Option<&[u8]>) -> Option<&'static Command> {
    let command = lookup(Spelling::of(name, Spelling::TOP)?)?;
    if command.container
        && let Some(argument) = first_argument
        && let Some(spelling) = Spelling::of(argument, command.index)
        && let Some(subcommand) = lookup(spelling)
    {
        return Some(subcommand);
    }
    Some(command)
}

#[inline]
fn lookup(spelling: Spelling) -> Option<&'static Command> {
    let mut place = spelling.place();
    loop {
        let command = COMMANDS.get(usize::from(*PLACES.get(place)?))?;
        if command.spelling == spelling {
            return Some(command);
        }
        place = spelling::next(place);
    }
}

impl Command {
    /// How many there are.
    pub const COUNT: usize = ROWS.len();

    /// All of them; a container is followed by its subcommands.
    pub fn all() -> &'static [Self] {
        &COMMANDS
    }

    /// Its place in [`Command::all`]: a number below [`Command::COUNT`].
    #[inline]
    pub fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// It has subcommands, and is found by itself where the subcommand is unknown or missing.
    pub fn is_container(&self) -> bool {
        self.container
    }

    /// A server takes a request of so many arguments. One that it doesn't take is answered by an error and does nothing.
    pub fn accepts(&self, arguments: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        arguments == arity || self.arity < 0 && arguments > arity
    }

    /// The arguments of a request that are keys. None where the server would answer with an error anyway, and none that is behind the end.
    ///
    /// `argument` gives those arguments that are at hand; [`Keys`] says which are asked for.
    #[inline]
    pub fn key_positions<'a>(
        &self,
        arguments: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> KeyPositions {
        self.keys.positions(arguments, argument)
    }

    /// True where options say which arguments are keys, so that all of them have to be there.
    pub fn options_name_keys(&self) -> bool {
        matches!(
            self.keys,
            Keys::Streams | Keys::Sort | Keys::Radius { .. } | Keys::Migrate
        )
    }

    /// How long the server may keep a request waiting.
    pub fn wait<'a>(&self, arguments: usize, argument: impl Fn(usize) -> Option<&'a [u8]>) -> Wait {
        match self.class {
            Class::Blocking(timeout) => timeout.wait(arguments, argument),
            _ => Wait::No,
        }
    }
}

static COMMANDS: [Command; Command::COUNT] = commands();

/// For each place that a spelling may have, the index of the command: by open addressing, so a search ends at the first place that is empty.
static PLACES: [u16; spelling::PLACES] = places();

/// An index that no command has.
const EMPTY: u16 = u16::MAX;

/// The spellings of all rows without a gap, made fit for labels.
static LABELS: &str = match str::from_utf8(&LABEL_BYTES) {
    Ok(labels) => labels,
    Err(_) => "",
};

static LABEL_BYTES: [u8; table::text_length()] = label_bytes();

const fn label_bytes() -> [u8; table::text_length()] {
    let mut bytes = [0; table::text_length()];
    let mut free = bytes.as_mut_slice();
    let mut rows = ROWS;
    while let [row, rest @ ..] = rows {
        let mut spelling = row.spelling.as_bytes();
        while let [byte, more @ ..] = spelling
            && let [slot, slots @ ..] = free
        {
            *slot = match *byte {
                b'|' | b'-' => b'_',
                byte => byte,
            };
            spelling = more;
            free = slots;
        }
        rows = rest;
    }
    bytes
}

const fn commands() -> [Command; Command::COUNT] {
    let mut commands = [const { table::other("", 0, Keys::None).command() }; Command::COUNT];
    let mut free = commands.as_mut_slice();
    let mut rows = ROWS;
    let mut labels = LABELS;
    let mut index = 0;
    let mut container = Spelling::TOP;
    while let [row, rest @ ..] = rows
        && let [slot, slots @ ..] = free
    {
        let (label, more) = labels.split_at(row.spelling.len());
        *slot = row.command();
        slot.name = label;
        slot.index = index;
        let (name, of) = match row.subcommand() {
            Some(name) => (name, container),
            None => {
                container = index;
                (row.spelling.as_bytes(), Spelling::TOP)
            }
        };
        if let Some(spelling) = Spelling::of(name, of) {
            slot.spelling = spelling;
        }
        rows = rest;
        free = slots;
        labels = more;
        index += 1;
    }
    commands
}

const fn places() -> [u16; spelling::PLACES] {
    let mut places = [EMPTY; spelling::PLACES];
    let mut commands = COMMANDS.as_slice();
    while let [command, rest @ ..] = commands {
        let mut place = command.spelling.place();
        while let (_, [slot, ..]) = places.split_at_mut(place) {
            if *slot == EMPTY {
                *slot = command.index;
                break;
            }
            place = spelling::next(place);
        }
        commands = rest;
    }
    places
}

#[cfg(test)]
mod tests;
