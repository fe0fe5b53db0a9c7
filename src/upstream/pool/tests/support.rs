//! A server that counts its connections, an opener that dials it, and workers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::super::*;
use crate::config::{PoolConfig, StatsLimits};
use crate::stats::render::{self, Filter};
use crate::stats::{Aggregator, Registry, Shard, WorkerSeed};
use crate::upstream::Endpoint;

pub(super) const LIMITS: StatsLimits = StatsLimits {
    commands: 10,
    collections: 10,
    call_sites: 10,
    applications: 10,
    error_codes: 10,
    drivers: 10,
    callers: 10,
    grpc_methods: 10,
    status_codes: 10,
};

/// Longer than anything a test waits for when all is well.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) fn config(max_connections: usize) -> PoolConfig {
    PoolConfig {
        max_connections,
        min_idle: 0,
        max_connecting: 2,
        max_waiting: 1000,
        wait_timeout: LONG,
        idle_timeout: None,
        max_lifetime: None,
        max_long_waits: max_connections.div_ceil(2),
    }
}

/// A server: it echoes bytes, and closes a connection on which `Q` arrives.
pub(super) struct Server {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) state: Arc<ServerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(super) struct ServerState {
    pub(super) accepted: AtomicUsize,
    /// Most connections that were open at the same time.
    pub(super) most: AtomicUsize,
    connections: Mutex<HashMap<usize, StdStream>>,
    stop: AtomicBool,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_beside(&Arc::default())
    }

    /// A server whose connections are counted together with others'.
    pub(super) fn start_beside(state: &Arc<ServerState>) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::clone(state);
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || state.accept(&listener)
        });
        Self {
            endpoint: endpoint(address),
            state,
            thread: Some(thread),
        }
    }
}

impl ServerState {
    fn accept(self: Arc<Self>, listener: &StdListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let number = self.accepted.fetch_add(1, Ordering::SeqCst);
            let clone = stream.try_clone().unwrap();
            stream.set_nodelay(true).unwrap();
            self.connections.lock().unwrap().insert(number, clone);
            self.note_most();
            let state = Arc::clone(&self);
            std::thread::spawn(move || state.serve(number, stream));
        }
    }

    fn serve(&self, number: usize, mut stream: StdStream) {
        use std::io::{Read, Write};
        let mut bytes = [0; 64];
        while let Ok(read) = stream.read(&mut bytes) {
            if read == 0
                || bytes[..read].contains(&b'Q')
                || stream.write_all(&bytes[..read]).is_err()
            {
                break;
            }
        }
        self.connections.lock().unwrap().remove(&number);
    }

    /// Connections that the client has not closed. A close is seen by the kernel at once, though
    /// the thread that serves it may not have run yet.
    pub(super) fn open(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let open = connections.values().filter(|stream| !is_closed(stream));
        open.count()
    }

    fn note_most(&self) {
        // The exact count is slow. The quick one is never too low, and so says when it matters.
        let may_be = {
            let connections = self.connections.lock().unwrap();
            let open = connections
                .values()
                .filter(|stream| peek(stream) != Peek::End);
            open.count()
        };
        if may_be > self.most.load(Ordering::SeqCst) {
            self.most.fetch_max(self.open(), Ordering::SeqCst);
        }
    }

    /// Closes every connection from the server's side.
    pub(super) fn close_all(&self) {
        for stream in self.connections.lock().unwrap().values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// What there is to read.
#[derive(PartialEq, Eq)]
enum Peek {
    Nothing,
    Bytes,
    End,
}

fn peek(stream: &StdStream) -> Peek {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let socket = socket2::SockRef::from(stream);
    match socket.recv_with_flags(&mut byte, MSG_PEEK | MSG_DONTWAIT) {
        Ok(0) => Peek::End,
        Ok(_) => Peek::Bytes,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Nothing,
        Err(_) => Peek::End,
    }
}

/// Whether the peer has closed it, even if what it sent before was not read yet.
fn is_closed(stream: &StdStream) -> bool {
    match peek(stream) {
        Peek::End => true,
        Peek::Nothing => false,
        Peek::Bytes => !is_established(stream).unwrap_or(false),
    }
}

/// What the kernel says of a connection whose end can't be read because bytes stand before it.
fn is_established(stream: &StdStream) -> Option<bool> {
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from(ip).swap_bytes(), address.port()),
        IpAddr::V6(_) => unreachable!("the servers of these tests speak IPv4"),
    };
    let pair = format!(
        "{} {} ",
        hex(stream.local_addr().ok()?),
        hex(stream.peer_addr().ok()?)
    );
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (_, rest) = table.split_once(&pair)?;
    Some(rest.starts_with("01"))
}

/// `<sys/socket.h>` of Linux.
const MSG_PEEK: i32 = 0x02;
const MSG_DONTWAIT: i32 = 0x40;

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.state.close_all();
        let address = self.endpoint.addresses()[0];
        let _ = StdStream::connect(address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(super) fn endpoint(address: SocketAddr) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(
        address.ip().to_string(),
        address.port(),
        None,
    ))
}

/// Dials. What goes wrong is set by the test.
#[derive(Default)]
pub(super) struct Dialler {
    /// Every opening fails.
    pub(super) fails: AtomicBool,
    /// One opening in so many fails; 0 is none.
    pub(super) fails_one_in: AtomicUsize,
    pub(super) tried: AtomicUsize,
    /// Openings wait until there is a permit.
    pub(super) gate: Option<Arc<tokio::sync::Semaphore>>,
    /// Openings that wait there.
    pub(super) at_gate: AtomicUsize,
    /// Openings that have succeeded.
    pub(super) passed: AtomicUsize,
}

impl Opener for Arc<Dialler> {
    fn open(&self, endpoint: Arc<Endpoint>, _credential: u32) -> Opening {
        let dialler = Arc::clone(self);
        Box::pin(async move {
            let tried = dialler.tried.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(gate) = &dialler.gate {
                dialler.at_gate.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                dialler.at_gate.fetch_sub(1, Ordering::SeqCst);
            }
            let one_in = dialler.fails_one_in.load(Ordering::SeqCst);
            if dialler.fails.load(Ordering::SeqCst) || (one_in > 0 && tried.is_multiple_of(one_in))
            {
                return Err(OpenError::new(OpenErrorKind::Refused, "told to fail"));
            }
            let begun = Instant::now();
            let address = endpoint.addresses()[0];
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| OpenError::new(OpenErrorKind::Refused, error.to_string()))?;
            crate::socket::prepare(&stream).unwrap();
            dialler.passed.fetch_add(1, Ordering::SeqCst);
            Ok(Opened {
                stream: stream.into(),
                dialled_in: begun.elapsed(),
                max_wire: 17,
                compressor: None,
                speaks_first: false,
            })
        })
    }
}

/// A pool of one cluster, and statistics for its workers.
pub(super) struct Cluster {
    pub(super) shared: Arc<SharedPool>,
    pub(super) dialler: Arc<Dialler>,
    pub(super) aggregator: Aggregator,
}

impl Cluster {
    pub(super) fn new(config: PoolConfig, dialler: Dialler) -> Self {
        let dialler = Arc::new(dialler);
        let policy = PoolPolicy {
            config,
            opener: Arc::new(Arc::clone(&dialler)),
        };
        Self {
            shared: SharedPool::new("orders", policy, Vec::new()),
            dialler,
            aggregator: Aggregator::new(Registry::new(&LIMITS)),
        }
    }

    pub(super) fn set(&self, config: PoolConfig) {
        self.shared.set_policy(PoolPolicy {
            config,
            opener: Arc::new(Arc::clone(&self.dialler)),
        });
    }

    /// The statistics page.
    pub(super) async fn text(&mut self) -> String {
        self.aggregator.refresh().await;
        render::text(&self.aggregator, &Filter::default())
    }

    /// A number of the statistics page; 0 where it is not shown.
    pub(super) async fn stat(&mut self, name: &str) -> i64 {
        self.sum(|dotted| dotted == name).await
    }

    /// The sum of the counters that begin like this.
    pub(super) async fn stats(&mut self, prefix: &str) -> i64 {
        self.sum(|dotted| dotted.starts_with(prefix)).await
    }

    async fn sum(&mut self, is_meant: impl Fn(&str) -> bool) -> i64 {
        let text = self.text().await;
        text.lines()
            .filter_map(|line| line.strip_prefix("cluster.orders.")?.split_once(": "))
            .filter(|(dotted, _)| is_meant(dotted))
            .map(|(_, value)| value.parse::<i64>().unwrap())
            .sum()
    }

    /// Nothing is held by anybody. The number of open connections is the caller's to know.
    pub(super) fn assert_quiet(&self) {
        let snapshot = self.shared.snapshot(Instant::now());
        assert_eq!(snapshot.waiting, 0, "{snapshot:?}");
        assert_eq!(snapshot.connecting, 0, "{snapshot:?}");
        assert_eq!(snapshot.long_waits_active, 0, "{snapshot:?}");
        assert_eq!(snapshot.long_waits_waiting, 0, "{snapshot:?}");
        let idle: usize = snapshot.keys.iter().map(|key| key.idle).sum();
        assert_eq!(idle, snapshot.open, "{snapshot:?}");
        for key in &snapshot.keys {
            assert_eq!(
                (key.active, key.waiting, key.connecting),
                (0, 0, 0),
                "{snapshot:?}"
            );
            assert_eq!(key.longest_wait, None, "{snapshot:?}");
            assert_eq!(key.total, key.idle, "{snapshot:?}");
        }
    }
}

/// A worker of this thread: its pool, and a task that reads its messages.
pub(super) fn join(shared: &Arc<SharedPool>, shard: &Shard) -> Rc<ClusterPool> {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let pool = ClusterPool::new(shared, shard, move |message| {
        let _ = sender.send(message);
    });
    let weak = Rc::downgrade(&pool);
    tokio::task::spawn_local(async move {
        while let Some(message) = inbox.recv().await {
            match weak.upgrade() {
                Some(pool) => pool.take(message),
                None => return,
            }
        }
    });
    pool
}

/// Runs a test on a worker's kind of runtime.
pub(super) fn on_worker<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(test)
}

/// A worker on a thread of its own, which does what it is sent.
pub(super) struct Worker {
    work: mpsc::UnboundedSender<Job>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(Rc<ClusterPool>) -> std::pin::Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Worker {
    pub(super) fn start(shared: &Arc<SharedPool>, seed: WorkerSeed) -> Self {
        let (work, mut jobs) = mpsc::unbounded_channel::<Job>();
        let shared = Arc::clone(shared);
        let thread = std::thread::spawn(move || {
            on_worker(async move {
                let pool = join(&shared, &seed.plant());
                while let Some(job) = jobs.recv().await {
                    tokio::task::spawn_local(job(Rc::clone(&pool)));
                }
            });
        });
        Self {
            work,
            thread: Some(thread),
        }
    }

    /// Starts something there; its result can be received here.
    pub(super) fn spawn<T: Send + 'static, F: Future<Output = T> + 'static>(
        &self,
        job: impl FnOnce(Rc<ClusterPool>) -> F + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |pool| {
            let future = job(pool);
            Box::pin(async move {
                let _ = done.send(future.await);
            })
        });
        assert!(self.work.send(job).is_ok(), "the worker has ended");
        result
    }

    /// Ends it, once its jobs have.
    pub(super) fn join(mut self) {
        drop(std::mem::replace(
            &mut self.work,
            mpsc::unbounded_channel().0,
        ));
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(super) fn deadline(after: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + after
}

/// Lets other tasks run until something is so. Not by time: it ends with the test's own limit.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Sends a byte and reads it back.
pub(super) async fn echo(lease: &mut Lease, byte: u8) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    lease.stream().write_all(&[byte]).await?;
    let mut answer = [0; 8];
    let read = lease.stream().read(&mut answer).await?;
    match answer.get(..read) {
        Some([echoed]) if *echoed == byte => Ok(()),
        Some([]) => Err(io::ErrorKind::UnexpectedEof.into()),
        other => panic!("a reply that belongs to someone else: {other:?}"),
    }
}

/// The seeds of a run.
pub(super) fn rounds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("NARROWS_POOL_SEED").unwrap_or(1);
    first..first + number("NARROWS_POOL_ROUNDS").unwrap_or(usual)
}

/// SplitMix64.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What this worker thinks, for whoever has to find out why somebody was forgotten.
pub(super) fn describe(pool: &ClusterPool) -> String {
    let mut text = format!("{:?}\n", pool.shared().snapshot(Instant::now()));
    let state = pool.state();
    text += &format!(
        "published here {:?}, idle here {}\n",
        state.published, state.idle
    );
    for (place, lane) in &state.lanes {
        let (key, asked, on_hold) = (&lane.key, lane.asked, lane.on_hold);
        let (waiting, opening) = (lane.waiters.len(), lane.opening);
        let published = lane.share.first.get();
        text += &format!(
            "lane {place} {}#{}: waiting {waiting}, opening {opening}, asked {asked}, on hold {on_hold}, published {published:?}, failing {}\n",
            key.endpoint.name,
            key.credential,
            key.is_failing()
        );
    }
    for member in pool.shared().members().iter() {
        text += &format!(
            "a worker: first {:?}, idle {}\n",
            member.first.get(),
            member.idle()
        );
    }
    text
}
