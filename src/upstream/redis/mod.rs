//! Redis servers that clients share connections to: what a connection has to be before it is lent (`profile`), and how it becomes that
//! (`greeting`); and which of them has which keys (`slots`).

mod greeting;
mod ketama;
mod profile;
mod shared;
mod slots;

pub use greeting::{Greeted, GreetingError, begin_transaction, catch_up, encode, greet, set_name};
pub use ketama::Ring;
pub use profile::{Admitted, Credential, Password, Profile, ProfileId, Version};
pub use shared::{ProbeError, SharedRedis};
pub use slots::SlotMap;
