//! The canned MongoDB.

use crate::wire;
use std::{io, net::SocketAddr, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::spawn_local,
};

/// Enough for every message of the bench; a connection of the bench has one command outstanding.
const BUFFER: usize = 1024;

struct Replies {
    hello: Vec<u8>,
    legacy_hello: Vec<u8>,
    find: Vec<u8>,
}

impl Replies {
    fn to(&self, request: &[u8]) -> &[u8] {
        match wire::i32_at(request, 12) {
            // Nothing but a handshake comes in this opcode any more.
            wire::OP_QUERY => &self.legacy_hello,
            wire::OP_MSG if is_hello(request) => &self.hello,
            _ => &self.find,
        }
    }
}

/// Answers until the process is ended.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let replies = Rc::new(Replies {
        hello: wire::hello_reply(),
        legacy_hello: wire::legacy_hello_reply(),
        find: wire::find_reply(),
    });
    let listener = listen(address)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that leaves, or says what no client of the bench says, costs only its own connection.
        let replies = Rc::clone(&replies);
        spawn_local(async move { answer(stream, &replies).await });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn answer(mut stream: TcpStream, replies: &Replies) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(BUFFER);
    let mut reply = Vec::with_capacity(BUFFER);
    while stream.read_buf(&mut received).await? > 0 {
        while let Some(length) = wire::complete(&received)? {
            let request = received.get(..length).unwrap_or_default();
            reply.clear();
            reply.extend_from_slice(replies.to(request));
            wire::put_i32(&mut reply, 8, wire::i32_at(request, 4));
            stream.write_all(&reply).await?;
            received.drain(..length);
        }
    }
    Ok(())
}

/// The first key of the body is the command: after the document's length and the element's type.
fn is_hello(request: &[u8]) -> bool {
    let command = request.get(wire::BEFORE_BODY + 5..).unwrap_or_default();
    let names: [&[u8]; 3] = [b"hello\0", b"isMaster\0", b"ismaster\0"];
    names.iter().any(|name| command.starts_with(name))
}
