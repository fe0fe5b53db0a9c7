//! An upstream that keeps every byte which reaches it, and reads them as strictly as RFC 9112 allows:
//! whatever it can't read in exactly one way is an accident that happened.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::peer::scripted;

/// What a request was, when it was whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value.as_str())
    }
}

/// Answers every whole request with `200` and `ok`.
pub struct Recorder {
    address: SocketAddr,
    tapes: Arc<Mutex<Vec<Tape>>>,
}

impl Recorder {
    pub fn start() -> Self {
        Self::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// Answers every whole request with these bytes.
    pub fn answering(answer: &'static [u8]) -> Self {
        let tapes: Arc<Mutex<Vec<Tape>>> = Arc::default();
        let record = Arc::clone(&tapes);
        let address = scripted(move |mut stream| {
            let number = {
                let mut tapes = record.lock().unwrap();
                tapes.push(Tape::default());
                tapes.len() - 1
            };
            let mut buffer = [0; 16 * 1024];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                let whole = record.lock().unwrap()[number].add(&buffer[..n]);
                for _ in 0..whole {
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            }
        });
        Self { address, tapes }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All whole requests of all connections. Fails when any byte that came can be read in another way.
    #[track_caller]
    pub fn requests(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for tape in self.tapes.lock().unwrap().iter() {
            if let Some(why) = &tape.wrong {
                panic!("ambiguous: {why}");
            }
            all.extend(tape.seen.iter().cloned());
        }
        all
    }

    /// Forgets the requests that came so far.
    pub fn clear(&self) {
        for tape in self.tapes.lock().unwrap().iter_mut() {
            tape.seen.clear();
        }
    }

    /// How many bytes have come in all.
    pub fn bytes(&self) -> usize {
        let tapes = self.tapes.lock().unwrap();
        tapes.iter().map(|tape| tape.came).sum()
    }
}

/// What came over one connection.
#[derive(Default)]
struct Tape {
    /// The beginning of a request.
    rest: Vec<u8>,
    seen: Vec<Seen>,
    /// Why, and what.
    wrong: Option<String>,
    came: usize,
}

impl Tape {
    /// How many requests are whole by this.
    fn add(&mut self, bytes: &[u8]) -> usize {
        self.came += bytes.len();
        self.rest.extend(bytes);
        let before = self.seen.len();
        while !self.rest.is_empty() && self.wrong.is_none() {
            let mut cursor = Cursor {
                bytes: &self.rest,
                at: 0,
            };
            match cursor.request() {
                Ok(request) => {
                    let end = cursor.at;
                    self.rest.drain(..end);
                    self.seen.push(request);
                }
                Err(Stop::NeedMore) => break,
                Err(Stop::Wrong(why)) => {
                    let what = String::from_utf8_lossy(&self.rest);
                    self.wrong = Some(format!("{why} in {what:?}"));
                }
            }
        }
        self.seen.len() - before
    }
}

enum Stop {
    NeedMore,
    Wrong(String),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn request(&mut self) -> Result<Seen, Stop> {
        let line = self.line()?;
        check_request_line(&line)?;
        let fields = self.fields()?;
        let count = |name: &str| fields.iter().filter(|(key, _)| key == name).count();
        let value = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        if count("host") != 1 {
            return wrong(format!("{} hosts", count("host")));
        }
        if count("content-length") + count("transfer-encoding") > 1 {
            return wrong("more than one length".into());
        }
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if let Some(length) = value("content-length") {
            if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return wrong(format!("length {length:?}"));
            }
            let length = length
                .parse()
                .map_err(|_| Stop::Wrong(format!("length {length:?}")))?;
            body = self.exactly(length)?;
        } else if let Some(coding) = value("transfer-encoding") {
            if !coding.eq_ignore_ascii_case("chunked") {
                return wrong(format!("coding {coding:?}"));
            }
            loop {
                let size = self.line()?;
                if size.is_empty()
                    || size.len() > 16
                    || !size.bytes().all(|byte| byte.is_ascii_hexdigit())
                {
                    return wrong(format!("chunk size {size:?}"));
                }
                let size = usize::from_str_radix(&size, 16).unwrap();
                if size == 0 {
                    break;
                }
                body.extend(self.exactly(size)?);
                if !self.line()?.is_empty() {
                    return wrong("a chunk without its end".into());
                }
            }
            trailers = self.fields()?;
        }
        Ok(Seen {
            line,
            fields,
            body,
            trailers,
        })
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, Stop> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some((name, value)) = line.split_once(':') else {
                return wrong(format!("no colon in {line:?}"));
            };
            if name.is_empty() || !name.bytes().all(is_token) {
                return wrong(format!("name {name:?}"));
            }
            fields.push((
                name.to_ascii_lowercase(),
                value.trim_matches([' ', '\t']).to_string(),
            ));
        }
    }

    /// Up to CRLF, with no other control character than a tab.
    fn line(&mut self) -> Result<String, Stop> {
        let rest = &self.bytes[self.at..];
        for (index, byte) in rest.iter().enumerate() {
            match byte {
                b'\r' => match rest.get(index + 1) {
                    Some(b'\n') => {
                        self.at += index + 2;
                        // Latin-1, so that nothing is lost.
                        return Ok(rest[..index].iter().map(|byte| char::from(*byte)).collect());
                    }
                    Some(_) => return wrong("a bare CR".into()),
                    None => return Err(Stop::NeedMore),
                },
                b'\t' | b' '..=b'~' | 0x80.. => {}
                other => return wrong(format!("byte {other:#x} in a line")),
            }
        }
        Err(Stop::NeedMore)
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        let end = self.at.checked_add(length).ok_or(Stop::NeedMore)?;
        let part = self.bytes.get(self.at..end).ok_or(Stop::NeedMore)?;
        self.at += length;
        Ok(part.to_vec())
    }
}

fn check_request_line(line: &str) -> Result<(), Stop> {
    let parts: Vec<&str> = line.split(' ').collect();
    match parts[..] {
        [method, target, "HTTP/1.1"]
            if !method.is_empty()
                && method.bytes().all(is_token)
                && !target.is_empty()
                && target
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() || byte >= 0x80) =>
        {
            Ok(())
        }
        _ => wrong(format!("request line {line:?}")),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn wrong<T>(why: String) -> Result<T, Stop> {
    Err(Stop::Wrong(why))
}
