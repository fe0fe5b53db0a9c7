//! Comma-separated lists in field values.

use super::scan::{is_word, trim};

/// The members of a list (RFC 9110 section 5.6.1), without the blanks around them; empty ones are passed over. For lists of tokens:
/// commas in quoted strings are not looked for.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// A list has this member, which is in lower case, in whatever case.
pub(super) fn has_member(value: &[u8], member: &[u8]) -> bool {
    list_members(value).any(|candidate| is_word(candidate, member))
}
