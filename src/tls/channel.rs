//! The TLS of one connection, over a socket that somebody else owns.
//!
//! Sockets of a pool move from one worker's event queue to another's; so what is known of TLS has to be kept apart from them. All that
//! is asked of a socket here is to read and to write without waiting: an operation that would have to wait ends with
//! [`io::ErrorKind::WouldBlock`] and is begun again when the socket is ready.

use std::io::{self, IoSlice, Read, Write};

use rustls::Connection;

use super::Version;

/// The state of TLS between two peers.
#[derive(Debug)]
pub struct Channel {
    connection: Connection,
    client_identity: Option<Box<str>>,
    /// Met after bytes that came before it; told when they have been read.
    failure: Option<io::Error>,
    end_announced: bool,
}

impl Channel {
    /// Before the handshake.
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            client_identity: None,
            failure: None,
            end_announced: false,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn set_client_identity(&mut self, identity: Option<Box<str>>) {
        self.client_identity = identity;
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    pub(crate) fn version(&self) -> Version {
        Version::of(&self.connection)
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    pub(crate) fn client_identity(&self) -> Option<&str> {
        self.client_identity.as_deref()
    }

    /// Takes the handshake as far as the socket allows. Done when this succeeds.
    pub(super) fn handshake(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            let flushed = self.flush(io);
            if !self.connection.is_handshaking() || !is_blocked(&flushed) {
                flushed?;
            }
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            // Also while something waits to be sent: two that only send would wait for each other.
            if self.receive(io)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads what has come, as much as there is room for. Nothing is read at the end of the stream.
    pub(crate) fn read(
        &mut self,
        io: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut count = 0;
        while let Some(room) = buffer.get_mut(count..).filter(|room| !room.is_empty()) {
            let read = match self.connection.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.next_record(io).map(|()| None)
                }
                read => read.map(Some),
            };
            match read {
                Ok(None) => {}
                Ok(Some(0)) => break,
                Ok(Some(more)) => count += more,
                Err(error) if count == 0 => return Err(error),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.failure = Some(error);
                    }
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Takes in more, of which there may be something to read even when it ends in a failure.
    fn next_record(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let received = self.receive(io);
        if is_blocked(&received) {
            return received.map(|_| ());
        }
        self.failure = received.err();
        Ok(())
    }

    /// Writes as much as is taken, once what was written before is gone. An error says that nothing of these bytes was sent.
    pub(crate) fn write(
        &mut self,
        io: &mut (impl Read + Write),
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.flush(io)?;
        let count = self.connection.writer().write_vectored(pieces)?;
        let mut sent = false;
        while self.connection.wants_write() {
            match self.connection.write_tls(io) {
                Ok(1..) => sent = true,
                Err(error) if !sent && error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(error);
                }
                Ok(0) | Err(_) => break,
            }
        }
        Ok(count)
    }

    /// True when encrypted bytes wait for room in the socket.
    pub(crate) fn needs_flush(&self) -> bool {
        self.connection.wants_write()
    }

    /// Sends all that waits.
    pub(crate) fn flush(&mut self, io: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(io)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Sends all that waits, and that nothing more comes.
    pub(crate) fn shut_down(&mut self, io: &mut impl Write) -> io::Result<()> {
        if !self.end_announced {
            self.connection.send_close_notify();
            self.end_announced = true;
        }
        self.flush(io)
    }

    /// As [`Self::shut_down`], as far as the socket allows now.
    pub(crate) fn announce_end(&mut self, io: &mut impl Write) {
        if let Err(error) = self.shut_down(io) {
            tracing::trace!(%error, "the end of a TLS connection could not be announced");
        }
    }

    /// Takes in what has come; how many bytes, 0 at the end of the stream.
    fn receive(&mut self, io: &mut (impl Read + Write)) -> io::Result<usize> {
        let count = self.connection.read_tls(io)?;
        if let Err(error) = self.connection.process_new_packets() {
            // An alert tells the peer what is wrong. Whether it arrives is not ours to know: the connection ends here.
            let _ = self.flush(io);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(count)
    }
}

fn is_blocked<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests;
