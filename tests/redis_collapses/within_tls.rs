//! TLS on both sides: to the clients, and to the server.

use std::io::{BufReader, Write};
use std::net::SocketAddr;

use crate::collapsed::{commands, config_with};
use crate::support::certificates::Authority;
use crate::support::free_port;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{Value, read_value};
use crate::support::tls;

#[test]
fn clients_share_connections_within_tls() {
    let authority = Authority::new("an authority");
    let files = authority.issue(&["localhost"]);
    let ca = authority.file();
    let port = free_port();
    let redis = Redis::with(&[
        &format!("tls-port {port}"),
        &format!("tls-cert-file {}", files.certificate.display()),
        &format!("tls-key-file {}", files.key.display()),
        &format!("tls-ca-cert-file {}", ca.display()),
        "tls-auth-clients no",
        "user anna on >anna-secret ~* &* +@all",
    ]);
    let listener = format!("    tls: {{ certificates: [{}] }}\n", files.listed());
    let upstream = SocketAddr::from(([127, 0, 0, 1], port));
    let config = config_with(upstream, "max_connections: 4", &listener)
        + &format!(
            "    tls: {{ ca: '{}', server_name: localhost }}\n",
            ca.display()
        );
    let proxy = Proxy::start(&config);
    let client = tls::client(&ca, None);
    let mut clients: Vec<_> = (0..10)
        .map(|_| {
            let stream = tls::stream(&client, proxy.address("redis"), "localhost");
            BufReader::new(stream)
        })
        .collect();
    let value = "v".repeat(1_000_000);
    let lines = format!("SET k {value}\nGET k\nMULTI\nSTRLEN k\nEXEC\nBLPOP none 0.01");
    for client in &mut clients {
        let bytes = commands(&lines);
        client.get_mut().write_all(&bytes).unwrap();
        client.get_mut().flush().unwrap();
        let wanted = [
            Value::ok(),
            Value::bulk(&value),
            Value::ok(),
            Value::Simple("QUEUED".to_string()),
            Value::Array(vec![Value::Integer(1_000_000)]),
            Value::NilArray,
        ];
        for wanted in wanted {
            let said = read_value(client).unwrap();
            assert!(said == wanted, "{:.100}", format!("{said:?}"));
        }
    }
    for client in &mut clients {
        let bytes = commands("AUTH anna anna-secret\nACL WHOAMI");
        client.get_mut().write_all(&bytes).unwrap();
        client.get_mut().flush().unwrap();
        assert_eq!(read_value(client).unwrap(), Value::ok());
        assert_eq!(read_value(client).unwrap(), Value::bulk("anna"));
    }
    let stats = redis.info("stats");
    let received: i64 = stats["total_connections_received"].parse().unwrap();
    // Two that are shared, one that is lent, and one for each AUTH; and those of this test.
    assert!(received <= 3 + 10 + 4, "{received} connections");
    drop(clients);
    crate::collapsed::at_rest(&proxy);
}
