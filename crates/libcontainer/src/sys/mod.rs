//! The only unsafe code of the host side: one function a system call.
#![allow(unsafe_code, reason = "system calls that no crate wraps")]

pub(crate) mod bpf;
pub(crate) mod pidfd;
pub(crate) mod probe;
