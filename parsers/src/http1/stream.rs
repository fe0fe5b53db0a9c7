//! Messages one after the other, as their bytes pass: what is common to both directions.

use super::body::{Body, BodyStep};
use super::field::Headers;
use super::framing::Framing;
use super::head::{HeadParser, HeadStep};
use crate::Malformed;
use crate::limits::{MAX_HEAD_BYTES, MAX_TRAILER_BYTES, RETAINED_BYTES};

/// Looks at one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    parser: HeadParser,
    pub(super) headers: Headers,
    /// What a boundary cut: the start of a head or of a trailer section.
    pub(super) carry: Vec<u8>,
    stage: Stage,
    /// Bytes of the body that were content.
    content: u64,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    /// A head has been reported, with the room that holds it.
    Reported(Option<Framing>),
    Body(Body),
    /// A message has been reported.
    Ended,
    Tunnel,
    Failed(Malformed),
}

/// What the next bytes brought.
#[derive(Debug)]
pub(super) enum Found<H> {
    /// Nothing that is whole.
    Nothing,
    /// A head, and whether it is in the carried bytes.
    Head {
        consumed: usize,
        head: H,
        carried: bool,
    },
    /// The end of a message.
    End { consumed: usize, content: u64 },
}

impl Stream {
    /// Goes on with the next bytes. `parse` reads a head, `framing` says what follows it: `None` for another head.
    pub(super) fn advance<H: Copy>(
        &mut self,
        bytes: &[u8],
        parse: impl FnOnce(&mut HeadParser, &[u8], &mut Headers) -> HeadStep<H>,
        describe: impl FnOnce(&H) -> (u32, Option<Framing>),
    ) -> Result<Found<H>, Malformed> {
        if let Stage::Reported(framing) = &self.stage {
            self.stage = match framing {
                None => Stage::Head,
                Some(Framing::Tunnel) => Stage::Tunnel,
                Some(framing) => Stage::Body(Body::new(*framing)),
            };
            self.release();
        }
        let found = match &self.stage {
            Stage::Head | Stage::Ended => self.head(bytes, parse, describe),
            Stage::Body(_) => self.body(bytes),
            Stage::Failed(reason) => return Err(*reason),
            Stage::Reported(_) | Stage::Tunnel => Ok(Found::Nothing),
        };
        found.inspect_err(|reason| {
            self.stage = Stage::Failed(*reason);
            self.release();
        })
    }

    /// What follows is no message any more.
    pub(super) fn tunnel(&mut self) {
        self.stage = Stage::Tunnel;
        self.release();
    }

    /// What follows is no message any more, or will not be once the head is forgotten that has been reported last.
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(
            self.stage,
            Stage::Tunnel | Stage::Reported(Some(Framing::Tunnel))
        )
    }

    /// Nothing of a message is pending.
    pub(super) fn is_between_messages(&self) -> bool {
        match &self.stage {
            Stage::Head => self.carry.is_empty(),
            Stage::Ended | Stage::Reported(None) => true,
            Stage::Reported(Some(_)) | Stage::Body(_) | Stage::Tunnel | Stage::Failed(_) => false,
        }
    }

    /// A message is under way that is complete if the connection ends here: its content so far.
    pub(super) fn content_at_end(&self) -> Option<u64> {
        match &self.stage {
            Stage::Reported(Some(Framing::UntilClose)) => Some(0),
            Stage::Body(body) if body.may_end() => Some(self.content),
            _ => None,
        }
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.carry.capacity() + self.headers.retained_bytes()
    }

    fn head<H: Copy>(
        &mut self,
        bytes: &[u8],
        parse: impl FnOnce(&mut HeadParser, &[u8], &mut Headers) -> HeadStep<H>,
        describe: impl FnOnce(&H) -> (u32, Option<Framing>),
    ) -> Result<Found<H>, Malformed> {
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        self.stage = Stage::Head;
        let before = self.carry.len();
        let carried = before > 0;
        let step = if carried {
            let new = bytes.get(..MAX_HEAD_BYTES - before).unwrap_or(bytes);
            self.carry.extend_from_slice(new);
            parse(&mut self.parser, &self.carry, &mut self.headers)
        } else {
            parse(&mut self.parser, bytes, &mut self.headers)
        };
        match step {
            HeadStep::NeedMore => {
                if !carried {
                    self.carry.extend_from_slice(bytes);
                }
                Ok(Found::Nothing)
            }
            HeadStep::Malformed(reason) => Err(reason),
            HeadStep::Head(head) => {
                let (length, framing) = describe(&head);
                self.stage = Stage::Reported(framing);
                self.content = 0;
                Ok(Found::Head {
                    consumed: (length as usize).saturating_sub(before),
                    head,
                    carried,
                })
            }
        }
    }

    fn body<H>(&mut self, bytes: &[u8]) -> Result<Found<H>, Malformed> {
        let Stage::Body(body) = &mut self.stage else {
            return Ok(Found::Nothing);
        };
        let before = self.carry.len();
        let mut at = 0;
        if before > 0 {
            let new = bytes.get(..MAX_TRAILER_BYTES - before).unwrap_or(bytes);
            self.carry.extend_from_slice(new);
        }
        let shown = if before > 0 {
            self.carry.as_slice()
        } else {
            bytes
        };
        loop {
            let rest = shown.get(at..).unwrap_or_default();
            match body.advance(rest, &mut self.headers) {
                BodyStep::Forward(count) => {
                    self.content += count as u64;
                    at += count;
                }
                BodyStep::Frame(count) | BodyStep::Drop(count) => at += count,
                BodyStep::Trailers { consumed, .. } => at += consumed,
                BodyStep::End => break,
                BodyStep::NeedMore if before == 0 => {
                    self.carry
                        .extend_from_slice(bytes.get(at..).unwrap_or_default());
                    return Ok(Found::Nothing);
                }
                BodyStep::NeedMore => return Ok(Found::Nothing),
                BodyStep::Malformed(reason) => return Err(reason),
            }
        }
        self.stage = Stage::Ended;
        self.release();
        Ok(Found::End {
            consumed: at - before,
            content: self.content,
        })
    }

    /// Forgets what was carried, and gives back the room of a large head.
    fn release(&mut self) {
        if self.carry.capacity() > RETAINED_BYTES {
            self.carry = Vec::new();
        } else {
            self.carry.clear();
        }
    }
}
