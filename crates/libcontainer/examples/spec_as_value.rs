//! Runs `cat` in a container whose configuration is a value, not a file, and talks to it through pipes.
//!
//! ```text
//! cargo build --package libcontainer --example spec_as_value
//! target/*/debug/examples/spec_as_value /var/lib/bundles/hello/rootfs
//! ```
//!
//! As root. The root filesystem needs a `cat`.

#![allow(clippy::print_stdout, reason = "a program that talks to a terminal")]

use std::env;
use std::error::Error;
use std::io::{Read, Write, pipe};

use libcontainer::oci_spec::runtime::{Process, Root, Spec};
use libcontainer::{Bundle, Config, CreateOptions, Delete, Runtime, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    let rootfs = env::args_os().nth(1).ok_or("usage: spec_as_value ROOTFS")?;
    let rootfs = std::path::absolute(rootfs)?;
    let config = Config::from_spec(spec(&rootfs)?)?;
    // What relative paths of the configuration start from: nothing is read there.
    let bundle = Bundle::new("/", config)?;
    let runtime = Runtime::new("/run/libcontainer-example");
    let id = format!("example-{}", std::process::id());

    let (stdin, mut input) = pipe()?;
    let (mut output, stdout) = pipe()?;
    let stderr = stdout.try_clone()?;
    let streams = Stdio::Fds([stdin.into(), stdout.into(), stderr.into()]);
    // The options end with the statement, and our copies of the container's ends of the pipes with them:
    // the output ends when the container does.
    let container = runtime.create(&id, &bundle, &CreateOptions::new().stdio(streams))?.container;
    let talk = || -> Result<String, Box<dyn Error>> {
        container.start()?;
        input.write_all(b"hello from the other side\n")?;
        drop(input);
        let mut said = String::new();
        output.read_to_string(&mut said)?;
        container.wait()?;
        Ok(said)
    };
    let said = talk();
    container.delete(Delete::Force)?;
    print!("{}", said?);
    Ok(())
}

/// The default of oci-spec has the usual namespaces and mounts; only the process is ours.
fn spec(rootfs: &std::path::Path) -> Result<Spec, Box<dyn Error>> {
    let mut process = Process::default();
    process.set_args(Some(vec!["cat".into()])).set_terminal(Some(false));
    let mut root = Root::default();
    root.set_path(rootfs.into()).set_readonly(Some(true));
    let mut spec = Spec::default();
    spec.set_process(Some(process)).set_root(Some(root));
    Ok(spec)
}
