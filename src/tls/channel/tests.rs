use std::collections::VecDeque;
use std::sync::Arc;

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::tls::{Authorities, ClientSettings, ClientTls, tests};

/// One direction of a network that takes and gives a few bytes at a time.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    ended: bool,
    reset: bool,
}

/// One end of it.
struct End<'a> {
    incoming: &'a mut Way,
    outgoing: &'a mut Way,
    /// Bytes that are moved at once, and that the way holds.
    step: usize,
    room: usize,
}

impl Read for End<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.incoming.bytes.is_empty() && !self.incoming.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.step).min(self.incoming.bytes.len());
        for (place, byte) in buffer.iter_mut().zip(self.incoming.bytes.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }
}

impl Write for End<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.outgoing.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes
            .len()
            .min(self.step)
            .min(self.room - self.outgoing.bytes.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.outgoing.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and a server over such a network.
struct Pair {
    client: Channel,
    server: Channel,
    up: Way,
    down: Way,
    step: usize,
    room: usize,
}

impl Pair {
    fn new(step: usize, room: usize) -> Self {
        let server = tests::server();
        let client = ClientTls::new(ClientSettings {
            authorities: Some(Authorities::from_file(tests::CA).unwrap()),
            server_name: None,
            certificate: None,
            min_version: Version::Tls12,
        });
        let client = Arc::clone(&client.unwrap().config);
        let name = tests::NAME.try_into().unwrap();
        Self {
            client: Channel::new(ClientConnection::new(client, name).unwrap().into()),
            server: Channel::new(ServerConnection::new(server).unwrap().into()),
            up: Way::default(),
            down: Way::default(),
            step,
            room,
        }
    }

    fn client(&mut self) -> (&mut Channel, End<'_>) {
        let end = End {
            incoming: &mut self.down,
            outgoing: &mut self.up,
            step: self.step,
            room: self.room,
        };
        (&mut self.client, end)
    }

    fn server(&mut self) -> (&mut Channel, End<'_>) {
        let end = End {
            incoming: &mut self.up,
            outgoing: &mut self.down,
            step: self.step,
            room: self.room,
        };
        (&mut self.server, end)
    }

    fn shake_hands(mut self) -> Self {
        // More than there are bytes: two that wait for each other would do so for ever.
        for _ in 0..100_000 {
            let (client, mut io) = self.client();
            let one = client.handshake(&mut io);
            if one.is_ok() {
                // What the server sends behind its handshake.
                assert!(is_blocked(&client.read(&mut io, &mut [0])));
            }
            let (server, mut io) = self.server();
            let other = server.handshake(&mut io);
            if one.is_ok() && other.is_ok() {
                return self;
            }
            for result in [one, other] {
                assert!(result.is_ok() || is_blocked(&result), "{result:?}");
            }
        }
        panic!("the handshake does not come to an end");
    }
}

#[test]
fn bytes_come_through_a_network_of_any_size_and_then_the_end() {
    let sent: Vec<u8> = (0..100_000_usize).map(|at| (at * 7) as u8).collect();
    for (step, room) in [
        (1, 1),
        (7, 100),
        (4096, 5000),
        (20_000, 20_000),
        (1 << 20, 1 << 20),
    ] {
        let mut pair = Pair::new(step, room).shake_hands();
        let (mut written, mut got) = (0, Vec::new());
        let mut buffer = vec![0; 30_000];
        loop {
            let (client, mut io) = pair.client();
            if written < sent.len() {
                match client.write(&mut io, &[IoSlice::new(&sent[written..])]) {
                    Ok(count) => written += count,
                    result => assert!(is_blocked(&result), "{result:?}"),
                }
            } else if let Err(error) = client.shut_down(&mut io) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
            let (server, mut io) = pair.server();
            match server.read(&mut io, &mut buffer) {
                Ok(0) => break,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                result => assert!(is_blocked(&result), "{result:?}"),
            }
        }
        assert!(got == sent, "{step}: {} of {}", got.len(), sent.len());
        assert!(!pair.client.needs_flush());
        // The other direction is still open.
        let (server, mut io) = pair.server();
        assert_eq!(server.write(&mut io, &[IoSlice::new(b"x")]).unwrap(), 1);
    }
}

#[test]
fn no_more_is_taken_than_waits_in_memory() {
    let mut pair = Pair::new(1 << 20, 5000).shake_hands();
    let much = vec![0; 1 << 20];
    let (client, mut io) = pair.client();
    let taken = client.write(&mut io, &[IoSlice::new(&much)]).unwrap();
    assert!((5000..=64 << 10).contains(&taken), "{taken}");
    assert!(client.needs_flush());
    // Nothing more before that has gone.
    for _ in 0..3 {
        assert!(is_blocked(&client.write(&mut io, &[IoSlice::new(&much)])));
        assert!(is_blocked(&client.flush(&mut io)));
    }
}

#[test]
fn what_came_before_a_failure_is_read_before_it_and_the_failure_is_told() {
    let mut pair = Pair::new(1 << 20, 1 << 20).shake_hands();
    let (client, mut io) = pair.client();
    client.write(&mut io, &[IoSlice::new(b"hello")]).unwrap();
    // No record begins so.
    pair.up.bytes.extend([0xff; 40]);
    let mut buffer = [0; 100];
    let (server, mut io) = pair.server();
    assert_eq!(server.read(&mut io, &mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
    let error = server.read(&mut io, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn an_end_that_was_not_announced_is_no_end() {
    for (ended, reset, expected) in [
        (true, false, io::ErrorKind::UnexpectedEof),
        (false, true, io::ErrorKind::ConnectionReset),
    ] {
        let mut pair = Pair::new(1 << 20, 1 << 20).shake_hands();
        pair.up.ended = ended;
        pair.up.reset = reset;
        let (server, mut io) = pair.server();
        let error = server.read(&mut io, &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), expected);
    }
    let mut pair = Pair::new(1 << 20, 1 << 20).shake_hands();
    let (client, mut io) = pair.client();
    client.announce_end(&mut io);
    pair.up.ended = true;
    let (server, mut io) = pair.server();
    assert_eq!(server.read(&mut io, &mut [0; 10]).unwrap(), 0);
}

#[test]
fn an_error_of_a_write_says_that_nothing_was_sent() {
    let mut pair = Pair::new(1 << 20, 1 << 20).shake_hands();
    pair.up.reset = true;
    let (client, mut io) = pair.client();
    let error = client
        .write(&mut io, &[IoSlice::new(b"hello")])
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn whoever_leaves_in_the_handshake_ends_it() {
    let mut pair = Pair::new(100, 1 << 20);
    let (client, mut io) = pair.client();
    assert!(is_blocked(&client.handshake(&mut io)));
    pair.up.bytes.truncate(50);
    pair.up.ended = true;
    let (server, mut io) = pair.server();
    let error = server.handshake(&mut io).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
