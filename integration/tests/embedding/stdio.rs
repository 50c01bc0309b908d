//! Standard streams that the embedder gives, or the null device.

use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::thread;

use integration::{Bundle, Process, needs_root};
use libcontainer::{Container, CreateOptions, Delete, ExitStatus, Stdio};

use crate::own_process::Given;

/// The other ends of a container's streams.
pub(crate) struct Pipes {
    pub(crate) input: std::io::PipeWriter,
    pub(crate) output: PipeReader,
    pub(crate) errors: PipeReader,
}

/// Streams that are pipes, and their other ends.
pub(crate) fn pipes() -> (Stdio, Pipes) {
    let (stdin, input) = pipe().expect("pipe");
    let (output, stdout) = pipe().expect("pipe");
    let (errors, stderr) = pipe().expect("pipe");
    let fds: [OwnedFd; 3] = [stdin.into(), stdout.into(), stderr.into()];
    (Stdio::Fds(fds), Pipes { input, output, errors })
}

/// Creates a container whose streams are pipes.
#[track_caller]
pub(crate) fn create_piped(given: &Given, suffix: &str) -> (Container, Pipes) {
    let (stdio, pipes) = pipes();
    let id = format!("{}-{suffix}", given.id);
    let options = CreateOptions::new().stdio(stdio);
    let created = given.runtime().create(&id, &given.bundle(), &options).expect("create");
    (created.container, pipes)
}

/// Runs a container to its end, and returns what it has said.
#[track_caller]
pub(crate) fn output_of(given: &Given, suffix: &str) -> String {
    let (container, mut pipes) = create_piped(given, suffix);
    container.start().expect("start");
    let (mut output, mut errors) = (String::new(), String::new());
    pipes.output.read_to_string(&mut output).expect("read");
    pipes.errors.read_to_string(&mut errors).expect("read");
    assert_eq!(container.wait().expect("wait"), ExitStatus::Exited(0), "{errors}");
    container.delete(Delete::Stopped).expect("delete");
    output
}

#[test]
fn pipes_are_the_streams_and_end_with_the_container() {
    needs_root!();
    let bundle = Bundle::sh("cat; echo oops >&2; exit 3");
    let given = Given::from_bundle(&bundle);
    let (container, mut pipes) = create_piped(&given, "pipes");
    let process = Process(container.state().expect("state").pid);
    container.start().expect("start");
    let said = "x".repeat(300_000);
    let (output, errors) = thread::scope(|scope| {
        let output = scope.spawn(|| {
            let mut text = String::new();
            pipes.output.read_to_string(&mut text).expect("read");
            text
        });
        pipes.input.write_all(said.as_bytes()).expect("write");
        assert_eq!(process.descriptors().len(), 3, "{:?}", process.descriptors());
        drop(pipes.input);
        let mut errors = String::new();
        pipes.errors.read_to_string(&mut errors).expect("read");
        (output.join().expect("read"), errors)
    });
    assert!(output == said, "{} bytes", output.len());
    assert_eq!(errors, "oops\n");
    assert_eq!(container.wait().expect("wait"), ExitStatus::Exited(3));
    container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn one_file_can_be_two_streams() {
    needs_root!();
    let bundle = Bundle::sh("echo out; echo err >&2; read line; echo \"$line\"");
    let given = Given::from_bundle(&bundle);
    let (mut output, writer) = pipe().expect("pipe");
    let (reader, mut input) = pipe().expect("pipe");
    let stderr = writer.try_clone().expect("dup");
    let options =
        CreateOptions::new().stdio(Stdio::Fds([reader.into(), writer.into(), stderr.into()]));
    let id = format!("{}-two", given.id);
    let container =
        given.runtime().create(&id, &given.bundle(), &options).expect("create").container;
    // Or the output has no end.
    drop(options);
    container.start().expect("start");
    input.write_all(b"in\n").expect("write");
    let mut text = String::new();
    output.read_to_string(&mut text).expect("read");
    assert_eq!(text, "out\nerr\nin\n");
    container.wait().expect("wait");
    container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn null_is_the_null_device() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let container = given.start("null");
    let process = Process(container.state().expect("state").pid);
    let descriptors = process.descriptors();
    assert_eq!(descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    for number in 0..3 {
        let device =
            nix::sys::stat::stat(&*format!("/proc/{}/fd/{number}", process.0)).expect("stat");
        assert_eq!(device.st_rdev, nix::sys::stat::makedev(1, 3), "{descriptors:?}");
    }
    container.delete(Delete::Force).expect("delete");
    container.wait().expect("wait");
}
