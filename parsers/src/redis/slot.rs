//! Which slot of a cluster a key is in.

/// Slots of a cluster.
pub const SLOTS: usize = 16384;

/// The slot of a key: "HASH_SLOT = CRC16(key) mod 16384", of what stands between the first `{` and the first `}` behind it, if that is
/// not empty (Redis cluster specification, hash tags).
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS as u16
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(begin) = memchr::memchr(b'{', key) else {
        return key;
    };
    let behind = key.get(begin + 1..).unwrap_or_default();
    match memchr::memchr(b'}', behind) {
        None | Some(0) => key,
        Some(end) => behind.get(..end).unwrap_or(key),
    }
}

/// CRC-16/XMODEM: polynomial 1021, initial value 0 (appendix A of the specification).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let place = usize::from((crc >> 8) as u8 ^ byte);
        (crc << 8) ^ TABLE.get(place).copied().unwrap_or_default()
    })
}

static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut free = table.as_mut_slice();
    let mut byte: u16 = 0;
    while let [entry, rest @ ..] = free {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => (crc << 1) ^ 0x1021,
            };
            bit += 1;
        }
        *entry = crc;
        byte += 1;
        free = rest;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // "The output of CRC16 of the string 123456789 is 31C3 in hex."
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As CLUSTER KEYSLOT of a server of 7.0 has them.
        for (key, expected) in [
            (&b"foo"[..], 12182),
            (b"bar", 5061),
            (b"", 0),
            (b"{user1000}.following", 3443),
            (b"{user1000}.followers", 3443),
            (b"foo{}{bar}", 8363),
            (b"foo{{bar}}zap", 4015),
            (b"foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key), expected, "{}", key.escape_ascii());
        }
    }
}
