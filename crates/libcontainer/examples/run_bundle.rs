//! Runs a container from a bundle and exits as its process did.
//!
//! ```text
//! cargo build --package libcontainer --example run_bundle
//! target/*/debug/examples/run_bundle /var/lib/bundles/hello
//! ```
//!
//! As root. `just demo` makes a bundle.

#![allow(clippy::print_stderr, reason = "a program that talks to a terminal")]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use libcontainer::{Bundle, CreateOptions, Delete, ExitStatus, Runtime};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: run_bundle BUNDLE")?;
    // The library takes absolute paths only: the working directory belongs to all threads of a process.
    let bundle = Bundle::load(std::path::absolute(path)?)?;
    let runtime = Runtime::new("/run/libcontainer-example");
    let id = format!("example-{}", std::process::id());

    let created = runtime.create(&id, &bundle, &CreateOptions::new())?;
    for warning in &created.warnings {
        eprintln!("warning: {warning}");
    }
    let container = created.container;
    let status = container.start().and_then(|()| container.wait());
    // Whatever came of it: dropping the value would leave the container as it is.
    container.delete(Delete::Force)?;
    Ok(match status? {
        ExitStatus::Exited(code) => ExitCode::from(u8::try_from(code)?),
        ExitStatus::Signaled(signal) => ExitCode::from(u8::try_from(128 + signal)?),
    })
}
