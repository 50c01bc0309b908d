//! The host side of a start: spawns init, serves its requests, and talks through the gate.
//!
//! The conversation is drawn in `plan/protocol.rs`.

mod agent;
mod console;
mod conversation;
mod covered;
mod executable;
mod gate;
mod hook;
mod made;
mod maps;
mod namespace;
mod output;
mod serve;
mod spawn;
mod status;
mod stream;

pub(crate) use agent::Agent;
pub(crate) use console::send as send_console;
pub(crate) use executable::Executable;
pub(crate) use gate::{listen, open};
pub(crate) use hook::Hooks;
pub(crate) use made::take_back;
pub(crate) use serve::{Host, serve};
pub(crate) use spawn::{Init, Streams, spawn};
