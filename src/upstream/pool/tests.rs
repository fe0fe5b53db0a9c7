//! Tests of the pool: real sockets, an opener that is told what to do.

mod across;
mod basics;
mod interleaving;
mod stress;
mod support;
