//! What is known of a command by its name.

/// The commands whose fields mean something here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Command {
    Find,
    Aggregate,
    GetMore,
    KillCursors,
    /// insert, update, delete, bulkWrite
    Write,
    /// count, distinct, findAndModify, mapReduce: those with a `query`
    Query,
    Hello,
    Explain,
    #[default]
    Other,
}

/// A command by its name: what it is, and whether its value is a collection. Only for those that are known to name a collection is the value
/// taken for one: of others it is a user, a role or a host, which must not become the name of a series.
pub(super) fn classify(name: &[u8]) -> (Command, bool) {
    match name {
        b"find" => (Command::Find, true),
        b"aggregate" => (Command::Aggregate, true),
        b"getMore" => (Command::GetMore, false),
        b"insert" | b"update" | b"delete" => (Command::Write, true),
        b"bulkWrite" => (Command::Write, false),
        b"count" | b"distinct" | b"findAndModify" | b"findandmodify" | b"mapReduce"
        | b"mapreduce" => (Command::Query, true),
        b"killCursors" => (Command::KillCursors, true),
        b"hello" | b"isMaster" | b"ismaster" => (Command::Hello, false),
        b"explain" => (Command::Explain, false),
        _ => (Command::Other, names_collection(name)),
    }
}

/// The other commands of the server manual whose value is the name of a collection.
fn names_collection(command: &[u8]) -> bool {
    matches!(
        command,
        b"analyze"
            | b"cloneCollectionAsCapped"
            | b"collMod"
            | b"collStats"
            | b"collstats"
            | b"compact"
            | b"compactStructuredEncryptionData"
            | b"convertToCapped"
            | b"create"
            | b"createIndexes"
            | b"createSearchIndexes"
            | b"deleteIndexes"
            | b"drop"
            | b"dropIndexes"
            | b"dropSearchIndex"
            | b"filemd5"
            | b"geoSearch"
            | b"listIndexes"
            | b"listSearchIndexes"
            | b"parallelCollectionScan"
            | b"planCacheClear"
            | b"planCacheClearFilters"
            | b"planCacheListFilters"
            | b"planCacheSetFilter"
            | b"reIndex"
            | b"updateSearchIndex"
            | b"validate"
    )
}

/// The commands whose body drivers never show ("Security", MongoDB command logging and monitoring specification).
pub(super) fn is_sensitive(name: &[u8]) -> bool {
    matches!(
        name,
        b"authenticate"
            | b"saslStart"
            | b"saslContinue"
            | b"getnonce"
            | b"createUser"
            | b"updateUser"
    ) || name.starts_with(b"copydb")
}
