//! Lines packed into datagrams. Own, because cadence's buffered sinks keep what they could not send, and try it again
//! with every further line.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cadence::MetricSink;

/// cadence's view of [`Datagrams`].
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Datagrams>);

impl MetricSink for Handle {
    fn emit(&self, metric: &str) -> io::Result<usize> {
        self.0.push(metric);
        Ok(metric.len())
    }
}

/// A socket and the datagram that is being filled.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: Socket,
    /// Only the control thread locks it; the sink of a cadence client has to be `Sync`.
    state: Mutex<State>,
}

/// What became of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Lines that the kernel took.
    pub(super) lines: u64,
    /// Lines that it did not.
    pub(super) dropped: u64,
}

/// Where the datagrams go.
#[derive(Debug)]
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

#[derive(Debug, Default)]
struct State {
    datagram: String,
    lines: u64,
    sent: Sent,
    /// Time that sending took in this interval.
    spent: Duration,
}

impl Datagrams {
    pub(super) fn new(socket: Socket) -> Self {
        let state = Mutex::default();
        Self { socket, state }
    }

    /// Sends what is left, and says what became of everything since the last call.
    pub(super) fn finish(&self) -> Sent {
        let mut state = self.state();
        self.send(&mut state);
        std::mem::take(&mut *state).sent
    }

    fn push(&self, line: &str) {
        let mut state = self.state();
        if state.datagram.len() + 1 + line.len() > self.socket.datagram_size() {
            self.send(&mut state);
        }
        if !state.datagram.is_empty() {
            state.datagram.push('\n');
        }
        state.datagram.push_str(line);
        state.lines += 1;
    }

    fn send(&self, state: &mut State) {
        let lines = std::mem::take(&mut state.lines);
        if lines == 0 {
            return;
        }
        let started = Instant::now();
        let taken = state.spent < BUDGET && self.socket.send(state.datagram.as_bytes()).is_ok();
        state.spent += started.elapsed();
        match taken {
            true => state.sent.lines += lines,
            false => state.sent.dropped += lines,
        }
        state.datagram.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    pub(super) fn udp(daemon: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match daemon {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        // Connected, so that an absent daemon on this host is noticed.
        socket.connect(daemon)?;
        socket.set_nonblocking(true)?;
        Ok(Self::Udp(socket))
    }

    pub(super) fn unix(path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The kernel queues ten datagrams for a reader (net.unix.max_dgram_qlen), less than an interval has:
        // a reader that keeps up is waited for, and one that does not costs its `BUDGET`.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Unix(socket, path))
    }

    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(datagram),
            // By path each time: a daemon that was restarted has a new socket there.
            Self::Unix(socket, path) => socket.send_to(datagram, path),
        }
    }

    fn datagram_size(&self) -> usize {
        match self {
            Self::Udp(_) => UDP_DATAGRAM,
            Self::Unix(..) => UNIX_DATAGRAM,
        }
    }
}

/// 1,500 bytes of Ethernet less the largest IP and UDP headers; DogStatsD clients use the same.
const UDP_DATAGRAM: usize = 1_432;
/// What a DogStatsD agent reads at once from its socket by default.
const UNIX_DATAGRAM: usize = 8_192;
/// One datagram waits this long for room in the daemon's queue.
const PATIENCE: Duration = Duration::from_millis(20);
/// All sending of an interval may take this long. The control thread does nothing else meanwhile; workers do not notice.
const BUDGET: Duration = Duration::from_millis(100);
