//! What is sent to a proxy to harm it, its servers or its other clients: each attack gets its reply,
//! is counted, costs no memory, leaves others alone, and reaches the server in one meaning or not at all.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../support/mod.rs"]
mod support;

mod arena;
mod chunks;
mod downgrade;
mod floods;
mod heads;
mod leftovers;
mod limits;
mod replies;
mod slow;
