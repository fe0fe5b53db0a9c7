//! HTTP.
#![allow(dead_code)]
mod bridge;
