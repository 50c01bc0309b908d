//! Prints what a bundle means on this host: every step that creating its container would take, each with
//! the property of `config.json` that asks for it. Makes nothing.
//!
//! ```text
//! cargo run --package libcontainer --example explain -- /var/lib/bundles/hello
//! cargo run --package libcontainer --example explain -- /var/lib/bundles/hello oldest
//! ```
//!
//! With `oldest`, as if the kernel had nothing beyond Linux 5.12. Needs no privileges.

#![allow(clippy::print_stdout, reason = "a program that talks to a terminal")]

use std::env;
use std::error::Error;

use libcontainer::{Bundle, CreateOptions, HostFacts, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().ok_or("usage: explain BUNDLE [oldest]")?;
    let mut facts = HostFacts::probe()?;
    if arguments.next().is_some() {
        facts.kernel = HostFacts::minimal().kernel;
        facts.kernel.mount_setattr = true;
    }
    let bundle = Bundle::load(std::path::absolute(path)?)?;
    // Nothing is made, there or elsewhere.
    let runtime = Runtime::with_facts("/run/libcontainer-example", facts);
    print!("{}", runtime.plan("example", &bundle, &CreateOptions::new())?);
    Ok(())
}
