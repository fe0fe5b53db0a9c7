//! The forms of a request target (RFC 9112 section 3.2).

use super::framing::RequestKind;
use super::scan::{self, ADDRESS, NAME};
use crate::Malformed;

/// How a target is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`: the host in it stands for that of `Host` (RFC 9112 section 3.2.2).
    Absolute,
    /// `host:port`, of CONNECT.
    Authority,
    /// `*`, of OPTIONS.
    Asterisk,
}

/// A target, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'b> {
    pub(super) form: TargetForm,
    /// Host and port, where the form has them.
    pub(super) authority: &'b [u8],
    /// Bytes in front of the authority.
    pub(super) authority_at: usize,
    /// Bytes in front of path and query; they go on to the end.
    pub(super) path_at: usize,
}

impl<'b> Target<'b> {
    /// Takes a target apart. Its bytes are known to be such as may stand in one.
    pub(super) fn of(target: &'b [u8], method: &[u8]) -> Result<Self, Malformed> {
        let (form, path_at) = match (RequestKind::of(method), target) {
            (RequestKind::Connect, _) => return Self::authority(target),
            (_, [b'/', ..]) => (TargetForm::Origin, 0),
            (_, b"*") if method == b"OPTIONS" => (TargetForm::Asterisk, 0),
            _ => return Self::absolute(target),
        };
        Ok(Self {
            form,
            authority: &[],
            authority_at: 0,
            path_at,
        })
    }

    /// CONNECT needs a port: there is no default (RFC 9110 section 9.3.6).
    fn authority(target: &'b [u8]) -> Result<Self, Malformed> {
        let port = memchr::memrchr(b':', target).and_then(|at| target.get(at + 1..));
        let has_port =
            port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
        if !has_port || !is_host(target) || target.starts_with(b":") {
            return Err(Malformed::Target);
        }
        Ok(Self {
            form: TargetForm::Authority,
            authority: target,
            authority_at: 0,
            path_at: target.len(),
        })
    }

    /// `http` and `https` have a host that is not empty (RFC 9110 section 4.2.1), and user information in it is an error (section 4.2.4).
    fn absolute(target: &'b [u8]) -> Result<Self, Malformed> {
        let start = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| {
                target
                    .get(..scheme.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            })
            .ok_or(Malformed::Target)?
            .len();
        let rest = target.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(rest.len());
        let authority = rest.get(..length).unwrap_or_default();
        if !is_host(authority) || matches!(authority, [] | [b':', ..]) {
            return Err(Malformed::Target);
        }
        Ok(Self {
            form: TargetForm::Absolute,
            authority,
            authority_at: start,
            path_at: start + length,
        })
    }
}

/// Is `uri-host [ ":" port ]` (RFC 9110 section 7.2). It may be empty (RFC 9112 section 3.2).
pub(super) fn is_host(value: &[u8]) -> bool {
    let rest = match value.strip_prefix(b"[") {
        Some(literal) => match past(literal, ADDRESS) {
            [b']', rest @ ..] => rest,
            _ => return false,
        },
        None => past(value, NAME),
    };
    match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What is behind the bytes of this kind.
fn past(bytes: &[u8], kind: u8) -> &[u8] {
    bytes.get(scan::run(bytes, kind)..).unwrap_or_default()
}
