//! What is particular to HTTP/2: connections that many exchanges share, on both sides, and how they end; windows that reach from the
//! one end to the other.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "../support/mod.rs"]
mod support;

mod peers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, client, server};
use http::{Request, Response};
use peers::{
    MUCH, Seen, answer_in_http1, background, connect, deaf, endless, get, read_head, reply,
    request, run, serve, serve_some, settled, start, wait_for,
};
use support::proxy::Proxy;
use support::{PATIENCE, eventually};
use tokio::io::AsyncWriteExt as _;

#[test]
fn many_requests_share_one_connection_to_the_server() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |_, request, respond| async move {
            let path = request.uri().path().to_string();
            reply(respond, path.into());
        });
        let proxy = start("http2", server, "max_streams: 100");
        let (requests, driver) = connect(proxy.address("edge")).await;
        let mut tasks = Vec::new();
        for round in 0..5 {
            for number in 0..80 {
                let path = format!("/{round}/{number}");
                tasks.push(tokio::spawn(get(requests.clone(), path)));
            }
            for task in tasks.drain(..) {
                let (path, status, body) = task.await.unwrap();
                assert_eq!((status, body), (200, path.into_bytes()));
            }
        }
        assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
        let stats = proxy.stats();
        stats
            .expect("cluster.web.upstream_cx_http2_total", 1)
            .expect("cluster.web.upstream_rq_total", 400)
            .expect("cluster.web.upstream_rq_active", 0)
            .expect("http.edge.downstream_rq_http2_total", 400)
            .expect("http.edge.downstream_cx_http2_total", 1)
            .expect("http.edge.http2.streams_active", 0);
        drop(requests);
        driver.await.unwrap();
    });
}

#[test]
fn another_connection_is_opened_when_the_streams_of_one_are_taken() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |seen, _, respond| async move {
            // Nobody is answered before all have asked.
            while seen.requests.load(Ordering::SeqCst) < 10 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            reply(respond, Bytes::from_static(b"all"));
        });
        let proxy = start("http2", server, "max_streams: 4");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        let asked = (0..10).map(|n| tokio::spawn(get(requests.clone(), format!("/{n}"))));
        for task in asked.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().1, 200);
        }
        assert_eq!(seen.connections.load(Ordering::SeqCst), 3);
        proxy
            .stats()
            .expect("cluster.web.upstream_cx_http2_total", 3);
    });
}

#[test]
fn a_stream_that_a_server_refuses_is_sent_again() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |seen, _, mut respond| async move {
            match seen.requests.load(Ordering::SeqCst) {
                1 => respond.send_reset(Reason::REFUSED_STREAM),
                _ => reply(respond, Bytes::from_static(b"the second time")),
            }
        });
        let proxy = start("http2", server, "");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        let (_, status, body) = get(requests, "/".into()).await;
        assert_eq!((status, &*body), (200, &b"the second time"[..]));
        assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
        proxy
            .stats()
            .expect("cluster.web.http2.rx_reset", 1)
            .expect("cluster.web.http2.tx_reset", 0)
            .expect("cluster.web.upstream_rq_retry", 1)
            .expect("cluster.web.upstream_rq_retry_success", 1);
    });
}

#[test]
fn a_server_that_says_goaway_is_left_in_order() {
    run(async {
        let seen = Arc::new(Seen::default());
        // Each connection serves three requests and then asks to be left; what is under way is answered.
        let server = serve_some(Arc::clone(&seen), 3, |_, _, respond| async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            reply(respond, Bytes::from_static(b"ok"));
        });
        let proxy = start("http2", server, "");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        for round in 0..20 {
            let two = [0, 1].map(|n| tokio::spawn(get(requests.clone(), format!("/{round}/{n}"))));
            for task in two {
                let (path, status, _) = task.await.unwrap();
                assert_eq!(status, 200, "{path}");
            }
        }
        let left = seen.connections.load(Ordering::SeqCst);
        assert!(left > 5);
        let stats = proxy.stats();
        let goaways = stats.value("cluster.web.http2.rx_goaway");
        assert!(
            goaways >= left as i64 - 1,
            "{goaways} of {left} connections"
        );
        stats
            .expect("cluster.web.http2.streams_active", 0)
            .expect("http.edge.downstream_rq_2xx", 40)
            .expect("http.edge.downstream_rq_error", 0);
    });
}

/// A server that looked at nothing may be asked again only while nothing of the body was taken from the client: what was is gone.
#[test]
fn a_body_that_was_begun_is_not_sent_in_part() {
    run(async {
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let server = background(move |listener| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // There is no room for any of the body.
                    let mut builder = server::Builder::new();
                    let handshake = builder.initial_window_size(0).handshake(stream);
                    let mut connection: server::Connection<_, Bytes> = handshake.await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        // The first one is for the settings to have arrived.
                        if counted.requests.fetch_add(1, Ordering::SeqCst) == 0 {
                            reply(respond, Bytes::new());
                            continue;
                        }
                        let counted = Arc::clone(&counted);
                        tokio::spawn(async move {
                            wait_for(|| counted.may_refuse.load(Ordering::SeqCst) == 1).await;
                            respond.send_reset(Reason::REFUSED_STREAM);
                        });
                    }
                });
            }
        });
        let proxy = start("http2", server, "");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        assert_eq!(get(requests.clone(), "/".into()).await.1, 200);
        let mut ready = requests.ready().await.unwrap();
        let request = Request::post("http://web/").body(()).unwrap();
        let (reply, mut upload) = ready.send_request(request, false).unwrap();
        upload
            .send_data(Bytes::from_static(b"first"), false)
            .unwrap();
        // The head and the body came together: when the head has been passed on, the piece has been taken.
        wait_for(|| seen.requests.load(Ordering::SeqCst) == 2).await;
        seen.may_refuse.store(1, Ordering::SeqCst);
        assert_eq!(reply.await.unwrap().status(), 503);
        assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
        proxy.stats().expect("cluster.web.upstream_rq_retry", 0);
    });
}

/// The announced length is there, the end of the stream is not: who leaves in between has had its reply.
#[test]
fn a_client_of_http1_that_leaves_with_its_whole_reply_did_not_leave_early() {
    run(async {
        let server = serve(Arc::default(), |_, _, mut respond| async move {
            let head = http::Response::builder().header("content-length", 5);
            let mut body = respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            body.send_data(Bytes::from_static(b"whole"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = body.send_data(Bytes::new(), true);
        });
        let proxy = start("http2", server, "");
        let address = proxy.address("edge");
        let asked = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut client = support::peer::connect(address);
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let mut said = Vec::new();
            let mut buffer = [0; 512];
            while !said.ends_with(b"whole") {
                let count = client.read(&mut buffer).unwrap();
                assert!(count > 0);
                said.extend(&buffer[..count]);
            }
        });
        asked.await.unwrap();
        wait_for(|| {
            let stats = proxy.stats();
            stats.value("http.edge.downstream_rq_total") == 1
                && stats.value("http.edge.downstream_rq_active") == 0
        })
        .await;
        proxy
            .stats()
            .expect("http.edge.downstream_rq_2xx", 1)
            .expect("http.edge.downstream_rq_rx_reset", 0)
            .expect("http.edge.downstream_rq_error", 0);
    });
}

/// A cluster in maintenance: what is under way ends, the connection with it, and nobody begins anything on it.
#[test]
fn a_drained_cluster_gets_no_request_over_a_connection_that_is_open() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |_, _, respond| async move {
            reply(respond, Bytes::from_static(b"ok"));
        });
        let proxy = start("http2", server, "");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        assert_eq!(get(requests.clone(), "/1".into()).await.1, 200);
        assert_eq!(proxy.ask("POST", "/clusters/web/drain").0, 200);
        let waits = tokio::spawn(get(requests, "/2".into()));
        let closed = "cluster.web.pool.closed.drained.total";
        wait_for(|| {
            let stats = proxy.stats();
            stats.value(closed) == 1 && stats.value("cluster.web.pool.waiting") == 1
        })
        .await;
        assert_eq!(seen.requests.load(Ordering::SeqCst), 1);
        assert_eq!(proxy.ask("POST", "/clusters/web/resume").0, 200);
        assert_eq!(waits.await.unwrap().1, 200);
        assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_connection_that_is_never_idle_is_renewed_when_it_is_old() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |_, _, respond| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            reply(respond, Bytes::from_static(b"ok"));
        });
        let proxy = Proxy::start(&format!(
            "listeners:\n- {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: web }}\n\
            clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: http2 }}, pool: {{ max_lifetime: 1s }} }}\n"
        ));
        let (requests, _driver) = connect(proxy.address("edge")).await;
        let begun = std::time::Instant::now();
        while seen.connections.load(Ordering::SeqCst) < 3 {
            assert!(begun.elapsed() < PATIENCE);
            let two = [0, 1].map(|n| tokio::spawn(get(requests.clone(), format!("/{n}"))));
            for task in two {
                assert_eq!(task.await.unwrap().1, 200);
            }
        }
        proxy.stats().expect("http.edge.downstream_rq_error", 0);
        wait_for(|| {
            proxy
                .stats()
                .value("cluster.web.pool.closed.max_lifetime.total")
                > 0
        })
        .await;
    });
}

/// The route's time is the client's: waiting for a connection is a part of it.
#[test]
fn a_request_that_waits_for_a_connection_is_504_when_its_time_is_over() {
    for version in ["http1", "http2"] {
        run(async {
            let server = match version {
                "http1" => support::peer::silent(),
                _ => serve(Arc::default(), |_, _, respond| async move {
                    tokio::time::sleep(PATIENCE).await;
                    drop(respond);
                }),
            };
            let proxy = Proxy::start(&format!(
                "listeners:\n- name: edge\n  listen: 127.0.0.1:0\n  protocol: http\n  http:\n    virtual_hosts:\n    - name: all\n      domains: [\"*\"]\n      routes:\n      \
                - {{ name: patient, path: /patient, cluster: web, timeout: 0s }}\n      \
                - {{ name: quick, prefix: /, cluster: web, timeout: 2s }}\n\
                clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: {version}, max_streams: 1 }}, \
                pool: {{ max_connections: 1, wait_timeout: 60s }} }}\n"
            ));
            let (requests, _driver) = connect(proxy.address("edge")).await;
            let _patient = tokio::spawn(get(requests.clone(), "/patient".into()));
            wait_for(|| proxy.stats().value("cluster.web.upstream_rq_total") == 1).await;
            let begun = std::time::Instant::now();
            let quick = tokio::spawn(get(requests, "/quick".into()));
            let pending = "cluster.web.upstream_rq_pending_active";
            wait_for(|| proxy.stats().value(pending) == 1).await;
            assert_eq!(quick.await.unwrap().1, 504, "{version}");
            proxy.stats().expect(pending, 0);
            assert!(begun.elapsed() < Duration::from_secs(10));
            proxy
                .stats()
                .expect("cluster.web.upstream_rq_cancelled", 0)
                .expect("http.edge.flag.UT.total", 1);
        });
    }
}

#[test]
fn a_drain_says_goaway_and_lets_streams_end() {
    run(async {
        let seen = Arc::new(Seen::default());
        let may_answer = Arc::new(tokio::sync::Notify::new());
        let waits = Arc::clone(&may_answer);
        let server = serve(Arc::clone(&seen), move |_, _, respond| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                reply(respond, Bytes::from_static(b"late"));
            }
        });
        let mut proxy = start("http2", server, "");
        let (requests, driver) = connect(proxy.address("edge")).await;
        let asked = tokio::spawn(get(requests.clone(), "/".into()));
        wait_for(|| seen.requests.load(Ordering::SeqCst) == 1).await;
        proxy.signal("TERM");
        // The connection takes no more requests, as soon as the client has been told.
        let mut probe = requests.clone();
        tokio::time::timeout(PATIENCE, async {
            while std::future::poll_fn(|cx| probe.poll_ready(cx))
                .await
                .is_ok()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("GOAWAY comes");
        may_answer.notify_one();
        let (_, status, body) = asked.await.unwrap();
        assert_eq!((status, &*body), (200, &b"late"[..]));
        tokio::time::timeout(PATIENCE, driver)
            .await
            .expect("the connection ends")
            .unwrap();
        proxy.wait();
    });
}

#[test]
fn a_client_that_stops_reading_stops_the_server_and_nobody_else() {
    for server_version in ["http1", "http2"] {
        run(async move {
            let sent = Arc::new(AtomicU64::new(0));
            let server = endless(server_version, Arc::clone(&sent));
            let proxy = start(server_version, server, "");
            let before = proxy.resident_bytes();
            let (requests, _driver) = connect(proxy.address("edge")).await;
            let stalled = request(requests.clone(), "/endless").await;
            assert_eq!(stalled.status(), 200);
            // The server stops, long before it has sent what it has.
            let stopped = settled(&sent).await;
            assert!(stopped < MUCH as u64 / 2, "{server_version}: {stopped}");
            let (_, status, _) = get(requests.clone(), "/short".into()).await;
            assert_eq!(status, 200);
            let grown = proxy.resident_bytes() - before;
            assert!(grown < 3_000_000, "{server_version}: {grown}");
            // And goes on when the client does.
            let mut body = stalled.into_body();
            let mut left = 8 * 1024 * 1024;
            while left > 0 {
                let piece = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                left = usize::saturating_sub(left, piece.len());
            }
            assert!(sent.load(Ordering::SeqCst) > stopped);
        });
    }
}

#[test]
fn a_server_that_stops_reading_stops_the_client_and_nobody_else() {
    for server_version in ["http1", "http2"] {
        run(async move {
            let server = deaf(server_version);
            let proxy = start(server_version, server, "");
            let before = proxy.resident_bytes();
            let (requests, _driver) = connect(proxy.address("edge")).await;
            let post = Request::post("http://web/upload").body(()).unwrap();
            let mut ready = requests.clone().ready().await.unwrap();
            let (_reply, mut upload) = ready.send_request(post, false).unwrap();
            let taken = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&taken);
            let sending = tokio::spawn(async move {
                while counted.load(Ordering::SeqCst) < MUCH as u64 {
                    upload.reserve_capacity(16 * 1024);
                    let room = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await;
                    let room = room.unwrap().unwrap();
                    upload.send_data(vec![b'x'; room].into(), false).unwrap();
                    counted.fetch_add(room as u64, Ordering::SeqCst);
                }
            });
            let stopped = settled(&taken).await;
            assert!(stopped < MUCH as u64 / 2, "{server_version}: {stopped}");
            let grown = proxy.resident_bytes() - before;
            assert!(grown < 3_000_000, "{server_version}: {grown}");
            let (_, status, _) = get(requests.clone(), "/short".into()).await;
            assert_eq!(status, 200);
            sending.abort();
        });
    }
}

#[test]
fn a_client_that_gives_a_request_up_gives_it_up_for_the_server_as_well() {
    run(async {
        let seen = Arc::new(Seen::default());
        let resets = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&resets);
        let server = serve(Arc::clone(&seen), move |_, _, mut respond| {
            let counted = Arc::clone(&counted);
            async move {
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                assert_eq!(reason.unwrap(), Reason::CANCEL);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let proxy = start("http2", server, "");
        let (requests, _driver) = connect(proxy.address("edge")).await;
        let mut ready = requests.clone().ready().await.unwrap();
        let question = Request::get("http://web/").body(()).unwrap();
        let (reply, mut stream) = ready.send_request(question, true).unwrap();
        wait_for(|| seen.requests.load(Ordering::SeqCst) == 1).await;
        stream.send_reset(Reason::CANCEL);
        drop(reply);
        wait_for(|| resets.load(Ordering::SeqCst) == 1).await;
        eventually("the request is reported", || {
            (proxy.stats().value("http.edge.downstream_rq_rx_reset") == 1).then_some(())
        });
        proxy
            .stats()
            .expect("http.edge.http2.rx_reset", 1)
            .expect("cluster.web.upstream_rq_tx_reset", 1);
    });
}

#[test]
fn a_reply_that_does_not_come_in_time_is_504_and_deadline_exceeded_in_grpc() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |_, _, respond| async move {
            // Holds the stream open for longer than anybody waits.
            tokio::time::sleep(PATIENCE).await;
            drop(respond);
        });
        let proxy = Proxy::start(&format!(
            "listeners:\n- name: edge\n  listen: 127.0.0.1:0\n  protocol: http\n  http:\n    virtual_hosts:\n    - name: all\n      domains: [\"*\"]\n      routes:\n      \
            - {{ name: quick, prefix: /, cluster: web, timeout: 300ms }}\n\
            clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: http2 }} }}\n"
        ));
        let (requests, _driver) = connect(proxy.address("edge")).await;
        let (_, status, _) = get(requests.clone(), "/".into()).await;
        assert_eq!(status, 504);
        let call = Request::post("http://web/shop.Carts/Get")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "100m")
            .body(())
            .unwrap();
        let mut ready = requests.clone().ready().await.unwrap();
        let (reply, _upload) = ready.send_request(call, false).unwrap();
        let reply = reply.await.unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["grpc-status"], "4");
        assert!(reply.body().is_end_stream(), "trailers only");
        proxy
            .stats()
            .expect("cluster.web.upstream_rq_timeout", 2)
            .expect("http.edge.flag.UT.total", 2)
            .expect("http.edge.grpc.shop.Carts.Get.status.4.total", 1);
    });
}

#[test]
fn a_connection_without_requests_is_closed_and_one_with_a_request_is_not() {
    run(async {
        let seen = Arc::new(Seen::default());
        let server = serve(Arc::clone(&seen), |_, request, respond| async move {
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            reply(respond, Bytes::from_static(b"ok"));
        });
        let proxy = Proxy::start(&format!(
            "listeners:\n- {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: web, idle_timeout: 500ms }}\n\
            clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: http2 }} }}\n"
        ));
        let (requests, driver) = connect(proxy.address("edge")).await;
        let (_, status, _) = get(requests.clone(), "/slow".into()).await;
        assert_eq!(status, 200);
        tokio::time::timeout(PATIENCE, driver)
            .await
            .expect("the idle connection ends")
            .unwrap();
        eventually("it is counted", || {
            let stats = proxy.stats();
            (stats.value("http.edge.downstream_cx_idle_timeout") == 1).then_some(())
        });
    });
}

#[test]
fn a_tunnel_opens_where_it_is_allowed_and_nowhere_else() {
    let echoing_in_http1 = background(|listener| async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let head = read_head(&mut stream).await.unwrap();
                assert!(
                    head.starts_with("CONNECT db.internal:5432 HTTP/1.1\r\n"),
                    "{head}"
                );
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
    });
    let echoing_in_http2 = serve(Arc::default(), |_, request, mut respond| async move {
        assert_eq!(request.uri().authority().unwrap(), "db.internal:5432");
        let mut back = respond.send_response(Response::new(()), false).unwrap();
        let mut body = request.into_body();
        while let Some(Ok(piece)) = body.data().await {
            body.flow_control().release_capacity(piece.len()).unwrap();
            back.send_data(piece, false).unwrap();
        }
        back.send_data(Bytes::new(), true).unwrap();
    });
    for (version, server) in [("http1", echoing_in_http1), ("http2", echoing_in_http2)] {
        let proxy = Proxy::start(&format!(
            "listeners:\n\
            - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: web, http: {{ allow_connect: true }} }}\n\
            - {{ name: shut, listen: 127.0.0.1:0, protocol: http, cluster: web }}\n\
            clusters:\n- {{ name: web, endpoints: [\"{server}\"], http: {{ version: {version} }} }}\n"
        ));
        run(async {
            let (requests, _driver) = connect(proxy.address("edge")).await;
            let (reply, mut upload) = open_tunnel(requests).await;
            let reply = reply.await.unwrap();
            assert_eq!(reply.status(), 200, "{version}");
            let mut body = reply.into_body();
            for word in ["one", "two"] {
                upload.send_data(word.into(), false).unwrap();
                assert_eq!(body.data().await.unwrap().unwrap(), word, "{version}");
            }
            upload.send_data("end".into(), true).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), "end", "{version}");
            // The end may come in a frame of its own.
            let rest = body.data().await.transpose().unwrap();
            assert!(rest.is_none_or(|rest| rest.is_empty()), "{version}");
            let (requests, _driver) = connect(proxy.address("shut")).await;
            let (reply, _upload) = open_tunnel(requests).await;
            assert_eq!(reply.await.unwrap().status(), 405);
        });
    }
}

async fn open_tunnel(
    requests: client::SendRequest<Bytes>,
) -> (client::ResponseFuture, h2::SendStream<Bytes>) {
    let connect = Request::connect("db.internal:5432").body(()).unwrap();
    let mut ready = requests.ready().await.unwrap();
    ready.send_request(connect, false).unwrap()
}

#[test]
fn h2load_is_answered_by_servers_of_both_versions() {
    let seen = Arc::new(Seen::default());
    let two = serve(Arc::clone(&seen), |_, _, respond| async move {
        reply(respond, Bytes::from_static(&[b'x'; 64]));
    });
    let one = background(|listener| async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_in_http1(stream, Arc::default()));
        }
    });
    for (version, server) in [("http1", one), ("http2", two)] {
        let proxy = start(version, server, "");
        let url = format!("http://{}/short", proxy.address("edge"));
        let output = std::process::Command::new(support::tool("h2load"))
            .args(["-n", "6400", "-c", "16", "-m", "32", &url])
            .output()
            .unwrap();
        let load = String::from_utf8_lossy(&output.stdout);
        assert!(
            load.contains("6400 2xx, 0 3xx, 0 4xx, 0 5xx"),
            "{version}: {load}"
        );
        proxy
            .stats()
            .expect("http.edge.downstream_rq_2xx", 6_400)
            .expect("http.edge.downstream_cx_http2_total", 16);
    }
}
