//! Turns an OCI bundle (a root filesystem and a `config.json`) into a running container.
//!
//! The job has four phases: *load* reads the configuration and reports every violation, *compile* is a
//! pure function that turns it into a [`plan::Plan`], *launch* spawns a small freestanding program, init,
//! and init executes the plan inside the container and then the user's process.
//!
//! ```no_run
//! use libcontainer::{Bundle, CreateOptions, Delete, Runtime};
//!
//! # fn main() -> libcontainer::Result<()> {
//! let runtime = Runtime::new("/run/example");
//! let bundle = Bundle::load("/var/lib/example/bundle")?;
//! let container = runtime.create("web", &bundle, &CreateOptions::new())?.container;
//! container.start()?;
//! let status = container.wait()?;
//! container.delete(Delete::Stopped)?;
//! # drop(status);
//! # Ok(())
//! # }
//! ```
//!
//! Every function may be called from any thread of any process. None changes anything that the threads
//! of a process share (working directory, umask, environment, signal handlers, children of others),
//! none prints, exits, or panics on input.

pub mod bundle;
pub mod cgroup;
pub mod config;
pub mod container;
mod error;
pub mod features;
#[cfg(any(test, fuzzing))]
#[allow(clippy::panic, clippy::unwrap_used, reason = "what fails a test")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
#[cfg(any(test, fuzzing))]
#[allow(
    dead_code,
    reason = "the tests call parts; that all is used is seen where the program is built"
)]
#[allow(unsafe_code, reason = "a freestanding program: system calls, memory")]
mod init;
mod launch;
mod mountinfo;
pub mod plan;
mod process;
mod seccomp;
mod state;
mod sys;

pub use bundle::Bundle;
pub use config::Config;
pub use container::{
    Console, Container, CreateOptions, Created, Delete, ExitStatus, Keyring, ListEntry, Pivot,
    Runtime, State, Status, Stdio, WindowSize,
};
pub use error::{Error, ErrorKind, Result, Warning, errno_text};
pub use host::HostFacts;
/// The types of a configuration that is passed as a value, in the version that [`Config::from_spec`] takes.
pub use oci_spec;
pub use plan::Plan;
