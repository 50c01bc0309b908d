//! Agents that a filter asks (`SCMP_ACT_NOTIFY`): what they are told, and what happens without them.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use integration::{Bundle, needs_root, peers_differ};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use super::{but, filtered};

/// A profile that asks the agent at this socket.
fn asking(socket: &Path) -> Value {
    let entry = json!({ "names": ["sched_get_priority_max"], "action": "SCMP_ACT_NOTIFY" });
    let mut profile = but(&json!([entry]));
    profile["listenerPath"] = json!(socket);
    profile["listenerMetadata"] = json!("opaque \"text\"");
    profile
}

/// What comes over one connection to an agent, up to its end: the text, and the descriptors.
fn accepted(listener: &UnixListener) -> (String, Vec<RawFd>) {
    let (connection, _) = listener.accept().unwrap();
    let (mut text, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut bytes = [0; 4096];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([RawFd; 2]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            recvmsg::<()>(connection.as_raw_fd(), &mut slices, Some(&mut control), flags).unwrap();
        for part in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(more) = part {
                fds.extend(more);
            }
        }
        let length = message.bytes;
        if length == 0 {
            return (String::from_utf8(text).unwrap(), fds);
        }
        text.extend_from_slice(&bytes[..length]);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_agent_is_asked() {
    needs_root!();
    peers_differ!("crun", "1.8.1 tells the agent version 0.2.0 of the runtime-spec");
    for no_new_privileges in [true, false] {
        let bundle = Bundle::new();
        let socket = bundle.directory().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let bundle = filtered(bundle.args(&["/probe", "146:0"]), &asking(&socket))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .edit(|config| config["annotations"] = json!({ "key": "value" }));
        fs::copy(env!("CARGO_BIN_EXE_probe"), bundle.rootfs("probe")).unwrap();
        let agent = std::thread::spawn(move || {
            let (text, fds) = accepted(&listener);
            // As long as the agent has the listener, the call waits for it.
            std::thread::sleep(std::time::Duration::from_millis(200));
            let late = std::time::Instant::now();
            let count = fds.len();
            fds.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
            (text, count, late)
        });
        let process = bundle.created();
        bundle.start().ok();
        let code = bundle.wait(process);
        let ended = std::time::Instant::now();
        let (text, count, late) = agent.join().unwrap();
        // An agent that goes away leaves "no such call" behind.
        assert_eq!((code, bundle.output().0.as_str()), (0, "38\n"));
        assert!(ended > late, "the call did not wait for the agent");
        assert_eq!(count, 1);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["pid"], json!(process.0));
        assert_eq!(told["metadata"], json!("opaque \"text\""));
        assert_eq!(told["ociVersion"].as_str().unwrap().split('.').next(), Some("1"));
        assert_eq!(told["state"]["id"], json!(bundle.id()));
        assert_eq!(told["state"]["pid"], json!(process.0));
        assert_eq!(told["state"]["bundle"], json!(bundle.directory()));
        assert_eq!(told["state"]["annotations"]["key"], json!("value"));
    }
}

#[test]
fn an_agent_may_read_slowly() {
    needs_root!();
    peers_differ!("crun", "1.8.1 sends what the socket takes at once");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    // More than a socket holds.
    let value = "x".repeat(600_000);
    let bundle = filtered(bundle, &asking(&socket))
        .edit(|config| config["annotations"] = json!({ "key": value }));
    let agent = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        accepted(&listener)
    });
    bundle.created();
    bundle.start().ok();
    let (text, fds) = agent.join().unwrap();
    assert_eq!(fds.len(), 1);
    fds.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["state"]["annotations"]["key"], json!(value));
    assert_eq!(bundle.status(), "running");
}

#[test]
fn without_the_agent_nothing_is_started() {
    needs_root!();
    peers_differ!("runc", "1.1.5 connects in create");
    peers_differ!("crun", "1.8.1 connects in create");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let bundle = filtered(bundle, &asking(&socket));
    bundle.create().ok();
    let said = bundle.start().fails();
    assert!(said.contains("failed to connect with seccomp agent"), "{said}");
    assert_eq!(bundle.status(), "created");
    // It may come later.
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || accepted(&listener).1);
    bundle.start().ok();
    let listeners = agent.join().unwrap();
    listeners.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_listener_without_an_agent_ends_the_container() {
    needs_root!();
    peers_differ!("runc", "keeps another record");
    peers_differ!("crun", "keeps another record");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let bundle = filtered(bundle, &asking(&socket));
    let process = bundle.created();
    let record = bundle.state_root().join(bundle.id()).join("record.json");
    let mut changed: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(changed["intent"]["agent"].is_object());
    changed["intent"]["agent"] = Value::Null;
    fs::write(&record, changed.to_string()).unwrap();
    let said = bundle.start().fails();
    assert!(said.contains("the filter asks an agent, and none is on record"), "{said}");
    assert!(bundle.wait(process) > 128);
}

#[test]
fn a_listener_that_can_not_be_handed_over_is_refused() {
    needs_root!();
    peers_differ!("runc", "1.1.5 hands it over with write");
    peers_differ!("crun", "1.8.1 needs no call behind the filter");
    let bundle = Bundle::sleeping();
    let mut profile = asking(&bundle.directory().join("agent"));
    profile["syscalls"][0]["names"] = json!(["sendmsg"]);
    let said = filtered(bundle, &profile).run_fails();
    assert!(said.contains("sendmsg"), "{said}");
}
