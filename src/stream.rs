//! One connection, plain or within TLS: what every session, pool and monitor reads from and writes to.
//!
//! A plain connection costs a comparison more than its bare socket, and no byte of memory beyond a pointer. The bytes of TLS go through
//! [`Channel`], which lives on the heap.
//!
//! What was written within TLS may still wait for room in the socket: whoever has written all there is asks [`Stream::needs_flush`], or
//! flushes. A plain connection never needs that.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::socket;
use crate::tls::Channel;

/// A connection to a client or a server.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<Channel>>,
}

/// A connection between two workers: out of the one's event queue, not yet in the other's.
#[derive(Debug)]
pub struct Detached {
    tcp: std::net::TcpStream,
    tls: Option<Box<Channel>>,
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }
}

impl Stream {
    /// A connection whose handshake is done.
    pub(crate) fn within_tls(tcp: TcpStream, channel: Box<Channel>) -> Self {
        Self {
            tcp,
            tls: Some(channel),
        }
    }

    pub(crate) fn channel(&self) -> Option<&Channel> {
        self.tls.as_deref()
    }

    /// The socket, for its addresses and options. What is read from it or written to it here is lost to the stream.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// True when the bytes on the wire are encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The application protocol that was agreed on in the handshake, such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn()
    }

    /// The version of TLS, such as `TLSv1.3`.
    pub fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_ref().map(|tls| tls.version().label())
    }

    /// The server name that the client asked for in the handshake.
    pub fn server_name(&self) -> Option<&str> {
        self.tls.as_ref()?.server_name()
    }

    /// Who the client is by its certificate, which was verified: the common name of its subject, or else the first of its other names.
    pub fn client_identity(&self) -> Option<&str> {
        self.tls.as_ref()?.client_identity()
    }

    /// Makes the close of this connection a reset instead of an orderly end.
    pub fn reset_on_close(&self) {
        socket::reset_on_close(&self.tcp);
    }

    /// Tells the peer that the end which follows is meant, and no attack that cuts the stream. Nothing is waited for, and nothing sent on a
    /// plain connection, whose close says the same.
    pub fn announce_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.announce_end(&mut Tried(&self.tcp));
        }
    }

    /// Reads what has come, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing has; [`io::ErrorKind::UnexpectedEof`] when the peer ended TLS without saying so.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.try_read(buffer),
            Some(tls) => tls.read(&mut Tried(&self.tcp), buffer),
        }
    }

    /// Writes what is taken without waiting. With no bytes, only what waits in TLS is sent.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is taken now.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.tcp.try_write(bytes),
            Some(tls) => tls.write(&mut Tried(&self.tcp), &[IoSlice::new(bytes)]),
        }
    }

    /// True when bytes that were written wait for room in the socket.
    pub fn needs_flush(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.needs_flush())
    }

    /// Ready when the socket may take bytes.
    ///
    /// # Errors
    /// When the worker's event queue is gone.
    pub async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Ready when the socket may have bytes.
    ///
    /// # Errors
    /// When the worker's event queue is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.tcp.readable().await
    }

    /// Takes the connection out of this worker's event queue.
    ///
    /// # Errors
    /// When the system refuses; the connection is closed then.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(Detached {
            tcp: self.tcp.into_std()?,
            tls: self.tls,
        })
    }
}

impl Detached {
    /// Puts the connection into this worker's event queue.
    ///
    /// # Errors
    /// When the system refuses; the connection is closed then.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(Stream {
            tcp: TcpStream::from_std(self.tcp)?,
            tls: self.tls,
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, tls } = self.get_mut();
        let Some(tls) = tls else {
            return Pin::new(tcp).poll_read(cx, buffer);
        };
        ready_unless_blocked(tls.read(&mut Polled { tcp, cx }, buffer.initialize_unfilled()))
            .map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { tcp, tls } = self.get_mut();
        match tls {
            None => Pin::new(tcp).poll_write(cx, bytes),
            Some(tls) => {
                ready_unless_blocked(tls.write(&mut Polled { tcp, cx }, &[IoSlice::new(bytes)]))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { tcp, tls } = self.get_mut();
        match tls {
            None => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Some(tls) => ready_unless_blocked(tls.write(&mut Polled { tcp, cx }, pieces)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, tls } = self.get_mut();
        match tls {
            None => Poll::Ready(Ok(())),
            Some(tls) => ready_unless_blocked(tls.flush(&mut Polled { tcp, cx })),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, tls } = self.get_mut();
        if let Some(tls) = tls {
            match tls.shut_down(&mut Polled { tcp, cx }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => {}
            }
        }
        Pin::new(tcp).poll_shutdown(cx)
    }
}

/// A socket whose owner is woken when it would have blocked.
pub(crate) struct Polled<'a, 'b> {
    pub(crate) tcp: &'a mut TcpStream,
    pub(crate) cx: &'a mut Context<'b>,
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = Pin::new(&mut *self.tcp).poll_read(self.cx, &mut buffer);
        blocked_if_pending(polled).map(|()| buffer.filled().len())
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocked_if_pending(Pin::new(&mut *self.tcp).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        blocked_if_pending(Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that nobody is woken for.
struct Tried<'a>(&'a TcpStream);

impl io::Read for Tried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Tried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn ready_unless_blocked<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn blocked_if_pending<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// What a vectored write of `pieces` has written, when it was so many bytes.
pub fn written<'a>(pieces: &'a [IoSlice<'_>], count: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut left = count;
    pieces.iter().map(move |piece| {
        let written = piece.len().min(left);
        left -= written;
        piece.get(..written).unwrap_or_default()
    })
}
