//! The arguments of a request that is there as a whole.

/// The arguments of `request`, from the first byte to the last of one that a [`RequestDecoder`](super::RequestDecoder) has taken and that
/// is an array of texts. What a person typed on a line has none here, and neither have bytes that are no whole request.
pub fn arguments(request: &[u8]) -> Arguments<'_> {
    // What asks for nothing may stand in front of it.
    let begin = memchr::memchr(b'$', request);
    let rest = begin.and_then(|begin| request.get(begin..));
    Arguments {
        rest: rest.unwrap_or_default(),
    }
}

/// See [`arguments`].
#[derive(Debug, Clone)]
pub struct Arguments<'a> {
    /// From the `$` of the next one.
    rest: &'a [u8],
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest.strip_prefix(b"$")?;
        let end = memchr::memchr(b'\r', line)?;
        let (digits, text) = line.split_at_checked(end)?;
        let length: usize = str::from_utf8(digits).ok()?.parse().ok()?;
        let (argument, after) = text.strip_prefix(b"\r\n")?.split_at_checked(length)?;
        self.rest = after.strip_prefix(b"\r\n")?;
        Some(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(request: &[u8]) -> Vec<&[u8]> {
        arguments(request).collect()
    }

    #[test]
    fn each_argument_is_there_whole() {
        assert_eq!(
            of(b"*3\r\n$3\r\nSET\r\n$1\r\n$\r\n$4\r\n\r\n$1\r\n"),
            [&b"SET"[..], b"$", b"\r\n$1"]
        );
        assert_eq!(of(b"\r\n*0\r\n*1\r\n$0\r\n\r\n"), [b""]);
    }

    #[test]
    fn what_is_no_whole_request_ends_where_it_is_cut() {
        assert_eq!(of(b"get a\r\n"), [b""; 0]);
        assert_eq!(
            of(b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\na\r\n"),
            [b"GET"]
        );
        assert_eq!(of(b"*2\r\n$3\r\nGET\r\n$5\r\nab\r\n"), [b"GET"]);
    }
}
