//! Servers and clients that speak HTTP/2 by the h2 crate, and do what a test tells them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, client, server};
use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::PATIENCE;
use crate::support::proxy::Proxy;

/// More than any buffer on the way holds.
pub const MUCH: usize = 64 * 1024 * 1024;

/// What a server has seen.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
    /// 1 once the server is to refuse what it has.
    pub may_refuse: AtomicUsize,
}

/// A proxy with one listener, `edge`, in front of a cluster `web`.
pub fn start(version: &str, server: SocketAddr, more: &str) -> Proxy {
    Proxy::start(&format!(
        "listeners:\n- {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: web }}\n\
        clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: {version}, {more} }} }}\n"
    ))
}

pub fn run(test: impl Future<Output = ()>) {
    runtime().block_on(test);
}

pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A server on a thread of its own, so that a test may wait in any way it likes. It ends with the process.
pub fn background<F: Future<Output = ()>>(
    serve: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let (here, there) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            here.send(listener.local_addr().unwrap()).unwrap();
            serve(listener).await;
        });
    });
    there.recv().unwrap()
}

/// An HTTP/2 server that has every request answered by `answer`.
pub fn serve<F>(
    seen: Arc<Seen>,
    answer: impl Fn(Arc<Seen>, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    serve_some(seen, usize::MAX, answer)
}

/// The same; after so many requests a connection asks to be left.
pub fn serve_some<F>(
    seen: Arc<Seen>,
    requests: usize,
    answer: impl Fn(Arc<Seen>, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    background(move |listener| async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            tokio::spawn(async move {
                let mut connection = server::handshake(stream).await.unwrap();
                let mut served = 0;
                while let Some(Ok((request, respond))) = connection.accept().await {
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(answer(Arc::clone(&seen), request, respond));
                    served += 1;
                    if served == requests {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    })
}

/// A server whose `/endless` sends as much as is taken, counted in `sent`.
pub fn endless(version: &str, sent: Arc<AtomicU64>) -> SocketAddr {
    if version == "http1" {
        return background(move |listener| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer_in_http1(stream, Arc::clone(&sent)));
            }
        });
    }
    serve(Arc::default(), move |_, request, mut respond| {
        let sent = Arc::clone(&sent);
        async move {
            if request.uri().path() != "/endless" {
                return reply(respond, Bytes::from_static(b"short"));
            }
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            while sent.load(Ordering::SeqCst) < MUCH as u64 {
                body.reserve_capacity(16 * 1024);
                let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else {
                    return;
                };
                body.send_data(vec![b'x'; room].into(), false).unwrap();
                sent.fetch_add(room as u64, Ordering::SeqCst);
            }
        }
    })
}

/// Requests of one HTTP/1 connection: `/endless` is answered with as much as is taken, anything else shortly.
pub async fn answer_in_http1(mut stream: TcpStream, sent: Arc<AtomicU64>) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.starts_with("GET /endless ") {
            let short = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort";
            stream.write_all(short).await.unwrap();
            continue;
        }
        let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n");
        stream.write_all(endless.as_bytes()).await.unwrap();
        let piece = [b'x'; 16 * 1024];
        while sent.load(Ordering::SeqCst) < MUCH as u64 {
            let Ok(count) = stream.write(&piece).await else {
                return;
            };
            sent.fetch_add(count as u64, Ordering::SeqCst);
        }
    }
}

pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// A server that reads the head of `/upload` and nothing more; other requests are answered.
pub fn deaf(version: &str) -> SocketAddr {
    if version == "http1" {
        return background(|listener| async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    while let Some(head) = read_head(&mut stream).await {
                        if head.starts_with("POST /upload ") {
                            std::future::pending::<()>().await;
                        }
                        let short = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort";
                        stream.write_all(short).await.unwrap();
                    }
                });
            }
        });
    }
    serve(Arc::default(), |_, request, respond| async move {
        if request.uri().path() == "/upload" {
            std::future::pending::<()>().await;
        }
        reply(respond, Bytes::from_static(b"short"));
    })
}

pub fn reply(mut respond: SendResponse<Bytes>, body: Bytes) {
    // A client may have gone.
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        let _ = stream.send_data(body, true);
    }
}

/// A client's connection; the task ends with it.
pub async fn connect(
    address: SocketAddr,
) -> (client::SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    // One stream that nobody reads must not take the room of the others: that would be this client's own doing.
    let mut builder = client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let (requests, connection) = builder.handshake(stream).await.unwrap();
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    (requests, driver)
}

pub async fn request(requests: client::SendRequest<Bytes>, path: &str) -> Response<RecvStream> {
    let request = Request::get(format!("http://web{path}")).body(()).unwrap();
    let mut ready = requests.ready().await.unwrap();
    let (reply, _) = ready.send_request(request, true).unwrap();
    reply.await.unwrap()
}

/// Asks for a path; the path, the status and the whole body.
pub async fn get(requests: client::SendRequest<Bytes>, path: String) -> (String, u16, Vec<u8>) {
    let reply = request(requests, &path).await;
    let status = reply.status().as_u16();
    let mut body = reply.into_body();
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        whole.extend_from_slice(&piece);
    }
    (path, status, whole)
}

/// Waits until the number stands still, and returns it.
pub async fn settled(number: &AtomicU64) -> u64 {
    let mut last = number.load(Ordering::SeqCst);
    let mut still = 0;
    while still < 20 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = number.load(Ordering::SeqCst);
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
    }
    last
}

pub async fn wait_for(is_so: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it happens");
}
