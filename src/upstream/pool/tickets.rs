//! The ticket of whoever is first somewhere, for other workers to see.

use std::sync::atomic::{AtomicU64, Ordering};

/// In place of a ticket: nobody waits.
pub(super) const NOBODY: u64 = u64::MAX;

/// Added to a ticket: something is on its way to the one who waits with it. Tickets are counted from 0, and never reach this bit.
const CLAIMED: u64 = 1 << 63;

/// Keeps what one worker writes out of the cache lines that others read: 128 bytes, since x86
/// fetches lines in pairs.
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// A ticket that one worker publishes and others may claim.
pub(super) struct Ticket(Padded<AtomicU64>);

impl Default for Ticket {
    fn default() -> Self {
        Self(Padded(AtomicU64::new(NOBODY)))
    }
}

impl Ticket {
    /// Lets others see it, whoever has claimed the one before.
    pub(super) fn publish(&self, ticket: u64) {
        self.0.0.store(ticket, Ordering::SeqCst);
    }

    /// The ticket, unless nobody waits or something is on its way.
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.0.load(Ordering::SeqCst)).filter(|ticket| *ticket < CLAIMED)
    }

    /// True when it was this ticket that was published, claimed by now or not.
    pub(super) fn is(&self, ticket: u64) -> bool {
        let published = self.0.0.load(Ordering::SeqCst);
        published != NOBODY && published & !CLAIMED == ticket
    }

    /// Takes it upon the caller to send something for that ticket.
    pub(super) fn claim(&self, ticket: u64) -> bool {
        self.0
            .0
            .compare_exchange(ticket, ticket | CLAIMED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_claimed_once_until_it_is_published_again() {
        let ticket = Ticket::default();
        assert_eq!(ticket.get(), None);
        ticket.publish(7);
        assert_eq!(ticket.get(), Some(7));
        assert!(!ticket.claim(6) && ticket.claim(7) && !ticket.claim(7));
        assert_eq!(ticket.get(), None);
        assert!(ticket.is(7) && !ticket.is(6));
        ticket.publish(7);
        assert!(ticket.claim(7));
        ticket.publish(NOBODY);
        assert!(!ticket.is(7) && !ticket.is(NOBODY & !CLAIMED));
    }
}
