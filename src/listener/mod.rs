//! Listeners: bind, accept, balance over workers, and the start of a session.

mod accept;
mod bind;
mod context;
mod secure;
mod session;
pub mod sessions;

pub use accept::{Accepting, accept, serve};
pub use bind::{BindError, bind_all, bind_one};
pub use context::{ListenerContext, ListenerId, ListenerShared, Policy, Target, WorkerParts};
pub use session::{collapse_session, http_session, redis_session, session};
