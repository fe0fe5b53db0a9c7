//! decide: which server an operation goes to, and the connection that is lent for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::operation::{Operation, Routed};
use super::{End, Session};
use crate::protocols::mongo::errors::Refusal;
use crate::protocols::mongo::wire;
use crate::upstream::mongo::{DeploymentKind, ReadPreference, Want, select};
use crate::upstream::pool::{CheckoutError, Lease, LongWaitPermit, OpenErrorKind};
use crate::upstream::{Endpoint, EndpointId};

/// Longest that an operation which waits for something to happen waits for its turn; then its client gets an empty batch and asks again.
/// It is what drivers allow a hello to be held (`heartbeatFrequencyMS`).
const LONG_WAIT_QUEUE: Duration = Duration::from_secs(10);

/// A connection that is lent, and what else the operation occupies.
pub(super) struct Lent {
    pub(super) lease: Lease,
    pub(super) _busy: Busy,
    pub(super) _long_wait: Option<LongWaitPermit>,
}

/// Counts an operation at its server, for the choice of the next ones.
pub(super) struct Busy(Arc<Endpoint>);

impl Busy {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.begin_operation();
        Self(Arc::clone(endpoint))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end_operation();
    }
}

/// Why there is no connection.
pub(super) enum Unlent {
    /// The client is told.
    Refused(Refusal),
    /// The client's wait is over, and nothing has happened.
    NothingHappened,
}

impl From<Refusal> for Unlent {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Session<'_> {
    /// Chooses a server and lends a connection to it; waits for either, no longer than `pool.wait_timeout` or the operation's own
    /// `maxTimeMS`.
    pub(super) async fn lend(
        &mut self,
        operation: &Operation,
        routed: Routed,
    ) -> Result<Result<Lent, Unlent>, End> {
        let now = Instant::now();
        let long_wait = match operation.long_wait {
            true => match Box::pin(self.turn_to_wait(now)).await? {
                Some(permit) => Some(permit),
                None => return Ok(Err(Unlent::NothingHappened)),
            },
            false => None,
        };
        // Its turn has been waited for; what `maxTimeMS` bounds is the wait for data.
        let (now, patience) = match (&long_wait, operation.max_time) {
            (Some(_), _) => (Instant::now(), None),
            (None, time) => (now, time),
        };
        let placed = self.place(operation, routed, now);
        let at_once = placed.as_ref().ok().and_then(Option::as_ref);
        let credential = self.identity.credential();
        let pool = &self.listener.pool;
        let at_once = at_once.and_then(|at| pool.try_checkout(at.id, credential, now));
        let found = match (placed, at_once) {
            (Ok(Some(endpoint)), Some(lease)) => Ok((lease, endpoint)),
            (Err(refusal), _) => Err(refusal),
            // Waiting has a large state that a session should not carry around.
            (Ok(placed), _) => {
                let waiting = self.wait_to_be_lent(operation, routed, placed, now, patience);
                Box::pin(waiting).await?
            }
        };
        Ok(match found {
            Ok((lease, endpoint)) => {
                self.pin_transaction(operation, endpoint.id, now);
                Ok(Lent {
                    lease,
                    _busy: Busy::new(&endpoint),
                    _long_wait: long_wait,
                })
            }
            Err(refusal) => Err(refusal.into()),
        })
    }

    async fn turn_to_wait(&mut self, now: Instant) -> Result<Option<LongWaitPermit>, End> {
        if let Some(permit) = self.listener.pool.try_acquire_long_wait() {
            return Ok(Some(permit));
        }
        let pool = std::rc::Rc::clone(&self.listener.pool);
        let deadline = tokio::time::Instant::from_std(now + LONG_WAIT_QUEUE);
        tokio::select! {
            permit = pool.acquire_long_wait(now, deadline) => Ok(permit.ok()),
            end = self.left() => Err(end),
        }
    }

    async fn wait_to_be_lent(
        &mut self,
        operation: &Operation,
        routed: Routed,
        mut placed: Option<Arc<Endpoint>>,
        now: Instant,
        patience: Option<Duration>,
    ) -> Result<Result<(Lease, Arc<Endpoint>), Refusal>, End> {
        let pool = std::rc::Rc::clone(&self.listener.pool);
        let servers = Arc::clone(&self.listener.servers);
        let most = pool.shared().policy().config.wait_timeout;
        let patience = patience.map_or(most, |time| time.min(most));
        let deadline = tokio::time::Instant::from_std(now + patience);
        // Most wait for a connection, not for a server: changes are listened to when there is a reason.
        let mut changed = None;
        loop {
            let place = match placed.take() {
                Some(endpoint) => Ok(Some(endpoint)),
                None => self.place(operation, routed, now),
            };
            let endpoint = match (place, &mut changed) {
                (Ok(Some(endpoint)), _) => endpoint,
                (Err(refusal), _) => return Ok(Err(refusal)),
                // What changed before this is seen by looking again.
                (Ok(None), None) => {
                    changed = Some(servers.changed());
                    continue;
                }
                (Ok(None), Some(changed)) => {
                    servers.request_checks();
                    tokio::select! {
                        _ = changed.changed() => continue,
                        () = tokio::time::sleep_until(deadline) => {
                            return Ok(Err(self.no_server(operation)));
                        }
                        end = self.left() => return Err(end),
                    }
                }
            };
            let credential = self.identity.credential();
            let checkout = pool.checkout(&endpoint, credential, now, deadline);
            let lent = tokio::select! {
                biased;
                lent = checkout => lent,
                end = self.left() => return Err(end),
            };
            match lent {
                Ok(lease) => return Ok(Ok((lease, endpoint))),
                Err(CheckoutError::QueueFull { limit, .. }) => {
                    return Ok(Err(Refusal::QueueFull { limit }));
                }
                Err(CheckoutError::TimedOut { waited, limit, .. }) => {
                    return Ok(Err(match pool.shared().is_paused() {
                        true => Refusal::Drained { waited },
                        false => Refusal::WaitTimeout { waited, limit },
                    }));
                }
                Err(CheckoutError::Retired { .. }) => {}
                Err(CheckoutError::Open { error, .. }) => {
                    servers.request_check(endpoint.id);
                    if let Some(lost) = self.lost_pin(operation, routed) {
                        return Ok(Err(lost));
                    }
                    let others =
                        servers.now().members.len() > 1 && error.kind != OpenErrorKind::Login;
                    let why = error.to_string();
                    if !others {
                        return Ok(Err(Refusal::CannotConnect { why }));
                    }
                    let Some(changed) = &mut changed else {
                        changed = Some(servers.changed());
                        continue;
                    };
                    tokio::select! {
                        _ = changed.changed() => {}
                        () = tokio::time::sleep_until(deadline) => {
                            return Ok(Err(Refusal::CannotConnect { why }));
                        }
                        end = self.left() => return Err(end),
                    }
                }
            }
        }
    }

    /// The server of an operation; `None` while there is none that fits.
    fn place(
        &self,
        operation: &Operation,
        routed: Routed,
        now: Instant,
    ) -> Result<Option<Arc<Endpoint>>, Refusal> {
        if let Some(pinned) = self.pinned(operation, routed, now)? {
            return Ok(Some(pinned));
        }
        let listener = &self.listener;
        let deployment = listener.servers.now();
        let want = match routed {
            Routed::Anywhere => Want::Any,
            _ if operation.reads_elsewhere && deployment.kind == DeploymentKind::ReplicaSet => {
                Want::Read(self.read_preference(operation)?)
            }
            _ => Want::Write,
        };
        let chosen = select(&deployment, &want, listener.servers.local_threshold);
        Ok(chosen.map(|member| Arc::clone(&member.endpoint)))
    }

    /// The server that an operation is bound to, if it is to any.
    fn pinned(
        &self,
        operation: &Operation,
        routed: Routed,
        now: Instant,
    ) -> Result<Option<Arc<Endpoint>>, Refusal> {
        let pins = &self.listener.pins;
        let pin = match (routed, operation.cursor, &operation.transaction) {
            (Routed::Cursor, Some(id), _) => pins.cursor(operation.database, id, now),
            (_, _, Some(transaction)) if !operation.begins => pins.transaction(transaction, now),
            _ => return Ok(None),
        };
        let deployment = self.listener.servers.now();
        let member = pin.and_then(|endpoint| deployment.member(endpoint));
        if let Some(member) = member.filter(|member| member.is_usable()) {
            return Ok(Some(Arc::clone(&member.endpoint)));
        }
        // One server has all there is, whether or not we have seen it begin.
        if pin.is_none() && deployment.members.len() == 1 {
            return Ok(None);
        }
        self.lost_pin(operation, routed).map_or(Ok(None), Err)
    }

    /// What a client is told whose cursor or transaction has lost its server. A commit or an abort goes on as a new command: another router
    /// can finish it by its `recoveryToken`, a new primary knows whether it has happened.
    fn lost_pin(&self, operation: &Operation, routed: Routed) -> Option<Refusal> {
        match (routed, operation.cursor, &operation.transaction) {
            (Routed::Cursor, Some(id), _) => {
                self.listener.pins.release_cursor(operation.database, id);
                Some(Refusal::CursorNotFound { id })
            }
            (Routed::EndOfTransaction, ..) => None,
            (_, _, Some(transaction)) if !operation.begins => {
                self.listener.pins.release_transaction(&transaction.session);
                Some(Refusal::TransactionLost {
                    number: transaction.number,
                })
            }
            _ => None,
        }
    }

    fn read_preference(&self, operation: &Operation) -> Result<ReadPreference, Refusal> {
        let message = self.opened_message(operation);
        let body = wire::body(&message);
        let preference = body.and_then(|body| body.get_document("$readPreference").ok());
        match preference {
            Some(document) => ReadPreference::read(document).map_err(Refusal::BadReadPreference),
            None => Ok(ReadPreference::PRIMARY),
        }
    }

    fn no_server(&self, operation: &Operation) -> Refusal {
        let what = match operation.reads_elsewhere {
            true => "this read preference",
            false => "this operation",
        };
        Refusal::NoServer {
            why: format!("none for {what}: {}", self.listener.servers.now().why_not()),
        }
    }

    /// The first command of a transaction decides where the others go.
    fn pin_transaction(&mut self, operation: &Operation, endpoint: EndpointId, now: Instant) {
        if let Some(transaction) = operation.transaction.as_ref().filter(|_| operation.begins) {
            self.listener
                .pins
                .pin_transaction(transaction, endpoint, now);
            self.began = Some(transaction.session);
        }
    }

    /// A command outside of a transaction ends the one that its session had ("When to unpin", transactions specification). Only a session
    /// that this client began a transaction in is looked for; what others leave behind times out.
    pub(super) fn leave_transaction(&mut self, operation: &Operation) {
        if operation.transaction.is_none()
            && let Some(session) = self.began
            && operation.session == Some(session)
        {
            self.listener.pins.release_transaction(&session);
            self.began = None;
        }
    }
}
