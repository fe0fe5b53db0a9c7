//! What a peer has sent and nobody has dealt with yet. The memory belongs to the worker: it is taken when bytes arrive and given back
//! when all of them have been dealt with, so that an idle connection has none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Size of a buffer that is kept for the next client: most requests are smaller, and 16 KiB is what is read at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// A buffer that has grown beyond this is not kept.
const KEPT_BYTES: usize = 64 * 1024;

/// Buffers that a worker keeps while nobody needs them: 4 MiB.
const MAX_KEPT: usize = 256;

/// Bytes that the requests of one worker may hold beyond `KEPT_BYTES` each: five of the largest messages. Without a bound, clients
/// could have the proxy hold 48 MB each.
pub const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;

/// The buffers of one worker.
#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    held: Cell<usize>,
}

impl Buffers {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        let kept = self.free.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// A buffer that nobody needs any more.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= KEPT_BYTES && free.len() < MAX_KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}

/// The bytes of one peer.
pub struct Inbox {
    buffers: Rc<Buffers>,
    bytes: Vec<u8>,
    /// How many of them have been dealt with.
    gone: usize,
    /// How many have been shown to a decoder, of those that have not been dealt with.
    seen: usize,
    /// What this peer adds to [`Buffers::held`].
    charged: usize,
}

impl Inbox {
    /// Nothing has come yet.
    pub fn new(buffers: Rc<Buffers>) -> Self {
        Self {
            buffers,
            bytes: Vec::new(),
            gone: 0,
            seen: 0,
            charged: 0,
        }
    }

    /// All bytes, the first message first.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.gone..).unwrap_or_default()
    }

    /// The first message, which has this length.
    pub fn message_mut(&mut self, length: usize) -> &mut [u8] {
        let end = self.bytes.len().min(self.gone + length);
        self.bytes.get_mut(self.gone..end).unwrap_or_default()
    }

    /// The bytes that have not been shown to the decoder.
    pub fn unseen(&self) -> &[u8] {
        self.bytes().get(self.seen..).unwrap_or_default()
    }

    /// So many more have been shown.
    pub fn saw(&mut self, count: usize) {
        self.seen += count;
    }

    /// How many have been shown.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// True when all of them have been dealt with.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The first bytes have been dealt with.
    pub fn consume(&mut self, count: usize) {
        self.seen = self.seen.saturating_sub(count);
        self.gone += count;
        if self.gone >= self.bytes.len() {
            self.buffers.give_back(std::mem::take(&mut self.bytes));
            self.gone = 0;
        }
        self.charge();
    }

    /// Adds what the peer has sent.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes = self.buffers.take();
        }
        // A buffer that would have to grow is made room in first.
        if self.gone > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.charge();
    }

    /// True when the requests of this worker hold more than they may, this one's share among it.
    pub fn is_over_budget(&self) -> bool {
        self.charged > 0 && self.buffers.held.get() > MAX_HELD_BYTES
    }

    fn charge(&mut self) {
        let now = self.bytes.capacity().saturating_sub(KEPT_BYTES);
        let others = self.buffers.held.get().saturating_sub(self.charged);
        self.buffers.held.set(others + now);
        self.charged = now;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
        self.charge();
    }
}
