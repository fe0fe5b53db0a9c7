use super::*;

/// A connection, and the time it thinks it is.
struct Connection {
    guard: FloodGuard,
    now: Instant,
    clock: u32,
}

impl Connection {
    fn new() -> Self {
        Self {
            guard: FloodGuard::default(),
            now: Instant::now(),
            clock: 0,
        }
    }

    fn receive(&mut self, kind: FrameKind, stream: u32, length: u32, flags: u8) -> Option<Flood> {
        let head = FrameHead {
            length,
            kind,
            flags,
            stream,
        };
        self.guard.received(&head, || {
            self.clock += 1;
            self.now
        })
    }

    /// How many frames pass before it is too much, at most 100,000.
    fn passes(&mut self, kind: FrameKind, stream: u32, length: u32) -> (usize, Option<Flood>) {
        for count in 0..100_000 {
            if let Some(flood) = self.receive(kind, stream, length, 0) {
                return (count, Some(flood));
            }
        }
        (100_000, None)
    }

    fn open(&mut self, streams: u32) {
        for stream in 0..streams {
            let flags = FrameHead::END_HEADERS | FrameHead::END_STREAM;
            let flood = self.receive(FrameKind::Headers, 2 * stream + 1, 20, flags);
            assert_eq!(flood, None);
        }
    }

    fn send(&mut self, kind: FrameKind) {
        self.guard.sent(&FrameHead {
            kind,
            ..FrameHead::default()
        });
    }
}

#[test]
fn frames_of_the_connection_at_once() {
    for (kind, most, flood) in [
        (FrameKind::Ping, 100, Flood::Ping),
        (FrameKind::Settings, 50, Flood::Settings),
        (FrameKind::Unknown, 100, Flood::Unknown),
        (FrameKind::GoAway, 100, Flood::Unknown),
    ] {
        let mut connection = Connection::new();
        assert_eq!(connection.passes(kind, 0, 8), (most, Some(flood)));
        // The clock was read for the first and for the last of them.
        assert_eq!(connection.clock, 2);
    }
}

#[test]
fn frames_of_the_connection_over_time() {
    let mut connection = Connection::new();
    for _ in 0..1000 {
        for _ in 0..10 {
            assert_eq!(connection.receive(FrameKind::Ping, 0, 8, 0), None);
        }
        connection.now += WINDOW / 10;
    }
    assert!(connection.clock <= 1 + 1000 / 10, "{}", connection.clock);
    connection.now += WINDOW;
    let (passed, flood) = connection.passes(FrameKind::Ping, 0, 8);
    assert!(passed <= 2 * MAX_PINGS as usize, "{passed}");
    assert_eq!(flood, Some(Flood::Ping));
}

/// gRPC measures the path with a PING for a DATA frame.
#[test]
fn pings_that_answer_data() {
    let mut connection = Connection::new();
    for _ in 0..1000 {
        connection.send(FrameKind::Data);
        assert_eq!(connection.receive(FrameKind::Ping, 0, 8, 0), None);
    }
    // Other frames are no reason for one.
    let mut connection = Connection::new();
    for _ in 0..100 {
        connection.send(FrameKind::WindowUpdate);
    }
    assert_eq!(
        connection.passes(FrameKind::Ping, 0, 8),
        (100, Some(Flood::Ping))
    );
}

#[test]
fn priorities_and_windows_for_what_there_is() {
    let passes = |kind, streams, data| {
        let mut connection = Connection::new();
        connection.open(streams);
        for _ in 0..data {
            connection.send(FrameKind::Data);
        }
        connection.passes(kind, 1, 4)
    };
    let priority = Some(Flood::Priority);
    assert_eq!(passes(FrameKind::Priority, 0, 0), (100, priority));
    assert_eq!(passes(FrameKind::Priority, 3, 9), (400, priority));
    let window = Some(Flood::WindowUpdate);
    assert_eq!(passes(FrameKind::WindowUpdate, 0, 0), (5, window));
    assert_eq!(passes(FrameKind::WindowUpdate, 3, 0), (11, window));
    assert_eq!(passes(FrameKind::WindowUpdate, 3, 7), (151, window));
}

#[test]
fn resets_for_the_streams_there_were() {
    let mut connection = Connection::new();
    connection.open(1000);
    for stream in 0..1000 {
        assert_eq!(
            connection.receive(FrameKind::Reset, 2 * stream + 1, 4, 0),
            None
        );
    }
    assert_eq!(
        connection.passes(FrameKind::Reset, 1, 4),
        (5, Some(Flood::Reset))
    );
    // Trailers, and a stream that is there already, open nothing.
    let mut connection = Connection::new();
    connection.open(1);
    for _ in 0..9 {
        connection.receive(FrameKind::Headers, 1, 9, FrameHead::END_HEADERS);
    }
    assert_eq!(
        connection.passes(FrameKind::Reset, 1, 4),
        (6, Some(Flood::Reset))
    );
}

#[test]
fn frames_without_payload() {
    let empty = Some(Flood::EmptyFrames);
    for kind in [FrameKind::Data, FrameKind::Headers, FrameKind::Continuation] {
        assert_eq!(Connection::new().passes(kind, 1, 0), (1, empty));
        assert_eq!(Connection::new().passes(kind, 1, 1).1, None);
    }
    // One now and then is none.
    let mut connection = Connection::new();
    for _ in 0..1000 {
        assert_eq!(connection.receive(FrameKind::Data, 1, 0, 0), None);
        assert_eq!(connection.receive(FrameKind::Data, 1, 9, 0), None);
    }
    // Nor is the end of a stream, or of a list of fields.
    for (kind, end) in [
        (FrameKind::Data, FrameHead::END_STREAM),
        (FrameKind::Continuation, FrameHead::END_HEADERS),
    ] {
        let mut connection = Connection::new();
        for stream in 0..1000 {
            assert_eq!(connection.receive(kind, 2 * stream + 1, 0, end), None);
        }
    }
}
