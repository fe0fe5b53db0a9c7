//! What the process says about itself.

pub mod process_log;
