//! The client: opens connections, and keeps one command outstanding on each.

use crate::{cpu, wire};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_local},
    time::{sleep, sleep_until},
};

/// Not measured: connections open and caches fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// How many connections are opened at a time, so that no listen queue overflows.
const OPENING: usize = 64;

/// A refused or dropped connection attempt is tried again this often, 100 ms apart.
const ATTEMPTS: usize = 20;

/// What the load cost.
pub struct Cost {
    operations: usize,
    seconds: f64,
    cpu: Duration,
    p50: Duration,
    p99: Duration,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.operations.max(1) as f64;
        write!(
            f,
            r#"{{"operations":{},"operations_per_second":{:.0},"cpu_us_per_operation":{:.3},"p50_us":{},"p99_us":{}}}"#,
            self.operations,
            operations / self.seconds,
            self.cpu.as_secs_f64() * 1e6 / operations,
            self.p50.as_micros(),
            self.p99.as_micros(),
        )
    }
}

/// Sends finds over `connections` for `window`, with a pause of `think` after each, and takes the CPU time that process `pid` used meanwhile.
pub async fn load(
    address: SocketAddr,
    connections: usize,
    window: Duration,
    think: Duration,
    pid: u32,
) -> io::Result<Cost> {
    let times = Rc::new(RefCell::new(Vec::new()));
    let state = Rc::new(Cell::new(State::WarmUp));
    let mut sessions = JoinSet::new();
    let opened = open(address, connections).await?;
    for (number, stream) in (0_u32..).zip(opened) {
        // Whoever thinks begins within the first pause, one after the other.
        let begin = think * number / u32::try_from(connections).unwrap_or(u32::MAX);
        sessions.spawn_local(find_repeatedly(
            stream,
            (begin, think),
            Rc::clone(&times),
            Rc::clone(&state),
        ));
    }
    sleep(WARM_UP).await;
    let (start, before) = (Instant::now(), cpu::used(pid)?);
    state.set(State::Measured);
    sleep_until((start + window).into()).await;
    state.set(State::Over);
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu::used(pid)? - before);
    while let Some(session) = sessions.join_next().await {
        session??;
    }
    let mut times = times.take();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    Ok(Cost {
        operations: times.len(),
        seconds,
        cpu,
        p50: at(0.50).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    WarmUp,
    Measured,
    Over,
}

/// Opens that many connections and says hello on each.
pub async fn open(address: SocketAddr, connections: usize) -> io::Result<Vec<TcpStream>> {
    let mut opened = Vec::with_capacity(connections);
    while opened.len() < connections {
        let next: Vec<_> = (opened.len()..connections)
            .take(OPENING)
            .map(|_| spawn_local(greet(address)))
            .collect();
        for stream in next {
            opened.push(stream.await??);
        }
    }
    Ok(opened)
}

async fn greet(address: SocketAddr) -> io::Result<TcpStream> {
    let mut attempt = 1;
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
        attempt += 1;
    };
    stream.set_nodelay(true)?;
    let mut reply = Vec::new();
    exchange(&mut stream, &mut wire::hello(), 1, &mut reply).await?;
    // A proxy may well answer it itself.
    match wire::is_ok(&reply) {
        true => Ok(stream),
        false => Err(io::Error::other("hello was refused")),
    }
}

async fn find_repeatedly(
    mut stream: TcpStream,
    (begin, think): (Duration, Duration),
    times: Rc<RefCell<Vec<Duration>>>,
    state: Rc<Cell<State>>,
) -> io::Result<()> {
    let (mut request, id_at) = wire::find();
    let expected = wire::find_reply();
    let mut received = Vec::with_capacity(1024);
    let mut id: i32 = 1;
    sleep(begin).await;
    while state.get() != State::Over {
        id = id.wrapping_add(1);
        wire::put_i32(&mut request, id_at, id % 1000);
        let start = Instant::now();
        exchange(&mut stream, &mut request, id, &mut received).await?;
        // Byte for byte, but for its ids.
        if received.get(12..) != expected.get(12..) {
            return Err(io::Error::other("a reply that the server did not send"));
        }
        if state.get() == State::Measured {
            times.borrow_mut().push(start.elapsed());
        }
        if !think.is_zero() {
            sleep(think).await;
        }
    }
    Ok(())
}

/// Sends a request and reads its reply.
async fn exchange(
    stream: &mut TcpStream,
    request: &mut [u8],
    id: i32,
    received: &mut Vec<u8>,
) -> io::Result<()> {
    wire::put_i32(request, 4, id);
    stream.write_all(request).await?;
    received.clear();
    while wire::complete(received)?.is_none() {
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if wire::i32_at(received, 8) != id {
        return Err(io::Error::other("a reply to another request"));
    }
    Ok(())
}
