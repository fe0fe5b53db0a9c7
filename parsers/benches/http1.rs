//! What it costs to read HTTP/1, beside httparse in the same run.
#![allow(clippy::unwrap_used, clippy::panic)] // a bench stops where it meets something unexpected

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::http1::{
    Body, BodyStep, Event, Framing, HeadParser, HeadStep, Headers, ReplyDecoder, RequestDecoder,
    RequestKind, Step,
};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// The request that parsers of HTTP have been measured with since picohttpparser.
const BROWSER: &[u8] =
    b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n\
Host: www.kittyhell.com\r\n\
User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
Accept-Encoding: gzip,deflate\r\n\
Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n\
Keep-Alive: 115\r\n\
Connection: keep-alive\r\n\
Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; __utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral\r\n\r\n";

/// What a browser of today sends: more fields, and longer names.
const CHROME: &[u8] = b"GET /carts/17?expand=items HTTP/1.1\r\n\
Host: shop.example.com\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
sec-ch-ua: \"Not_A Brand\";v=\"8\", \"Chromium\";v=\"120\", \"Google Chrome\";v=\"120\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
Sec-Fetch-Site: none\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

/// What a service sends to another.
const SMALL: &[u8] = b"GET /carts/17 HTTP/1.1\r\nHost: carts\r\nUser-Agent: wrk\r\n\r\n";

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.22.1\r\n\
Date: Tue, 24 Nov 2026 21:00:00 GMT\r\n\
Content-Type: text/plain\r\n\
Content-Length: 64\r\n\
Connection: keep-alive\r\n\
ETag: \"65a1b2c3-40\"\r\n\
Accept-Ranges: bytes\r\n\r\n";

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1 request");
    for (name, bytes) in [("browser", BROWSER), ("chrome", CHROME), ("small", SMALL)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("narrows", name),
            bytes,
            |bencher, bytes| {
                let mut parser = HeadParser::new();
                let mut headers = Headers::new();
                bencher.iter(|| match parser.request(black_box(bytes), &mut headers) {
                    HeadStep::Head(head) => black_box(head).length,
                    other => panic!("{other:?}"),
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("httparse", name),
            bytes,
            |bencher, bytes| {
                bencher.iter(|| {
                    let mut fields = [MaybeUninit::uninit(); 100];
                    let mut request = httparse::Request::new(&mut []);
                    let status = request.parse_with_uninit_headers(black_box(bytes), &mut fields);
                    black_box(&request);
                    status.unwrap().unwrap()
                });
            },
        );
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1 reply");
    group.throughput(Throughput::Bytes(REPLY.len() as u64));
    group.bench_function("narrows", |bencher| {
        let mut parser = HeadParser::new();
        let mut headers = Headers::new();
        bencher.iter(|| {
            match parser.response(black_box(REPLY), &mut headers, RequestKind::Other) {
                HeadStep::Head(head) => black_box(head).length,
                other => panic!("{other:?}"),
            }
        });
    });
    group.bench_function("httparse", |bencher| {
        bencher.iter(|| {
            let mut fields = [MaybeUninit::uninit(); 100];
            let mut response = httparse::Response::new(&mut []);
            let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
                &mut response,
                black_box(REPLY),
                &mut fields,
            );
            black_box(&response);
            status.unwrap().unwrap()
        });
    });
    group.finish();
}

/// A head that comes a byte at a time.
fn dribble(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1 a byte at a time");
    group.throughput(Throughput::Bytes(BROWSER.len() as u64));
    group.bench_function("browser", |bencher| {
        let mut headers = Headers::new();
        bencher.iter(|| {
            let mut parser = HeadParser::new();
            let heads = (1..=BROWSER.len())
                .filter_map(|end| BROWSER.get(..end))
                .filter(|bytes| matches!(parser.request(bytes, &mut headers), HeadStep::Head(_)))
                .count();
            assert_eq!(heads, 1);
        });
    });
    group.finish();
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1 chunked body");
    for (name, size, count) in [("16 KiB", 16 * 1024, 16), ("64 B", 64, 64)] {
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            bytes.resize(bytes.len() + size, b'x');
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("chunks of {name}"), |bencher| {
            let mut trailers = Headers::new();
            bencher.iter(|| {
                let mut body = Body::new(Framing::Chunked);
                let mut rest = black_box(bytes.as_slice());
                loop {
                    match body.advance(rest, &mut trailers) {
                        BodyStep::Forward(count) | BodyStep::Frame(count) => {
                            rest = rest.get(count..).unwrap_or_default();
                        }
                        BodyStep::End => return rest.len(),
                        other => panic!("{other:?}"),
                    }
                }
            });
        });
    }
    group.finish();
}

/// An exchange as a tap sees it.
fn tap(criterion: &mut Criterion) {
    let reply = [REPLY, [b'x'; 64].as_slice()].concat();
    let mut group = criterion.benchmark_group("http1 tap");
    group.bench_function("exchange", |bencher| {
        let mut requests = RequestDecoder::new();
        let mut replies = ReplyDecoder::new();
        bencher.iter(|| {
            let mut rest = black_box(BROWSER);
            while let Step::Message { consumed, message } = requests.advance(rest) {
                rest = rest.get(consumed..).unwrap_or_default();
                black_box(matches!(message, Event::End { .. }));
            }
            let mut rest = black_box(reply.as_slice());
            while let Step::Message { consumed, message } =
                replies.advance(rest, RequestKind::Other)
            {
                rest = rest.get(consumed..).unwrap_or_default();
                black_box(matches!(message, Event::End { .. }));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, requests, replies, dribble, bodies, tap);
criterion_main!(benches);
