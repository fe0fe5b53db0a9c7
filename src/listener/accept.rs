//! Accept: one loop a worker and listener, which hands a connection to another worker when this one
//! is clearly ahead of it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::context::ProtocolContext;
use super::context::{ListenerContext, ListenerShared};
use super::session::{collapse_session, http_session, redis_session, session};
use crate::runtime::Worker;
use crate::socket;
use crate::stats::Listener;

/// Pause after an accept that failed for want of something (EMFILE, ENOMEM): it fails without
/// waiting, and would spin until other sessions give something back.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// A running accept loop. Dropping it ends the loop; connections that the kernel has already
/// completed are still served.
pub struct Accepting {
    _stop: oneshot::Sender<()>,
}

/// Starts accepting on a socket.
///
/// # Errors
/// When the socket can't be registered with the worker's runtime.
pub fn accept(
    worker: &Rc<Worker>,
    shared: Arc<ListenerShared>,
    socket: std::net::TcpListener,
) -> io::Result<Accepting> {
    let socket = TcpListener::from_std(socket)?;
    let (stop, stopped) = oneshot::channel();
    let accepting = AcceptLoop {
        worker: Rc::clone(worker),
        shared,
    };
    tokio::task::spawn_local(accepting.run(socket, stopped));
    Ok(Accepting { _stop: stop })
}

struct AcceptLoop {
    worker: Rc<Worker>,
    shared: Arc<ListenerShared>,
}

impl AcceptLoop {
    async fn run(self, listening: TcpListener, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                accepted = listening.accept() => self.accepted(accepted.map(|(stream, _)| stream)).await,
            }
        }
        self.empty_queue(listening);
    }

    /// Closing a socket resets what the kernel has completed but nobody accepted.
    fn empty_queue(&self, listening: TcpListener) {
        let Ok(listening) = listening.into_std() else {
            return;
        };
        while let Ok((stream, _)) = listening.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.start(stream);
            }
        }
    }

    async fn accepted(&self, accepted: io::Result<TcpStream>) {
        match accepted {
            Ok(stream) => self.start(stream),
            // The client gave up between its handshake and our accept.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(listener = %self.shared.policy.load().listener.name, %error, "accept failed; trying again");
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
        }
    }

    fn start(&self, stream: TcpStream) {
        let context = self.worker.context(&self.shared);
        let others = self.shared.sessions.fetch_add(1, Ordering::Relaxed);
        let limit = context.policy.listener.max_connections;
        if limit.is_some_and(|limit| others >= limit) {
            self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
            context.stats.inc(Listener::DOWNSTREAM_CX_OVERFLOW);
            tracing::warn!(listener = %context.policy.listener.name, limit, "max_connections reached; a client was turned away");
            return;
        }
        if let Err(error) = socket::prepare(&stream) {
            // Only a connection that is already gone refuses it; the session will find out.
            tracing::debug!(%error, "a client left before its session began");
        }
        match self.worker.lighter_peer() {
            Some(peer) => peer.hand_over(stream, &self.shared),
            None => serve(&self.worker, context, stream),
        }
    }
}

/// Starts a session on this worker.
pub fn serve(worker: &Rc<Worker>, context: Rc<ListenerContext>, stream: TcpStream) {
    let idle_timeout = match context.protocol {
        // Asks to be told itself: what is idle differs from one phase of an exchange to the next.
        ProtocolContext::Http(_) => None,
        _ => context.policy.listener.idle_timeout,
    };
    let handle = worker.sessions.enter(idle_timeout);
    let scratch = Rc::clone(&worker.scratch);
    // The session itself is the task: another future around it would hold its state twice.
    match &context.protocol {
        ProtocolContext::Collapse(_) => {
            tokio::task::spawn_local(collapse_session(stream, context, handle, scratch))
        }
        ProtocolContext::Http(_) => {
            tokio::task::spawn_local(http_session(stream, context, handle, scratch))
        }
        ProtocolContext::RedisCollapse(_) => {
            tokio::task::spawn_local(redis_session(stream, context, handle, scratch))
        }
        _ => tokio::task::spawn_local(session(stream, context, handle, scratch)),
    };
}
