//! File descriptors: what a container gets, and that nothing of the caller or the host is among it
//! (CVE-2024-21626, CVE-2019-5736).

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use integration::{Bundle, Process, Under, finish, needs_root, peers_differ, until};
use nix::fcntl::{OFlag, open};
use serde_json::json;

/// The same command, by a caller who has these descriptors open and not close-on-exec.
fn leaking(redirections: &str, inner: &Command) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {redirections}; exec \"$@\""), "bash"]);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    command
}

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
fn descriptors_of_the_caller_are_closed() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = start_leaking(&bundle, &["create"], "3</ 9</etc 20</ 21</etc/passwd 700</");
    let open: Vec<i32> = process.descriptors().into_keys().collect();
    assert_eq!(open, [0, 1, 2]);
}

#[test]
fn a_created_container_holds_nothing_of_the_host() {
    needs_root!();
    peers_differ!("crun", "1.8.1 closes the caller's descriptors only at the execve");
    let bundle = Bundle::sleeping();
    let inner = bundle.command_for_bundle(&["create"]);
    bundle.create_by(&mut leaking("3</ 20</ 21</etc/passwd", &inner)).ok();
    let process = bundle.process();
    for (number, target) in process.descriptors().into_iter().filter(|(number, _)| *number > 2) {
        let allowed = ["socket:", "anon_inode:", "/memfd:", "pipe:"];
        let fifo = target.ends_with("exec.fifo");
        assert!(fifo || allowed.iter().any(|kind| target.starts_with(kind)), "{number}: {target}");
    }
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

#[test]
fn a_cwd_through_a_descriptor_does_not_lead_out() {
    needs_root!();
    peers_differ!("crun", "1.8.1 is led out: CVE-2024-21626 by what the caller leaks");
    for number in 3..12 {
        let bundle =
            Bundle::sh("cat marker ../decoy/marker; cat ../../../etc/hostname; ls -i -d .")
                .set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let decoy = bundle.decoy().display().to_string();
        let inner = bundle.command_for_bundle(&["run"]);
        let outcome = finish(&mut leaking(&format!("7<{decoy} 8<{decoy}"), &inner));
        assert!(!outcome.stdout.contains("decoy"), "{number}: {outcome:?}");
        let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
        let shown = !host.trim().is_empty() && outcome.stdout.contains(host.trim());
        assert!(!shown, "{number}: {outcome:?}");
    }
}

#[test]
fn a_program_through_a_descriptor_is_not_the_hosts() {
    needs_root!();
    peers_differ!("crun", "1.8.1 executes it: CVE-2024-21626 by what the caller leaks");
    for number in 3..12 {
        let bundle =
            Bundle::new().args(&[&format!("/proc/self/fd/{number}/busybox"), "echo", "executed"]);
        let inner = bundle.command_for_bundle(&["run"]);
        let outcome = finish(&mut leaking("7</bin 8</bin", &inner));
        assert!(!outcome.stdout.contains("executed"), "{number}: {outcome:?}");
    }
}

#[test]
fn init_is_not_the_runtimes_file() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    let runtime = fs::metadata(&Under::test().path).unwrap();
    peers_differ!("crun", "a created container still executes its file");
    peers_differ!("runc", "1.1.5 executes a read-only bind mount of its file");
    let init = fs::metadata(format!("/proc/{}/exe", process.0)).unwrap();
    assert_ne!((init.dev(), init.ino()), (runtime.dev(), runtime.ino()));
}

/// CVE-2019-5736: keep the file of init open, let init end, open it again for writing.
#[test]
fn the_file_of_init_cannot_be_overwritten() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    let exe = format!("/proc/{}/exe", process.0);
    let held =
        open(&*exe, OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()).unwrap();
    bundle.kill("KILL").ok();
    bundle.wait(process);
    let again = format!("/proc/self/fd/{}", held.as_raw_fd());
    if let Ok(mut file) = fs::OpenOptions::new().write(true).open(again) {
        let written = file.write(b"overwritten");
        assert!(written.is_err(), "{written:?}");
    }
}

#[test]
fn executing_the_programs_own_file_does_not_run_the_runtime() {
    needs_root!();
    let bundle = Bundle::new().args(&["/proc/self/exe", "--version"]);
    let outcome = bundle.run();
    assert!(!outcome.stdout.contains("version"), "{outcome:?}");
}

#[test]
fn no_abstract_socket_is_made() {
    needs_root!();
    let abstract_sockets = |process: Process| {
        let text = process.file("net/unix");
        text.lines()
            .filter_map(|line| line.split(" @").nth(1).map(String::from))
            .collect::<Vec<_>>()
    };
    let own = Process(std::process::id().try_into().unwrap());
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    assert!(abstract_sockets(process).is_empty());
    let id = bundle.id();
    assert!(!abstract_sockets(own).iter().any(|name| name.contains(id)));
}
