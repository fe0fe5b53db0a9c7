//! A proxy with one worker before a scripted server, and clients that read whole replies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use crate::support::PATIENCE;
use crate::support::peer::{connect, scripted};
use crate::support::proxy::Proxy;

/// The listener and the cluster of all proxies here.
pub const EDGE: &str = "edge";

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy with one worker in front of these servers.
pub fn proxy(servers: &[SocketAddr]) -> Proxy {
    proxy_with(servers, "")
}

/// The same, with more keys of the cluster.
pub fn proxy_with(servers: &[SocketAddr], cluster: &str) -> Proxy {
    let servers: Vec<String> = servers
        .iter()
        .map(|server| format!("\"{server}\""))
        .collect();
    Proxy::start(&format!(
        "workers: 1\n\
         listeners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop }}\n\
         clusters:\n  - {{ name: shop, endpoints: [{}]{cluster} }}\n",
        servers.join(", ")
    ))
}

/// A client of the proxy.
pub fn client(proxy: &Proxy) -> TcpStream {
    connect(proxy.address(EDGE))
}

/// A server that answers every head with the same bytes, and tells which heads it got.
pub struct Server {
    pub address: SocketAddr,
    heads: Mutex<Receiver<String>>,
}

impl Server {
    pub fn answering(answer: &'static [u8]) -> Self {
        Self::scripted(move |stream, _| stream.write_all(answer).is_ok())
    }

    /// `answer` is called with each head, and says whether the connection goes on.
    pub fn scripted(answer: impl Fn(&mut TcpStream, &str) -> bool + Send + Sync + 'static) -> Self {
        let (send, heads) = channel();
        let send = Arc::new(Mutex::new(send));
        let address = scripted(move |mut stream| {
            while let Some(head) = read_head(&mut stream) {
                // The test may have all it wants.
                let _ = send.lock().unwrap().send(head.clone());
                if !answer(&mut stream, &head) {
                    return;
                }
            }
        });
        let heads = Mutex::new(heads);
        Self { address, heads }
    }

    /// The next head that it gets.
    #[track_caller]
    pub fn head(&self) -> String {
        let heads = self.heads.lock().unwrap();
        heads.recv_timeout(PATIENCE).expect("a request arrives")
    }

    /// No head beyond those that were asked for.
    #[track_caller]
    pub fn expect_no_more(&self) {
        let heads = self.heads.lock().unwrap();
        if let Ok(head) = heads.try_recv() {
            panic!("a request too many: {head:?}");
        }
    }
}

/// Up to the empty line, or `None` at the end of the stream.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// Exactly so many bytes.
#[track_caller]
pub fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// All that comes until the other side ends; a reset is an end as well.
pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends a request and reads a reply with a body of that length.
#[track_caller]
pub fn ask(stream: &mut TcpStream, request: &str, body: usize) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(stream).expect("a reply");
    let body = read_exactly(stream, body);
    (head, String::from_utf8(body).unwrap())
}

/// Nothing has come, and nothing has ended.
#[track_caller]
pub fn expect_open(stream: &mut TcpStream) {
    let patience = std::time::Duration::from_millis(50);
    stream.set_read_timeout(Some(patience)).unwrap();
    let read = stream.read(&mut [0]);
    assert!(
        read.as_ref()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "{read:?}"
    );
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// The connection has been closed in order, with nothing more on it.
#[track_caller]
pub fn expect_closed(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// The value of a field, by its name in lower case; `None` when there is none or several.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut found = head.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    });
    let first = found.next();
    first.filter(|_| found.next().is_none())
}
