//! Which server an operation goes to (specs:server-selection).

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use super::deployment::{Deployment, DeploymentKind, Member, MemberKind};
use super::read_preference::{Mode, ReadPreference};

/// What an operation needs of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// To write, or to read what was written: the primary.
    Write,
    /// To read as the client prefers.
    Read(ReadPreference),
    /// To be answered by anyone.
    Any,
}

/// What is wanted, in words that follow "no server for".
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write => f.write_str("writes"),
            Self::Read(preference) => write!(f, "reads with preference {}", preference.mode),
            Self::Any => f.write_str("anything"),
        }
    }
}

thread_local! {
    /// Counts the choices of this worker, so that servers with the same load take turns.
    static TURN: Cell<usize> = const { Cell::new(0) };
}

/// The server for an operation, or `None` while there is none that fits. Among those that fit and are at most `local_threshold`
/// farther away than the nearest, the one with the fewest operations under way.
///
/// A read preference matters in a replica set only: routers get it forwarded, and a standalone server serves everything.
pub fn select<'a>(
    deployment: &'a Deployment,
    want: &Want,
    local_threshold: Duration,
) -> Option<&'a Member> {
    let members = &deployment.members;
    match (deployment.kind, want) {
        (DeploymentKind::ReplicaSet, Want::Write) => deployment.primary(),
        (DeploymentKind::ReplicaSet, Want::Read(preference)) => {
            read(deployment, preference, local_threshold)
        }
        _ => nearest(members, local_threshold, Member::is_usable),
    }
}

fn read<'a>(
    deployment: &'a Deployment,
    preference: &ReadPreference,
    local_threshold: Duration,
) -> Option<&'a Member> {
    let primary = || deployment.primary();
    let tagged = |with_primary| tagged(deployment, preference, with_primary, local_threshold);
    match preference.mode {
        Mode::Primary => primary(),
        Mode::PrimaryPreferred => primary().or_else(|| tagged(false)),
        Mode::Secondary => tagged(false),
        Mode::SecondaryPreferred => tagged(false).or_else(primary),
        Mode::Nearest => tagged(true),
    }
}

/// A secondary, or also the primary, by tags and staleness.
fn tagged<'a>(
    deployment: &'a Deployment,
    preference: &ReadPreference,
    with_primary: bool,
    local_threshold: Duration,
) -> Option<&'a Member> {
    let fits = |member: &Member| match member.kind {
        MemberKind::Primary => with_primary,
        MemberKind::Secondary => preference.is_fresh(member.staleness),
        _ => false,
    };
    let members = &deployment.members;
    if preference.tag_sets.is_empty() {
        return nearest(members, local_threshold, fits);
    }
    // "If tag_sets contains more than one, … each is tried in order until one matches."
    preference.tag_sets.iter().find_map(|tags| {
        nearest(members, local_threshold, |member| {
            fits(member) && tags.iter().all(|tag| member.tags.contains(tag))
        })
    })
}

/// The least loaded of those that fit and are near enough. Walks the members rather than gathering them: there are at most some
/// fifty, and nothing is allocated.
fn nearest(
    members: &[Member],
    local_threshold: Duration,
    fits: impl Fn(&Member) -> bool,
) -> Option<&Member> {
    let fitting = || members.iter().filter(|member| fits(member));
    let mut more = fitting();
    let first = more.next()?;
    if more.next().is_none() {
        return Some(first);
    }
    let fastest = fitting().map(|member| member.round_trip).min()?;
    let window = fastest.saturating_add(local_threshold);
    let near = || fitting().filter(|member| member.round_trip <= window);
    let least = near().map(|member| member.endpoint.busy()).min()?;
    // Other workers go on meanwhile: who had the least then may have more now, and any near one will do.
    let idlest = || near().filter(|member| member.endpoint.busy() <= least);
    let turn = TURN.replace(TURN.get().wrapping_add(1));
    let equals = idlest().count();
    turn.checked_rem(equals)
        .and_then(|turn| idlest().nth(turn))
        .or_else(|| near().next())
}

#[cfg(test)]
mod tests;
