//! Init: the program that becomes the container's first process.
//!
//! Freestanding: no libc, no allocator, no threads, no decisions. It reads a plan, executes one operation
//! after the other, and reports the first failure. This file is the root of the program; the library
//! compiles the other files once more for its unit tests.
#![no_std]
#![no_main]

mod check;
mod control;
mod copy_up;
mod entry;
mod filesystem;
mod flags;
mod hook;
mod identity;
mod keyring;
mod made;
mod memory;
mod mounts;
mod namespaces;
mod numbers;
mod passwd;
mod procfs;
mod program;
mod rootfs;
mod run;
mod slots;
mod sys;
mod terminal;

#[allow(dead_code, reason = "some of it is for the host side alone")]
#[path = "../src/plan/format.rs"]
mod format;
#[allow(dead_code, reason = "some of it is for the host side alone")]
#[path = "../src/plan/operation.rs"]
mod operation;
#[allow(dead_code, reason = "some of it is for the host side alone")]
#[path = "../src/plan/protocol.rs"]
mod protocol;
