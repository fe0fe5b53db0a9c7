//! Narrows.
