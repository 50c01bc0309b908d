//! File descriptors: what a container gets. That nothing else of the caller or the host is among it is
//! tested in `integration/cve/descriptors.rs`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use integration::outcome::leaking;
use integration::{Bundle, Process, needs_root, peers_differ, until};
use serde_json::json;

#[track_caller]
fn start_leaking(bundle: &Bundle, args: &[&str], redirections: &str) -> Process {
    let inner = bundle.command_for_bundle(args);
    bundle.create_by(&mut leaking(redirections, &inner)).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert!(until(|| process.file("cmdline").starts_with("sleep")));
    process
}

#[test]
fn preserved_descriptors_are_passed() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = start_leaking(
        &bundle,
        &["create", "--preserve-fds", "2"],
        "3</etc/hostname 4</etc/passwd 5</etc/group 9</etc",
    );
    let open = process.descriptors();
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!((&*open[&3], &*open[&4]), ("/etc/hostname", "/etc/passwd"));
}

#[test]
fn holes_among_preserved_descriptors_stay_holes() {
    needs_root!();
    peers_differ!("runc", "refuses descriptors that are not open");
    let bundle = Bundle::sleeping();
    let process = start_leaking(
        &bundle,
        &["create", "--preserve-fds", "4"],
        "4</etc/passwd 6</etc/group 7</",
    );
    let open = process.descriptors();
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 6]);
    assert_eq!((&*open[&4], &*open[&6]), ("/etc/passwd", "/etc/group"));
}

#[test]
fn the_standard_streams_are_the_callers() {
    needs_root!();
    let bundle = Bundle::sh("cat; echo error >&2");
    let mut command = bundle.command_for_bundle(&["run"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b"input\n"[..], &b"error\n"[..]));
}

#[test]
fn the_standard_streams_of_a_created_container_are_the_callers() {
    needs_root!();
    let bundle = Bundle::sh("cat; echo error >&2");
    let input = bundle.directory().join("input");
    fs::write(&input, "from the file\n").unwrap();
    let mut command = bundle.command_for_bundle(&["create"]);
    bundle.create_by(command.stdin(fs::File::open(&input).unwrap())).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert_eq!(bundle.wait(process), 0);
    assert_eq!(bundle.output(), ("from the file\n".into(), "error\n".into()));
}

#[test]
fn the_standard_streams_belong_to_the_user() {
    needs_root!();
    let bundle = Bundle::sh("echo again > /proc/self/fd/1")
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let path = bundle.directory().join("output");
    let output = fs::File::create(&path).unwrap();
    let mut command = bundle.command_for_bundle(&["create"]);
    let done = command.stdout(output.try_clone().unwrap()).stderr(output).status().unwrap();
    bundle.deleted_at_end();
    assert!(done.success());
    assert_eq!(fs::metadata(&path).unwrap().uid(), 1000);
    let process = bundle.process();
    bundle.start().ok();
    assert_eq!(bundle.wait(process), 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "again\n");
}

#[test]
fn dev_null_of_the_host_stays_roots() {
    needs_root!();
    let bundle =
        Bundle::sh("echo x > /dev/null").set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let mut command = bundle.command_for_bundle(&["run"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    let data = fs::metadata("/dev/null").unwrap();
    assert_eq!((data.uid(), data.gid(), data.mode()), (0, 0, 0o20666));
}

#[test]
fn closed_standard_streams_are_no_way_in() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let inner = bundle.command_for_bundle(&["create"]);
    let mut command = Command::new("bash");
    command.args(["-c", "exec <&- >&- 2>&-; exec \"$@\"", "bash"]);
    let outcome = bundle.create_by(command.arg(inner.get_program()).args(inner.get_args()));
    if outcome.code == 0 {
        let root = fs::metadata("/").unwrap();
        let process = bundle.process();
        bundle.start().ok();
        assert!(until(|| process.file("cmdline").starts_with("sleep")));
        for (number, target) in process.descriptors() {
            let data = fs::metadata(format!("/proc/{}/fd/{number}", process.0)).unwrap();
            assert_ne!((data.dev(), data.ino()), (root.dev(), root.ino()), "{number}: {target}");
            assert!(number <= 2, "{number}: {target}");
        }
    }
}
