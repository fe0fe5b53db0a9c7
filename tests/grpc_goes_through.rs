//! gRPC with Google's own implementation on both sides: each kind of call, errors, deadlines and
//! cancellation, and what is counted of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin};
use support::mongod::python;
use support::proxy::Proxy;

#[test]
fn every_kind_of_call_works_and_is_counted() {
    let server = Origin::program("grpc/server.py", &[]);
    let proxy = Proxy::start(&config(&server));
    let found = python("grpc/client.py", &[&proxy.address("edge").to_string()]);
    expect_all(&found);
    expect_what_the_server_saw(&server);
    expect_counted(&proxy);
}

/// Who only watches sees the same.
#[test]
fn every_kind_of_call_passes_a_tap_and_is_counted() {
    let server = Origin::program("grpc/server.py", &[]);
    let proxy = Proxy::start(&format!(
        "listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: carts, http: {{ mode: tap, caller_header: x-caller }} }}\n\
         clusters:\n\
         - {{ name: carts, endpoints: [\"{}\"] }}\n",
        server.address()
    ));
    let found = python("grpc/client.py", &[&proxy.address("edge").to_string()]);
    expect_all(&found);
    expect_what_the_server_saw(&server);
    expect_counted(&proxy);
    let stats = proxy.stats();
    stats
        .expect("http.edge.caller.checkout.downstream_rq_total", 1)
        .expect("http.edge.decoding_error", 0);
}

fn expect_all(found: &Value) {
    let expected = json!({
        "unary": {"reply": "hello", "first": "1", "last": "00ff", "code": "OK"},
        "unary_large": {"length": 10_240_000, "same": true},
        "empty": {"length": 0},
        "failure": {"code": "NOT_FOUND", "details": "as you wish: ä", "why": "it was asked for"},
        "unimplemented": {"code": "UNIMPLEMENTED", "details": "Method not found!", "why": null},
        "server_stream": {"count": 1000, "ordered": true},
        "client_stream": {"reply": "1000:1000000"},
        "both_ways": {"rounds": 200, "rest": 0},
        "cancellation_of_a_unary_call": {"cancelled": true},
        "many": {"right": 500},
    });
    for (case, result) in expected.as_object().unwrap() {
        assert_eq!(&found[case], result, "{case}");
    }
    for case in ["deadline", "deadline_of_a_stream"] {
        assert_eq!(found[case]["code"], "DEADLINE_EXCEEDED", "{case}");
    }
    assert_eq!(found["deadline"]["early"], true);
    assert_eq!(found["cancellation"]["code"], "CANCELLED");
    assert_eq!(found["cancellation"]["seen"], 3);
}

/// The calls of client.py in their order, but for the one that the server does not know.
fn expect_what_the_server_saw(server: &Origin) {
    let report = |method: &str| {
        let report = server.report().0;
        assert_eq!(report["method"], method, "{report}");
        report
    };
    let first = report("Get");
    assert_eq!(first["metadata"]["x-caller"], "checkout");
    for method in ["Get", "Get", "Get", "List", "Add", "Chat"] {
        assert_eq!(report(method)["answered"], true);
    }
    // The deadline arrives with the call, and its end, or the client's, is an end there.
    for method in ["Get", "List"] {
        let ended = report(method);
        assert_eq!(ended["answered"], false, "{ended}");
        assert!(ended["deadline"].as_f64().unwrap() <= 0.6, "{ended}");
    }
    for method in ["List", "Get"] {
        let cancelled = report(method);
        assert_eq!(cancelled["answered"], false, "{cancelled}");
        assert!(cancelled["seconds"].as_f64().unwrap() < 10.0, "{cancelled}");
    }
}

fn expect_counted(proxy: &Proxy) {
    support::eventually("the last call is over", || {
        (proxy.stats().value("http.edge.downstream_rq_active") == 0).then_some(())
    });
    let stats = proxy.stats();
    // Three that were answered, one error, a deadline, a cancellation, and 500 more.
    stats
        .expect("http.edge.grpc.shop.Carts.Get.total", 506)
        .expect("http.edge.grpc.shop.Carts.Get.success", 503)
        .expect("http.edge.grpc.shop.Carts.Get.failure", 3)
        .expect("http.edge.grpc.shop.Carts.Get.status.0.total", 503)
        .expect("http.edge.grpc.shop.Carts.Get.status.5.total", 1)
        .expect("http.edge.grpc.shop.Carts.Add.total", 1)
        .expect("http.edge.grpc.shop.Carts.Add.request_messages", 1_000)
        .expect("http.edge.grpc.shop.Carts.Add.response_messages", 1)
        .expect("http.edge.grpc.shop.Carts.Chat.request_messages", 200)
        .expect("http.edge.grpc.shop.Carts.Chat.response_messages", 200)
        .expect("http.edge.grpc.shop.Carts.List.total", 3)
        .expect("http.edge.grpc.shop.Carts.Nothing.status.12.total", 1);
    let lists = stats.value("http.edge.grpc.shop.Carts.List.response_messages");
    assert!(lists >= 1_000 + 3, "{lists}");
}

/// A client that speaks HTTP/1.1 to a gRPC server: the status is in the trailers of a chunked reply.
#[test]
fn a_call_in_http1_reaches_a_grpc_server_and_brings_its_trailers_back() {
    let server = Origin::program("grpc/server.py", &[]);
    let proxy = Proxy::start(&config(&server));
    let mut caller = Caller::start();
    for (request, status) in [("hello", "0"), ("fail:NOT_FOUND", "5")] {
        let message = format!(
            "\0\0\0\0{}{request}",
            char::from(u8::try_from(request.len()).unwrap())
        );
        let order = json!({
            "data": message, "length": false,
            "fields": [["content-type", "application/grpc"], ["te", "trailers"]],
        });
        let answer = caller.ask(Http1, proxy.address("edge"), "POST /shop.Carts/Get", order);
        answer.expect(200);
        assert_eq!(
            answer.field("content-type").as_deref(),
            Some("application/grpc")
        );
        let said = answer
            .trailer("grpc-status")
            .or(answer.field("grpc-status"));
        assert_eq!(said.as_deref(), Some(status), "{answer:?}");
        if status == "0" {
            assert_eq!(answer.text("text"), message);
        }
    }
}

/// The other way round: a call in HTTP/2 to a server that speaks HTTP/1.1, whose trailers say how it ended.
#[test]
fn a_call_reaches_a_server_of_http1_and_brings_its_trailers_back() {
    let server = Origin::start(Http1);
    let proxy = Proxy::start(&config_to(&server.address().to_string()).replace("http2", "http1"));
    let mut caller = Caller::start();
    let order = json!({
        "data": "\0\0\0\0\x05hello", "length": false,
        "fields": [["content-type", "application/grpc"], ["te", "trailers"]],
    });
    // The origin does what the path asks for: five bytes, and a status of 0 behind them.
    let answer = caller.ask(Http2, proxy.address("edge"), "POST /trailers/5", order);
    answer.expect(200);
    assert_eq!(answer.length(), 5);
    assert_eq!(answer.trailer("grpc-status").as_deref(), Some("0"));
    let report = server.report();
    assert_eq!(report.field("te").as_deref(), Some("trailers"));
    assert_eq!(
        report.field("content-type").as_deref(),
        Some("application/grpc")
    );
    assert_eq!(report.length(), 10);
    support::eventually("the call is over", || {
        (proxy.stats().value("http.edge.downstream_rq_active") == 0).then_some(())
    });
    proxy
        .stats()
        .expect("http.edge.grpc.trailers.5.success", 1)
        .expect("http.edge.grpc.trailers.5.request_messages", 1)
        .expect("http.edge.grpc.trailers.5.status.0.total", 1);
}

/// What a proxy itself has to say about a call, it says as a gRPC client reads it: RFC-less, but the
/// mapping of the gRPC project's http-grpc-status-mapping.md.
#[test]
fn a_server_that_is_gone_is_unavailable_in_grpc_as_well() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let proxy = Proxy::start(&config_to(&nowhere.to_string()));
    let mut caller = Caller::start();
    let order = json!({
        "data": "\0\0\0\0\0", "fields": [["content-type", "application/grpc"], ["te", "trailers"]],
    });
    let answer = caller.ask(Http2, proxy.address("edge"), "POST /shop.Carts/Get", order);
    // Either the HTTP status that clients take for UNAVAILABLE, or the very status.
    match answer.status() {
        503 => {}
        200 => {
            let status = answer
                .field("grpc-status")
                .or(answer.trailer("grpc-status"));
            assert_eq!(status.as_deref(), Some("14"), "{answer:?}");
        }
        other => panic!("{other}: {answer:?}"),
    }
}

fn config(server: &Origin) -> String {
    config_to(&server.address().to_string())
}

fn config_to(server: &str) -> String {
    format!(
        "listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: carts, http: {{ caller_header: x-caller }} }}\n\
         clusters:\n\
         - {{ name: carts, endpoints: [\"{server}\"], http: {{ version: http2 }} }}\n"
    )
}
