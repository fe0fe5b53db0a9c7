//! Requests and replies by hand.

/// A request as clients send it.
pub(crate) fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let arguments: Vec<_> = arguments.iter().map(|text| bulk(text)).collect();
    aggregate('*', &arguments)
}

/// The same for a request of words.
pub(crate) fn command(words: &str) -> Vec<u8> {
    request(&words.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

pub(crate) fn bulk(text: &[u8]) -> Vec<u8> {
    counted('$', text)
}

/// A text with its length in front: `$`, `!` and `=`.
pub(crate) fn counted(kind: char, text: &[u8]) -> Vec<u8> {
    let head = line(kind, &text.len().to_string());
    [&head, text, b"\r\n"].concat()
}

pub(crate) fn line(kind: char, text: &str) -> Vec<u8> {
    format!("{kind}{text}\r\n").into_bytes()
}

/// `*`, `~` and `>`.
pub(crate) fn aggregate(kind: char, values: &[Vec<u8>]) -> Vec<u8> {
    [line(kind, &values.len().to_string()), values.concat()].concat()
}

/// `%` and `|`: keys and values in turn.
pub(crate) fn pairs(kind: char, values: &[Vec<u8>]) -> Vec<u8> {
    [line(kind, &(values.len() / 2).to_string()), values.concat()].concat()
}

/// An aggregate of which nobody says how many values it has.
pub(crate) fn streamed(kind: char, values: &[Vec<u8>]) -> Vec<u8> {
    [line(kind, "?"), values.concat(), b".\r\n".to_vec()].concat()
}

/// A text in pieces.
pub(crate) fn streamed_text(pieces: &[&[u8]]) -> Vec<u8> {
    let pieces = pieces.iter().map(|piece| counted(';', piece));
    let pieces: Vec<u8> = pieces.flatten().collect();
    [b"$?\r\n", &pieces[..], b";0\r\n"].concat()
}
