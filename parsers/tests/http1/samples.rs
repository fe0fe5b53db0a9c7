//! Heads and messages as they are sent.

/// Heads of requests that every reader takes.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /carts/17?expand=items&q=%20 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
        "HEAD /x HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: [::1]:80\r\nConnection: keep-alive\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n\r\n",
        "PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\nExpect: 100-continue\r\n\r\n",
        "GET http://shop.example/a?b=c HTTP/1.1\r\nHost: shop.example\r\nVia: 1.1 x\r\n\r\n",
        "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "\r\nGET /after-an-empty-line HTTP/1.1\r\nHost: a\r\n\r\n",
        "PURGE /a HTTP/1.1\r\nHost:a\r\nX-Empty:\r\nX_Under: 1\r\nX-Blanks: \t a \t b \t \r\nX-Latin: \u{e9}\u{fc}\r\nX-!#$%&'*+.^`|~: 1\r\n\r\n",
        "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\nHost: www.kittyhell.com\r\n\
         User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
         Accept-Encoding: gzip,deflate\r\nAccept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\nKeep-Alive: 115\r\nConnection: keep-alive\r\n\
         Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx\r\n\r\n",
    ]
    .map(|head| head.as_bytes().to_vec())
    .to_vec()
}

/// Heads of replies that every reader takes.
pub(crate) fn replies() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 21:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 64\r\nConnection: keep-alive\r\nETag: \"65a1b2c3-40\"\r\nAccept-Ranges: bytes\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n",
        "HTTP/1.1 204 \r\nX-Empty:\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 500\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 302 Caf\u{e9}\r\nLocation: /a?b\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n\r\n",
        "HTTP/1.1 599 \t x\r\nX-Blanks: \t a \t b \t \r\n\r\n",
    ]
    .map(|head| head.as_bytes().to_vec())
    .to_vec()
}

/// Messages of a client, heads and bodies; the last stream is all of them.
pub(crate) fn request_streams() -> Vec<Vec<u8>> {
    whole(requests())
}

/// Messages of a server, heads and bodies; the last stream is all of them, but for those that end the connection.
pub(crate) fn reply_streams() -> Vec<Vec<u8>> {
    whole(replies())
}

/// Chunked bodies.
pub(crate) const CHUNKED: [&str; 4] = [
    "0\r\n\r\n",
    "5\r\nhello\r\n007\r\n, world\r\n0\r\n\r\n",
    "c;a=b;c = \"d\\\"\" ;e\r\nhello, world\r\n0;last\r\n\r\n",
    "C\r\nhello, world\r\n0\r\nDigest: sha-256=x\r\nContent-Length: 5\r\nX-Time:1\r\n\r\n",
];

fn whole(heads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    let mut all = Vec::new();
    for head in heads {
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        for body in bodies(&text) {
            let message = [head.as_slice(), body.as_bytes()].concat();
            let goes_on = text.contains("content-length:")
                || text.contains("transfer-encoding:")
                || !text.starts_with("http/")
                || [" 204 ", " 304 ", " 100 "]
                    .iter()
                    .any(|status| text.contains(status));
            if goes_on {
                all.extend_from_slice(&message);
            }
            streams.push(message);
        }
    }
    streams.push(all);
    streams
}

/// Bodies that fit a head.
fn bodies(head: &str) -> Vec<String> {
    if head.contains("transfer-encoding:") {
        return CHUNKED.map(String::from).to_vec();
    }
    let length = head.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
    vec!["x".repeat(length)]
}
