//! Decoders of Narrows.
