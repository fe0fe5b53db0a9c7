//! Redis servers that clients share connections to: what a connection has to be before it is lent ([`profile`]), and how it becomes that
//! ([`greeting`]).

mod greeting;
mod profile;
mod shared;

pub use greeting::{Greeted, GreetingError, greet, set_name};
pub use profile::{Credential, Password, Profile, ProfileId, Version};
pub use shared::{ProbeError, SharedRedis};
