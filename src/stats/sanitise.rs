//! Label values come from the wire. What is kept of them breaks no sink.

/// Longest label value: MongoDB's own names end at 255 bytes, but a stat's name is read by people.
pub(super) const MAX_LABEL_BYTES: usize = 128;

/// What stands for values beyond a limit.
pub(super) const OTHER: &str = "_other";

/// What stands for an empty value.
const NONE: &str = "_none";

/// A label value that is safe in every sink: printable ASCII without what separates lines, tags or
/// fields in statsd, DogStatsD and Envoy's text form. All else becomes `_`.
pub(super) fn label(raw: &[u8]) -> String {
    if raw.is_empty() {
        return NONE.into();
    }
    raw.iter()
        .take(MAX_LABEL_BYTES)
        .map(|byte| {
            if is_safe(*byte) {
                char::from(*byte)
            } else {
                '_'
            }
        })
        .collect()
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:/$()[]<>*+=~&%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_ends_a_line_or_a_field_is_kept() {
        for (raw, safe) in [
            (&b"shop.carts"[..], "shop.carts"),
            (b"a:1|c\n", "a:1_c_"),
            (b"x\"y\\z#t@u,v w", "x_y_z_t_u_v_w"),
            (b"\0\xff\xfe{}", "_____"),
            (b"", "_none"),
            ("größe".as_bytes(), "gr____e"),
        ] {
            assert_eq!(label(raw), safe);
        }
        assert_eq!(label(&[b'a'; 1_000]).len(), MAX_LABEL_BYTES);
    }
}
