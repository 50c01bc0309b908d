//! A terminal whose master end the embedder wants back, or sent to a socket.

use std::io::{Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use integration::{Bundle, needs_root};
use libcontainer::{Console, CreateOptions, Delete, ErrorKind, ExitStatus, Stdio, WindowSize};
use nix::errno::Errno;
use nix::unistd::{read, write};
use serde_json::json;

use crate::own_process::Given;

fn at_terminal(script: &str) -> Bundle {
    Bundle::sh(script).set("/process/terminal", json!(true))
}

/// What is read of a terminal until nobody has it open any more.
fn rest(master: &OwnedFd) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        match read(master, &mut bytes) {
            Ok(length @ 1..) => text += &String::from_utf8_lossy(&bytes[..length]),
            Err(Errno::EIO) => return text,
            other => panic!("{other:?}: {text:?}"),
        }
    }
}

#[test]
fn the_master_end_comes_back() {
    needs_root!();
    let bundle = at_terminal("read line; echo got $line; exit 3")
        .set("/process/consoleSize", json!({ "height": 5, "width": 7 }));
    let given = Given::from_bundle(&bundle);
    let (mut output, writer) = pipe().expect("pipe");
    let streams = [(); 3].map(|()| writer.try_clone().expect("dup").into());
    drop(writer);
    let options = CreateOptions::new().console(Console::Return).stdio(Stdio::Fds(streams));
    let created = given.runtime().create(&given.id, &given.bundle(), &options).expect("create");
    drop(options);
    // The streams are the terminal, and not what was given.
    output.read_to_string(&mut String::new()).expect("the end");
    let master = created.console.expect("a master end");
    let size = WindowSize::of(&master).expect("TIOCGWINSZ");
    assert_eq!(size, WindowSize { rows: 5, columns: 7 });
    created.container.start().expect("start");
    write(&master, b"hello\n").expect("write");
    assert_eq!(rest(&master), "hello\r\ngot hello\r\n");
    assert_eq!(created.container.wait().expect("wait"), ExitStatus::Exited(3));
    created.container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn without_a_terminal_nothing_comes_back() {
    needs_root!();
    let bundle = Bundle::new();
    let given = Given::from_bundle(&bundle);
    let options = CreateOptions::new().console(Console::Return);
    let created = given.runtime().create(&given.id, &given.bundle(), &options).expect("create");
    assert!(created.console.is_none());
    created.container.delete(Delete::Force).expect("delete");
    created.container.wait().expect("wait");
}

#[test]
fn a_terminal_and_who_waits_for_it_come_together() {
    needs_root!();
    let (ours, _theirs) = UnixStream::pair().expect("socketpair");
    for (bundle, options) in [
        (at_terminal("true"), CreateOptions::new()),
        (Bundle::new(), CreateOptions::new().console(Console::Socket(ours.into()))),
    ] {
        let given = Given::from_bundle(&bundle);
        let error = given.runtime().create(&given.id, &given.bundle(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert_eq!(error.property(), Some("process.terminal"), "{error}");
        // What it would do can be asked all the same.
        let plan = given.runtime().plan(&given.id, &given.bundle(), &options).expect("plan");
        assert_eq!(
            plan.to_string().contains("process.terminal"),
            error.to_string().contains("nobody")
        );
    }
}

#[test]
fn who_hangs_up_before_the_terminal_is_there_makes_create_fail() {
    needs_root!();
    let bundle = at_terminal("true");
    let given = Given::from_bundle(&bundle);
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    drop(theirs);
    let options = CreateOptions::new().console(Console::Socket(ours.into()));
    let error = given.runtime().create(&given.id, &given.bundle(), &options).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EPIPE as i32), "{error}");
    assert_eq!(error.property(), Some("process.terminal"), "{error}");
}
