//! Frames one after the other.

use super::event::Event;
use super::frame::{ErrorCode, FRAME_HEAD_BYTES, FrameHead, FrameKind, PREFACE};
use super::held::Held;
use super::hpack;
use super::limits::MAX_CONTINUATIONS;
use super::settings::{Allowed, SETTING_BYTES, Settings};
use crate::Malformed;

/// Looks at what one side of a connection sends.
#[derive(Debug)]
pub struct FrameDecoder {
    hpack: hpack::Decoder,
    allowed: Allowed,
    is_client: bool,
    /// The first frame, which has to be SETTINGS, has begun.
    begun: bool,
    stage: Stage,
    head: FrameHead,
    /// Bytes of the payload that have not come yet, without padding.
    left: u32,
    padding: u32,
    held: Held<FRAME_HEAD_BYTES>,
    settings: Settings,
    /// The list of fields that has begun.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Stream of the frame that began it, on which it goes on.
    frame: u32,
    /// Stream of which the fields speak.
    stream: u32,
    end_stream: bool,
    continuations: u8,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// So much of the preface has come.
    Preface(usize),
    Head,
    PadLength,
    Priority,
    Promised,
    Fragment,
    Data,
    Settings,
    Reset,
    Ping,
    GoAway,
    WindowUpdate,
    /// What is left of the payload says nothing.
    Rest,
    Failed(Malformed),
}

/// More bytes are needed.
struct Pending;

type Progress = Result<Option<Pending>, Malformed>;

impl FrameDecoder {
    /// For what a client sends, from its preface on.
    pub fn client() -> Self {
        Self::new(true, Stage::Preface(0))
    }

    /// For what a server sends, from its first frame on.
    pub fn server() -> Self {
        Self::new(false, Stage::Head)
    }

    fn new(is_client: bool, stage: Stage) -> Self {
        Self {
            hpack: hpack::Decoder::new(),
            allowed: Allowed::default(),
            is_client,
            begun: false,
            stage,
            head: FrameHead::default(),
            left: 0,
            padding: 0,
            held: Held::default(),
            settings: Settings::default(),
            open: None,
        }
    }

    /// The other side has announced these settings. To be called before what comes after them goes on to this side.
    pub fn announced(&mut self, settings: &Settings) {
        self.allowed.announce(settings);
    }

    /// Goes on with the next bytes, and reports what they say.
    ///
    /// # Errors
    /// The bytes are not what they should be. Final: the decoder answers the same from now on.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        seen: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Malformed> {
        let mut rest = bytes;
        loop {
            match self.step(&mut rest, seen) {
                Ok(None) => {}
                Ok(Some(Pending)) => return Ok(()),
                Err(reason) => {
                    self.stage = Stage::Failed(reason);
                    self.hpack = hpack::Decoder::new();
                    return Err(reason);
                }
            }
        }
    }

    /// Nothing of a frame or a list of fields is pending.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.held.is_empty() && self.open.is_none()
    }

    /// Heap memory that is held, in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.hpack.retained_bytes()
    }

    fn step(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Progress {
        match self.stage {
            Stage::Preface(at) => self.preface(at, rest),
            Stage::Head => self.head(rest),
            Stage::PadLength => self.pad_length(rest),
            Stage::Priority => self.priority(rest, seen),
            Stage::Promised => self.promised(rest, seen),
            Stage::Fragment => self.fragment(rest, seen),
            Stage::Data => Ok(self.data(rest, seen)),
            Stage::Settings => self.settings(rest, seen),
            Stage::Reset => self.fixed(rest, |head, code| {
                seen(Event::Reset {
                    stream: head.stream,
                    code: ErrorCode(u32::from_be_bytes(code)),
                });
            }),
            Stage::Ping => self.fixed(rest, |head, _: [u8; 8]| {
                let ack = head.has(FrameHead::ACK);
                seen(Event::Ping { ack });
            }),
            Stage::GoAway => self.fixed(rest, |_, [a, b, c, d, code @ ..]: [u8; 8]| {
                seen(Event::GoAway {
                    last_stream: stream([a, b, c, d]),
                    code: ErrorCode(u32::from_be_bytes(code)),
                });
            }),
            Stage::WindowUpdate => self.fixed(rest, |head, increment| {
                seen(Event::WindowUpdate {
                    stream: head.stream,
                    increment: stream(increment),
                });
            }),
            Stage::Rest => Ok(self.rest(rest)),
            Stage::Failed(reason) => Err(reason),
        }
    }

    fn preface(&mut self, at: usize, rest: &mut &[u8]) -> Progress {
        let missing = PREFACE.get(at..).unwrap_or_default();
        let length = missing.len().min(rest.len());
        let (now, after) = rest.split_at_checked(length).unwrap_or_default();
        if !missing.starts_with(now) {
            return Err(Malformed::Preface);
        }
        *rest = after;
        if length < missing.len() {
            self.stage = Stage::Preface(at + length);
            return Ok(Some(Pending));
        }
        self.stage = Stage::Head;
        Ok(None)
    }

    fn head(&mut self, rest: &mut &[u8]) -> Progress {
        let Some(head) = self.held.take(rest) else {
            return Ok(Some(Pending));
        };
        let head = FrameHead::read(&head);
        self.check_order(&head)?;
        check_stream(&head)?;
        check_length(&head)?;
        if head.length > self.allowed.frame_bytes() {
            return Err(Malformed::FrameLength);
        }
        self.left = head.length;
        self.padding = 0;
        self.head = head;
        self.stage = self.first_stage();
        Ok(None)
    }

    /// Which frames may follow (RFC 9113, sections 3.4, 4.3, 6.10 and 8.4).
    fn check_order(&mut self, head: &FrameHead) -> Result<(), Malformed> {
        if !self.begun {
            if head.kind != FrameKind::Settings || head.has(FrameHead::ACK) {
                return Err(Malformed::Preface);
            }
            self.begun = true;
        }
        let continues = head.kind == FrameKind::Continuation;
        match &mut self.open {
            Some(open) if continues && open.frame == head.stream => {
                open.continuations += 1;
                if open.continuations > MAX_CONTINUATIONS {
                    return Err(Malformed::Continuations);
                }
                Ok(())
            }
            None if !continues && (head.kind != FrameKind::PushPromise || !self.is_client) => {
                Ok(())
            }
            _ => Err(Malformed::UnexpectedFrame),
        }
    }

    fn first_stage(&self) -> Stage {
        match self.head.kind {
            FrameKind::Data | FrameKind::Headers | FrameKind::PushPromise
                if self.head.has(FrameHead::PADDED) =>
            {
                Stage::PadLength
            }
            FrameKind::Settings => Stage::Settings,
            FrameKind::Reset => Stage::Reset,
            FrameKind::Ping => Stage::Ping,
            FrameKind::GoAway => Stage::GoAway,
            FrameKind::WindowUpdate => Stage::WindowUpdate,
            FrameKind::Continuation => Stage::Fragment,
            FrameKind::Priority | FrameKind::Unknown => Stage::Rest,
            _ => self.stage_after_padding(),
        }
    }

    fn stage_after_padding(&self) -> Stage {
        match self.head.kind {
            FrameKind::Headers => Stage::Priority,
            FrameKind::PushPromise => Stage::Promised,
            _ => Stage::Data,
        }
    }

    /// The byte that says how much padding ends the frame.
    fn pad_length(&mut self, rest: &mut &[u8]) -> Progress {
        let Some([length]) = self.held.take(rest) else {
            return Ok(Some(Pending));
        };
        self.padding = u32::from(length);
        self.left = (self.left - 1)
            .checked_sub(self.padding)
            .ok_or(Malformed::Padding)?;
        self.stage = self.stage_after_padding();
        Ok(None)
    }

    /// The priority that a HEADERS frame may have in front of the fields.
    fn priority(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Progress {
        if self.head.has(FrameHead::PRIORITY) {
            let after = self.left.checked_sub(5).ok_or(Malformed::FrameLength)?;
            if self.held.take::<5>(rest).is_none() {
                return Ok(Some(Pending));
            }
            self.left = after;
        }
        let stream = self.head.stream;
        seen(Event::Headers { stream });
        self.open(stream, self.head.has(FrameHead::END_STREAM));
        Ok(None)
    }

    fn promised(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Progress {
        let after = self.left.checked_sub(4).ok_or(Malformed::FrameLength)?;
        let Some(promised) = self.held.take(rest).map(stream) else {
            return Ok(Some(Pending));
        };
        self.left = after;
        let stream = self.head.stream;
        seen(Event::PushPromise { stream, promised });
        self.open(promised, false);
        Ok(None)
    }

    /// A list of fields begins.
    fn open(&mut self, stream: u32, end_stream: bool) {
        self.hpack.allow_table(self.allowed.table_bytes());
        self.open = Some(Open {
            frame: self.head.stream,
            stream,
            end_stream,
            continuations: 0,
        });
        self.stage = Stage::Fragment;
    }

    fn fragment(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Progress {
        let Some(open) = self.open else {
            return Err(Malformed::UnexpectedFrame);
        };
        let stream = open.stream;
        let bytes = self.payload(rest);
        self.hpack
            .advance(bytes, &mut |field| seen(Event::Field { stream, field }))?;
        if self.left > 0 {
            return Ok(Some(Pending));
        }
        if self.head.has(FrameHead::END_HEADERS) {
            let list = self.hpack.finish()?;
            let end_stream = open.end_stream;
            seen(Event::HeadersEnd {
                stream,
                end_stream,
                list,
            });
            self.open = None;
        }
        self.end_payload();
        Ok(None)
    }

    fn data(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Option<Pending> {
        let bytes = self.payload(rest);
        let is_complete = self.left == 0;
        if !bytes.is_empty() || is_complete {
            seen(Event::Data {
                stream: self.head.stream,
                bytes,
                end_stream: is_complete && self.head.has(FrameHead::END_STREAM),
            });
        }
        if !is_complete {
            return Some(Pending);
        }
        self.end_payload();
        None
    }

    fn settings(&mut self, rest: &mut &[u8], seen: &mut impl FnMut(Event<'_>)) -> Progress {
        while self.left > 0 {
            let Some(setting) = self.held.take::<SETTING_BYTES>(rest) else {
                return Ok(Some(Pending));
            };
            self.left -= SETTING_BYTES as u32;
            self.settings.set(setting)?;
        }
        if self.head.has(FrameHead::ACK) {
            self.allowed.acknowledge();
            seen(Event::SettingsAck);
        } else {
            seen(Event::Settings(std::mem::take(&mut self.settings)));
        }
        self.stage = Stage::Head;
        Ok(None)
    }

    /// A payload of which the first `N` bytes are all that matters.
    fn fixed<const N: usize>(
        &mut self,
        rest: &mut &[u8],
        seen: impl FnOnce(&FrameHead, [u8; N]),
    ) -> Progress {
        let Some(payload) = self.held.take(rest) else {
            return Ok(Some(Pending));
        };
        self.left -= N as u32;
        seen(&self.head, payload);
        self.stage = Stage::Rest;
        Ok(None)
    }

    fn rest(&mut self, rest: &mut &[u8]) -> Option<Pending> {
        self.payload(rest);
        if self.left > 0 {
            return Some(Pending);
        }
        self.stage = Stage::Head;
        None
    }

    /// What has come of the payload.
    fn payload<'b>(&mut self, rest: &mut &'b [u8]) -> &'b [u8] {
        let length = rest.len().min(self.left as usize);
        let (payload, after) = rest.split_at_checked(length).unwrap_or_default();
        self.left -= length as u32;
        *rest = after;
        payload
    }

    /// Padding is what is left of the frame.
    fn end_payload(&mut self) {
        self.left = self.padding;
        self.stage = Stage::Rest;
    }
}

/// 31 bits, without the reserved one.
fn stream(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// Which frames belong to a stream and which to the connection (RFC 9113, section 6).
fn check_stream(head: &FrameHead) -> Result<(), Malformed> {
    let fits = match head.kind {
        FrameKind::Settings | FrameKind::Ping | FrameKind::GoAway => head.stream == 0,
        FrameKind::WindowUpdate | FrameKind::Unknown => true,
        _ => head.stream != 0,
    };
    fits.then_some(()).ok_or(Malformed::FrameStream)
}

/// The lengths that a kind of frame may have (RFC 9113, section 6). A PRIORITY frame of another length is an error of its stream alone.
fn check_length(head: &FrameHead) -> Result<(), Malformed> {
    let fits = match head.kind {
        FrameKind::Data | FrameKind::Headers | FrameKind::PushPromise => {
            head.length > 0 || !head.has(FrameHead::PADDED)
        }
        FrameKind::Reset | FrameKind::WindowUpdate => head.length == 4,
        FrameKind::Settings if head.has(FrameHead::ACK) => head.length == 0,
        FrameKind::Settings => head.length.is_multiple_of(SETTING_BYTES as u32),
        FrameKind::Ping => head.length == 8,
        FrameKind::GoAway => head.length >= 8,
        _ => true,
    };
    fits.then_some(()).ok_or(Malformed::FrameLength)
}
