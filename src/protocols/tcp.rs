//! TCP: bytes pass, and are counted.

use std::rc::Rc;

use super::relay::Observer;
use crate::stats::{Scope, Tcp};

/// Everything the sessions of one TCP listener share on one worker.
pub struct TcpListenerStats {
    /// The totals of the listener.
    pub stats: Scope<Tcp>,
}

/// Counts the bytes of one connection.
pub struct Count {
    listener: Rc<TcpListenerStats>,
}

impl Count {
    /// A new connection of this listener.
    pub fn new(listener: Rc<TcpListenerStats>) -> Self {
        Self { listener }
    }
}

impl Observer for Count {
    fn request_read(&mut self, bytes: &[u8]) {
        self.listener
            .stats
            .add(Tcp::DOWNSTREAM_CX_RX_BYTES_TOTAL, bytes.len() as u64);
    }

    fn request_writing(&mut self) {}

    fn request_written(&mut self, _total: u64) {}

    fn reply_read(&mut self, bytes: &[u8]) {
        self.listener
            .stats
            .add(Tcp::DOWNSTREAM_CX_TX_BYTES_TOTAL, bytes.len() as u64);
    }

    fn reply_written(&mut self, _total: u64) {}

    /// Opaque bytes have no quiet moment: a drain waits for its deadline.
    fn is_idle(&self) -> bool {
        false
    }
}
