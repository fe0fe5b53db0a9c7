//! Narrows: a proxy that measures what passes through it.
//!
//! # The data path
//!
//! `accept → decode → observe → decide → forward → report`, for every protocol:
//!
//! * **accept** ([`listener`]): each worker thread has a listening socket of its own and keeps the
//!   connection it accepts, unless another worker has clearly less to do ([`runtime`]).
//! * **decode**: the crate `narrows-parsers` turns bytes into messages; it knows no socket and no
//!   clock.
//! * **observe** ([`protocols`]): a session looks its series up once and pairs requests with
//!   replies.
//! * **decide** ([`protocols::mongo::collapse`], [`protocols::redis::collapse`]): who answers a request,
//!   and which server, where clients share connections; elsewhere every byte goes on.
//! * **forward** ([`upstream`]): over a connection of the client's own, unchanged
//!   ([`protocols::relay`]), or over one that is lent for one operation ([`upstream::pool`]), or, with
//!   Redis, shared by many.
//! * **report** ([`exchange`], [`stats`]): every request ends as one [`exchange::Exchange`], every
//!   connection as one [`exchange::ConnectionRecord`]; all numbers are views of those.
//!
//! Beside the workers runs one control thread ([`app`]): configuration ([`config`]), the admin
//! pages ([`admin`]), name look-ups, the monitoring of MongoDB servers, and the gathering of the workers' statistics. A scrape never
//! waits behind traffic, and traffic never behind a scrape.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod exchange;
pub mod listener;
pub mod pattern;
pub mod protocols;
pub mod runtime;
pub mod scram;
pub mod secret;
pub mod socket;
pub mod stats;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod upstream;
