//! "Did you mean ...?"

/// The end of a sentence that names the candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn did_you_mean(word: &str, candidates: &[&str]) -> Option<String> {
    let near = |candidate: &&&str| {
        let length = candidate.chars().count();
        // Of two letters everything would be near.
        let allowed = if length < 3 { 0 } else { (length / 3).max(1) };
        distance(word, candidate) <= allowed || (length > 3 && word.starts_with(**candidate))
    };
    let nearest = candidates
        .iter()
        .filter(near)
        .min_by_key(|candidate| distance(word, candidate))?;
    Some(format!("; did you mean `{nearest}`?"))
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour to turn one word into
/// the other, apart from case and from `-` in the place of `_`.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().take(MAX_WORD).map(folded).collect();
    let other: Vec<char> = other.chars().take(MAX_WORD).map(folded).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, &a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in other.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&last, j) + usize::from(a != b))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && one.get(i - 1) == Some(&b) && other.get(j - 1) == Some(&a);
            if swapped {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

fn folded(c: char) -> char {
    if c == '-' {
        '_'
    } else {
        c.to_ascii_lowercase()
    }
}

/// No key or name is longer; what a hostile file holds may be.
const MAX_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [
            ("listen", "listen", 0),
            ("", "abc", 3),
            ("lisen", "listen", 1),
            ("lsiten", "listen", 1),
            ("idle-timeout", "idle_timeout", 0),
            ("Listen", "listen", 0),
            ("ordres", "orders", 1),
            ("kitten", "sitting", 3),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let keys = ["name", "listen", "protocol"];
        assert_eq!(
            did_you_mean("listne", &keys).as_deref(),
            Some("; did you mean `listen`?")
        );
        assert_eq!(did_you_mean("bandwidth", &keys), None);
        assert_eq!(
            did_you_mean("mongodb", &["mongo", "tcp"]).as_deref(),
            Some("; did you mean `mongo`?")
        );
        assert_eq!(did_you_mean("b", &["a"]), None);
        assert_eq!(did_you_mean("x", &[]), None);
    }
}
