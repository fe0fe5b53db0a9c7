//! Workers: one OS thread each, with a current-thread runtime of its own, and the messages the
//! control thread sends them.

mod pools;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::listener::sessions::{SessionTable, TICK, Verdict};
use crate::listener::{
    Accepting, ListenerContext, ListenerId, ListenerShared, WorkerParts, accept, serve,
};
use crate::protocols::inbox::Buffers;
use crate::protocols::mongo::Notes;
use crate::protocols::mongo::lifecycle::Note;
use crate::protocols::relay::{Scratch, scratch};
use crate::stats::{Shard, WorkerSeed};
use crate::upstream::pool::{self, SharedPool};
use pools::Pools;

/// A worker hands a connection over when it has this many sessions more than another one, and an
/// eighth more: below that, moving a connection costs more than the difference.
const CLEARLY_AHEAD: usize = 2;

/// What the control thread, or another worker, asks of a worker.
pub enum Message {
    /// Accept on this socket from now on.
    Listen {
        /// The listener.
        shared: Arc<ListenerShared>,
        /// This worker's own socket.
        socket: std::net::TcpListener,
    },
    /// Accept no more for this listener.
    Unlisten(Arc<ListenerShared>),
    /// A connection that another worker accepted.
    Serve {
        /// Its listener.
        shared: Arc<ListenerShared>,
        /// Its socket.
        stream: std::net::TcpStream,
    },
    /// For this worker's part of a pool.
    Pool(Weak<SharedPool>, pool::Message),
    /// Stop accepting; end each session when it is quiet. Answered when none is left.
    Drain(oneshot::Sender<()>),
    /// End every session now. Answered when none is left.
    Abort(oneshot::Sender<()>),
}

/// A worker, as the others see it.
pub struct Peer {
    messages: mpsc::UnboundedSender<Message>,
    sessions: Arc<AtomicUsize>,
}

impl Peer {
    /// Sends a message. A worker that is gone takes none, and its process is ending.
    pub fn send(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::debug!("a message for a worker that has ended was dropped");
        }
    }

    /// Gives a connection to this worker.
    pub fn hand_over(&self, stream: TcpStream, shared: &Arc<ListenerShared>) {
        match stream.into_std() {
            Ok(stream) => self.send(Message::Serve {
                shared: Arc::clone(shared),
                stream,
            }),
            Err(error) => {
                shared.sessions.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(%error, "a connection could not be handed to another worker");
            }
        }
    }

    /// Sessions it serves now.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// All workers of the process, as the control thread holds them.
pub struct Workers {
    /// One for each worker.
    pub peers: Arc<[Peer]>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts one worker for each seed. `notes` receives what workers gather for the control
    /// thread, once a tick.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(
        seeds: Vec<WorkerSeed>,
        notes: &mpsc::UnboundedSender<Vec<Note>>,
    ) -> io::Result<Self> {
        let mut peers = Vec::new();
        let mut inboxes = Vec::new();
        for _ in &seeds {
            let (messages, inbox) = mpsc::unbounded_channel();
            peers.push(Peer {
                messages,
                sessions: Arc::default(),
            });
            inboxes.push(inbox);
        }
        let peers: Arc<[Peer]> = peers.into();
        let mut threads = Vec::new();
        for (index, (seed, inbox)) in seeds.into_iter().zip(inboxes).enumerate() {
            let peers = Arc::clone(&peers);
            let notes = notes.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || run(index, peers, seed, inbox, &notes))?;
            threads.push(thread);
        }
        Ok(Self { peers, threads })
    }

    /// Sends every worker the message that `make` makes for it.
    pub fn tell(&self, mut make: impl FnMut() -> Message) {
        for peer in self.peers.iter() {
            peer.send(make());
        }
    }

    /// Asks every worker something and waits until all have answered.
    async fn ask(&self, make: impl Fn(oneshot::Sender<()>) -> Message) {
        let mut answers = Vec::new();
        for peer in self.peers.iter() {
            let (done, answer) = oneshot::channel();
            peer.send(make(done));
            answers.push(answer);
        }
        for answer in answers {
            // A worker that is gone has nothing left to wait for.
            let _ = answer.await;
        }
    }

    /// Ends sessions as they become quiet; returns when none is left.
    pub async fn drain(&self) {
        self.ask(Message::Drain).await;
    }

    /// Ends all sessions; returns when none is left.
    pub async fn abort(&self) {
        self.ask(Message::Abort).await;
    }

    /// Sessions over all workers.
    pub fn sessions(&self) -> usize {
        self.peers.iter().map(Peer::sessions).sum()
    }

    /// True while every worker runs. A worker that panicked is gone for good.
    pub fn all_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

/// What the tasks of one worker share.
pub struct Worker {
    index: usize,
    peers: Arc<[Peer]>,
    shard: Shard,
    notes: Notes,
    buffers: Rc<Buffers>,
    pools: Pools,
    listeners: RefCell<HashMap<ListenerId, Accepting>>,
    contexts: RefCell<Vec<Rc<ListenerContext>>>,
    /// Its sessions.
    pub sessions: Rc<SessionTable>,
    /// Its one read buffer.
    pub scratch: Scratch,
}

impl Worker {
    /// A listener's series, for this worker: made once, and again after a reload.
    pub fn context(&self, shared: &Arc<ListenerShared>) -> Rc<ListenerContext> {
        let mut contexts = self.contexts.borrow_mut();
        let known = contexts
            .iter_mut()
            .find(|context| Arc::ptr_eq(&context.shared, shared));
        if let Some(known) = &known
            && Arc::ptr_eq(&known.policy, &shared.policy.load())
        {
            return Rc::clone(known);
        }
        let parts = WorkerParts {
            shard: &self.shard,
            notes: &self.notes,
            buffers: &self.buffers,
            pool: &|shared| self.pools.get(shared),
        };
        let made = Rc::new(ListenerContext::new(shared, &parts));
        match known {
            Some(outdated) => *outdated = Rc::clone(&made),
            None => contexts.push(Rc::clone(&made)),
        }
        made
    }

    /// The worker with the fewest sessions, when this one is clearly ahead of it. Database clients
    /// keep few, long connections: the kernel's hashing alone can crowd them on one core.
    pub fn lighter_peer(&self) -> Option<&Peer> {
        let mine = self.peers.get(self.index)?.sessions();
        let lightest = self.peers.iter().min_by_key(|peer| peer.sessions())?;
        let theirs = lightest.sessions();
        (mine >= theirs + CLEARLY_AHEAD + theirs / 8).then_some(lightest)
    }

    fn take(self: &Rc<Self>, message: Message) {
        match message {
            Message::Listen { shared, socket } => {
                let id = shared.id;
                match accept(self, Arc::clone(&shared), socket) {
                    Ok(accepting) => {
                        self.listeners.borrow_mut().insert(id, accepting);
                        // A pool begins to keep its connections at hand before the first client comes.
                        let _ = self.context(&shared);
                    }
                    Err(error) => tracing::error!(%error, "a worker can't accept"),
                }
            }
            Message::Unlisten(shared) => {
                self.listeners.borrow_mut().remove(&shared.id);
                self.contexts
                    .borrow_mut()
                    .retain(|context| !Arc::ptr_eq(&context.shared, &shared));
            }
            Message::Serve { shared, stream } => self.serve_handed_over(&shared, stream),
            Message::Pool(to, message) => self.pools.take(&to, message),
            Message::Drain(done) => self.end(Verdict::Drain, done),
            Message::Abort(done) => self.end(Verdict::Abort, done),
        }
    }

    fn serve_handed_over(
        self: &Rc<Self>,
        shared: &Arc<ListenerShared>,
        stream: std::net::TcpStream,
    ) {
        match TcpStream::from_std(stream) {
            Ok(stream) => serve(self, self.context(shared), stream),
            Err(error) => {
                shared.sessions.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(%error, "a connection from another worker could not be taken over");
            }
        }
    }

    fn end(self: &Rc<Self>, how: Verdict, done: oneshot::Sender<()>) {
        self.listeners.borrow_mut().clear();
        self.sessions.end_all(how);
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            worker.sessions.wait_until_empty().await;
            worker.pools.wind_down();
            // Nobody waits any more when the process was told to end twice.
            let _ = done.send(());
        });
    }
}

/// A worker's thread, from its first moment to the end of its messages.
fn run(
    index: usize,
    peers: Arc<[Peer]>,
    seed: WorkerSeed,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    notes: &mpsc::UnboundedSender<Vec<Note>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(worker = index, %error, "a worker could not start");
            return;
        }
    };
    runtime.block_on(async move {
        let count = peers.get(index).map(|me| Arc::clone(&me.sessions));
        let shard = seed.plant();
        let worker = Rc::new(Worker {
            index,
            pools: Pools::new(shard.clone(), Arc::clone(&peers), index),
            peers,
            shard,
            buffers: Rc::default(),
            notes: Notes::default(),
            listeners: RefCell::default(),
            contexts: RefCell::default(),
            sessions: Rc::new(SessionTable::new(count.unwrap_or_default())),
            scratch: scratch(),
        });
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => worker.take(message),
                    None => return,
                },
                _ = tick.tick() => {
                    worker.sessions.walk();
                    worker.pools.tick();
                    hand_in(&worker.notes, notes);
                }
            }
        }
    });
}

/// Gives what sessions noted to the control thread.
fn hand_in(gathered: &Notes, notes: &mpsc::UnboundedSender<Vec<Note>>) {
    if gathered.borrow().is_empty() {
        return;
    }
    // The control thread is gone only when the process is ending.
    let _ = notes.send(gathered.take());
}
