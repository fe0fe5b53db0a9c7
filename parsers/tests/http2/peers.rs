//! Real peers: a client and a server of the `h2` crate talk, and both directions are watched as they do.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use narrows_parsers::http2::{ErrorCode, Event, FrameDecoder, Known, grpc};
use proptest::collection::vec;
use proptest::prelude::*;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A list of fields that passed, sorted.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    stream: u32,
    fields: Fields,
    end_stream: bool,
}

/// Both decoders, fed in the order in which bytes were sent, and what they saw.
struct Watch {
    client: FrameDecoder,
    server: FrameDecoder,
    requests: Side,
    replies: Side,
}

#[derive(Default)]
struct Side {
    lists: Vec<Seen>,
    open: Fields,
    body: Vec<u8>,
    messages: grpc::MessageCounter,
    resets: Vec<(u32, ErrorCode)>,
    promised: Vec<u32>,
    bytes: usize,
}

impl Side {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Field { field, .. } => {
                assert_eq!(field.known, Known::of(field.name));
                self.open.push((field.name.to_vec(), field.value.to_vec()));
            }
            Event::HeadersEnd {
                stream,
                end_stream,
                list,
            } => {
                let mut fields = std::mem::take(&mut self.open);
                assert!(!list.cut && list.fields as usize == fields.len());
                fields.sort();
                self.lists.push(Seen {
                    stream,
                    fields,
                    end_stream,
                });
            }
            Event::Data { bytes, .. } => {
                self.messages.advance(bytes).unwrap_or_default();
                self.body.extend_from_slice(bytes);
            }
            Event::Reset { stream, code } => self.resets.push((stream, code)),
            Event::PushPromise { promised, .. } => self.promised.push(promised),
            _ => {}
        }
    }
}

impl Watch {
    fn new() -> Self {
        Self {
            client: FrameDecoder::client(),
            server: FrameDecoder::server(),
            requests: Side::default(),
            replies: Side::default(),
        }
    }

    fn sent(&mut self, by_client: bool, bytes: &[u8]) {
        let (decoder, other, side) = if by_client {
            (&mut self.client, &mut self.server, &mut self.requests)
        } else {
            (&mut self.server, &mut self.client, &mut self.replies)
        };
        side.bytes += bytes.len();
        let decoded = decoder.advance(bytes, &mut |event| match event {
            Event::Settings(settings) => other.announced(&settings),
            event => side.add(event),
        });
        decoded.unwrap();
    }
}

/// One end of a connection whose writes are watched.
struct Watched {
    end: DuplexStream,
    is_client: bool,
    piece: usize,
    watch: Arc<Mutex<Watch>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_read(context, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let piece = &bytes[..bytes.len().min(self.piece)];
        let written = std::task::ready!(Pin::new(&mut self.end).poll_write(context, piece))?;
        self.watch
            .lock()
            .unwrap()
            .sent(self.is_client, &bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(context)
    }
}

/// Bytes that are between the two at most: more than both ever have to say. With hardly any room two peers wait for each other, since
/// `h2` reads nothing while what it has to answer at once does not leave.
const ROOM: usize = 1 << 20;

/// What the two sides announce.
#[derive(Debug, Clone, Copy)]
struct Setup {
    /// Bytes of a write at most.
    piece: usize,
    table: u32,
    frame: u32,
}

const SETUP: Setup = Setup {
    piece: 100,
    table: 4096,
    frame: 16_384,
};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Sends requests one after the other; the server answers with the fields and the body that it was sent, and sends them as trailers too.
async fn echo(setup: Setup, requests: Vec<(HeaderMap, Bytes)>) -> Watch {
    let watch = Arc::new(Mutex::new(Watch::new()));
    let (near, far) = tokio::io::duplex(ROOM);
    let watched = |end, is_client| Watched {
        end,
        is_client,
        piece: setup.piece,
        watch: watch.clone(),
    };
    let (near, far) = (watched(near, true), watched(far, false));
    let serve = async {
        let mut server = h2::server::Builder::new();
        // The table that a server announces is the one that its client's encoder uses.
        server
            .max_frame_size(setup.frame)
            .max_header_list_size(1 << 20);
        let mut connection = server.handshake::<_, Bytes>(far).await.unwrap();
        while let Some(next) = connection.accept().await {
            let (request, mut respond) = next.unwrap();
            let (head, mut body) = request.into_parts();
            let answer = async move {
                let mut received = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.unwrap();
                    body.flow_control().release_capacity(data.len()).unwrap();
                    received.extend_from_slice(&data);
                }
                let mut response = Response::new(());
                *response.headers_mut() = head.headers.clone();
                let mut send = respond.send_response(response, false).unwrap();
                send.send_data(received.into(), false).unwrap();
                send.send_trailers(head.headers).unwrap();
            };
            // The connection has to be looked after while the body comes.
            tokio::select! {
                () = answer => {}
                other = connection.accept() => assert!(other.is_none()),
            }
        }
    };
    let ask = async {
        let mut client = h2::client::Builder::new();
        client
            .header_table_size(setup.table)
            .max_frame_size(setup.frame)
            .max_header_list_size(1 << 20);
        let (mut send, connection) = client.handshake::<_, Bytes>(near).await.unwrap();
        let talk = async {
            for (headers, body) in requests {
                let mut request = Request::post("https://shop.example/shop.Carts/Load")
                    .body(())
                    .unwrap();
                *request.headers_mut() = headers;
                send = send.ready().await.unwrap();
                let (response, mut out) = send.send_request(request, false).unwrap();
                out.send_data(body, true).unwrap();
                let mut body = response.await.unwrap().into_body();
                while let Some(data) = body.data().await {
                    body.flow_control()
                        .release_capacity(data.unwrap().len())
                        .unwrap();
                }
                body.trailers().await.unwrap();
            }
            drop(send);
        };
        let (_, closed) = tokio::join!(talk, connection);
        closed.unwrap();
    };
    tokio::join!(serve, ask);
    std::mem::replace(&mut *watch.lock().unwrap(), Watch::new())
}

fn sorted(headers: &HeaderMap, pseudo: &[(&str, &str)]) -> Fields {
    let named =
        |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut fields: Fields = pseudo.iter().map(named).collect();
    fields.extend(
        headers
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())),
    );
    fields.sort();
    fields
}

/// What was seen is what was sent.
fn check(watch: &Watch, requests: &[(HeaderMap, Bytes)]) {
    const REQUEST: &[(&str, &str)] = &[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "shop.example"),
        (":path", "/shop.Carts/Load"),
    ];
    let (mut sent, mut answered, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (headers, body)) in requests.iter().enumerate() {
        let stream = 2 * index as u32 + 1;
        sent.push(Seen {
            stream,
            fields: sorted(headers, REQUEST),
            end_stream: false,
        });
        answered.push(Seen {
            stream,
            fields: sorted(headers, &[(":status", "200")]),
            end_stream: false,
        });
        answered.push(Seen {
            stream,
            fields: sorted(headers, &[]),
            end_stream: true,
        });
        bodies.extend_from_slice(body);
    }
    assert_eq!(watch.requests.lists, sent);
    assert_eq!(watch.replies.lists, answered);
    assert_eq!(watch.requests.body, bodies);
    assert_eq!(watch.replies.body, bodies);
    assert!(watch.client.is_between_frames() && watch.server.is_between_frames());
    assert_eq!(
        (&watch.requests.resets[..], &watch.replies.resets[..]),
        (&[][..], &[][..])
    );
}

fn headers(fields: &[(&str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    map
}

#[test]
fn requests_one_after_the_other() {
    let common = headers(&[
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
        ("x-request-id", b"17"),
        ("cookie", b"a=b"),
        ("cookie", b"c=d"),
    ]);
    let message = Bytes::from_static(b"\0\0\0\0\x05hello");
    let large = Bytes::from([&[0, 0, 3, 0, 0][..], &[b'x'; 196_608]].concat());
    let requests = vec![
        (common.clone(), message.clone()),
        (common.clone(), large),
        (common.clone(), message.clone()),
        (common, message),
    ];
    let watch = block_on(echo(SETUP, requests.clone()));
    check(&watch, &requests);
    assert_eq!(watch.requests.messages.messages(), 4);
    assert!(watch.requests.messages.is_between_messages());
    assert_eq!(watch.replies.messages.messages(), 4);
}

#[test]
fn lists_that_take_continuations() {
    let long = vec![b'{'; 30_000];
    let common = headers(&[
        ("x-long", &long),
        ("x-other", b"y"),
        ("x-longer", &long[..14_000]),
    ]);
    for frame in [16_384, 1 << 20] {
        let requests = vec![(common.clone(), Bytes::from_static(b"body")); 3];
        check(
            &block_on(echo(Setup { frame, ..SETUP }, requests.clone())),
            &requests,
        );
    }
}

#[test]
fn tables_of_several_sizes() {
    for table in [0, 100, 4096, 100_000] {
        let requests: Vec<_> = (0..40)
            .map(|round| {
                let value = format!("{}-{round}", "v".repeat(round % 7 * 100));
                (
                    headers(&[
                        ("x-round", value.as_bytes()),
                        ("x-same", b"same"),
                        ("user-agent", b"agent/1.0"),
                    ]),
                    Bytes::new(),
                )
            })
            .collect();
        check(
            &block_on(echo(
                Setup {
                    table,
                    piece: 1000,
                    ..SETUP
                },
                requests.clone(),
            )),
            &requests,
        );
    }
}

fn header_text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0x20..0x7fu8, 1 => 0x80..=0xffu8];
    prop_oneof!["[a-z]{0,12}".prop_map(String::into_bytes), vec(byte, 0..80)]
}

fn header_name() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "cookie",
        "user-agent",
        "accept",
        "grpc-timeout",
        "x-request-id",
        "traceparent",
    ];
    prop_oneof![
        prop::sample::select(KNOWN).prop_map(String::from),
        "x-[a-z0-9_-]{1,20}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_h2_writes_is_read(
        requests in vec((vec((header_name(), header_text()), 0..12), vec(any::<u8>(), 0..300)), 1..6),
        piece in 1..3000usize,
        table in prop::sample::select(&[0, 64, 500, 4096, 65_536][..]),
    ) {
        let requests: Vec<_> = requests
            .iter()
            .map(|(fields, body)| {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.trim_ascii())).collect();
                (headers(&fields), Bytes::from(body.clone()))
            })
            .collect();
        check(&block_on(echo(Setup { piece, table, ..SETUP }, requests.clone())), &requests);
    }
}
