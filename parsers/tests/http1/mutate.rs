//! Bytes that are nearly right.

/// The same numbers for the same seed: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What parsers trip over.
const TROUBLE: [&[u8]; 40] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    "\u{e9}".as_bytes(),
    b":",
    b",",
    b";",
    b"\"",
    b"#",
    b"?",
    b"/",
    b"@",
    b"[",
    b"]",
    b"*",
    b"%",
    b"_",
    b"+",
    b"0",
    b"1",
    b"99999999999999999999",
    b"\r\nContent-Length: 3",
    b"\r\nContent-Length: 3, 3",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\ntransfer-encoding: gzip, chunked",
    b"\r\nTransfer-Encoding: identity",
    b"\r\nHost: b",
    b"\r\n Folded: x",
    b"http://b",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"chunked",
];

/// One of the samples with up to four mutations.
pub(crate) fn mutated(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = samples[random.below(samples.len())].clone();
    for _ in 0..[1, 1, 1, 2, 4][random.below(5)] {
        mutate(&mut bytes, samples, random);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(12)).min(bytes.len());
    match random.below(9) {
        0 => drop(bytes.splice(at..at, TROUBLE[random.below(TROUBLE.len())].iter().copied())),
        1 => drop(bytes.splice(
            at..end,
            TROUBLE[random.below(TROUBLE.len())].iter().copied(),
        )),
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, again));
        }
        6 => remove_line(bytes, random),
        7 if random.below(3) == 0 => bytes.truncate(at),
        _ => {
            // The end of another sample.
            let other = &samples[random.below(samples.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn remove_line(bytes: &mut Vec<u8>, random: &mut Random) {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let removed = random.below(lines.len());
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(line, _)| *line != removed);
    *bytes = kept.flat_map(|(_, line)| line.iter().copied()).collect();
}
