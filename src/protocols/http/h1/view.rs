//! A request's head, as routes look at it.

use narrows_parsers::http1::{Headers, RequestHead};

use crate::protocols::http::route::RequestView;

/// A head and the bytes it was read from.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) head: &'a RequestHead,
    pub(super) headers: &'a Headers,
}

impl RequestView for View<'_> {
    fn method(&self) -> &[u8] {
        self.head.method.of(self.bytes)
    }

    fn authority(&self) -> &[u8] {
        let authority = self.head.authority;
        authority.map_or(&[], |authority| authority.of(self.bytes))
    }

    fn path_and_query(&self) -> &[u8] {
        self.head.path.of(self.bytes)
    }

    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]> {
        let field = self.headers.named(self.bytes, lowercase_name)?;
        Some(field.value.of(self.bytes))
    }
}
