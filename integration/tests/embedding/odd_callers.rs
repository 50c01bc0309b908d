//! Processes in odd states, each of its own: closed standard streams, few descriptors, no working
//! directory, a umask that takes everything, SIGCHLD ignored, all signals blocked.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use integration::config::put_user_namespace;
use integration::{Bundle, Process, leftovers, needs_root};
use libcontainer::{CreateOptions, Delete, ExitStatus, Runtime, Stdio};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout};
use serde_json::json;

use crate::caller::Caller;
use crate::own_process::{self, Given};
use crate::stdio::{create_piped, output_of, pipes};

/// A life of a container, in which nothing of the caller's state may show.
fn life(given: &Given, suffix: &str) {
    let container = given.script("exit 7").start(suffix);
    assert_eq!(container.wait().expect("wait"), ExitStatus::Exited(7));
    container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn the_caller_has_no_standard_streams() {
    needs_root!();
    own_process::run(&Bundle::sleeping(), "odd_callers::without_streams");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn without_streams() {
    let Some(given) = own_process::given() else { return };
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let saved = [input.as_fd(), output.as_fd(), errors.as_fd()]
        .map(|stream| stream.try_clone_to_owned().expect("dup"));
    for number in 0..3 {
        nix::unistd::close(number).expect("close");
    }
    let (saying, said) = std::sync::mpsc::channel();
    // What a panic says goes to a stream that is closed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| saying.send(panic.to_string()).unwrap()));
    let tested = std::panic::catch_unwind(|| closed_streams(&given));
    std::panic::set_hook(hook);
    dup2_stdin(&saved[0]).expect("dup2");
    dup2_stdout(&saved[1]).expect("dup2");
    dup2_stderr(&saved[2]).expect("dup2");
    assert!(tested.is_ok(), "{}", said.recv().unwrap());
}

fn closed_streams(given: &Given) {
    let caller = Caller::now();
    for (two_stages, name) in [(false, "one"), (true, "two")] {
        let mut given = given.clone();
        if two_stages {
            put_user_namespace(&mut given.config, 100_000, 65536);
        }
        let id = format!("{}-{name}", given.id);
        let bundle = given.bundle();
        let created = given.runtime().create(&id, &bundle, &CreateOptions::new());
        let container = created.expect("create").container;
        container.start().expect("start");
        let open = Process(container.state().expect("state").pid).descriptors();
        assert!(open.is_empty(), "the container has got {open:?}");
        container.delete(Delete::Force).expect("delete");
        container.wait().expect("wait");

        // Their numbers are those of the streams.
        let echo = given.script("cat; echo $(ls /proc/self/fd)");
        let (container, mut pipes) = create_piped(&echo, &format!("{name}-pipes"));
        container.start().expect("start");
        std::io::Write::write_all(&mut pipes.input, b"in ").expect("write");
        drop(pipes.input);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut pipes.output, &mut text).expect("read");
        // 3 is what ls reads through.
        assert_eq!(text, "in 0 1 2 3\n");
        drop((pipes.output, pipes.errors));
        container.wait().expect("wait");
        container.delete(Delete::Stopped).expect("delete");
        life(&given, &format!("{name}-null"));
    }
    caller.is_unchanged();
}

#[test]
fn the_caller_may_open_few_descriptors() {
    needs_root!();
    own_process::run(&Bundle::sleeping(), "odd_callers::with_few_descriptors");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn with_few_descriptors() {
    let Some(mut given) = own_process::given() else { return };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    let caller = Caller::now();
    for two_stages in [false, true] {
        if two_stages {
            put_user_namespace(&mut given.config, 100_000, 65536);
        }
        let (mut failures, mut successes) = (0, 0);
        for limit in 3..64 {
            let id = format!("{}-{two_stages}-{limit}", given.id);
            let (bundle, runtime) = (given.bundle(), given.runtime());
            let options = CreateOptions::new().stdio(Stdio::Null);
            setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("setrlimit");
            let created = runtime.create(&id, &bundle, &options);
            let started = created.as_ref().map(|created| created.container.start());
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("setrlimit");
            match (&created, started) {
                (Ok(created), Ok(started)) => {
                    successes += 1;
                    started.unwrap_or_else(|error| assert_eq!(error.errno(), Some(libc::EMFILE)));
                    created.container.delete(Delete::Force).expect("delete");
                    created.container.wait().expect("wait");
                }
                (Err(error), _) => {
                    failures += 1;
                    assert_eq!(error.errno(), Some(libc::EMFILE), "limit {limit}: {error}");
                    assert!(error.to_string().contains("too many open files"), "{error}");
                    let left = leftovers::cgroups(&id);
                    assert!(left.is_empty(), "limit {limit}: {error}: {left:?}");
                }
                (Ok(_), Err(_)) => unreachable!("start belongs to a container"),
            }
            drop(created);
            let state = fs::read_dir(given.state_root()).map_or(0, Iterator::count);
            assert_eq!(state, 0, "limit {limit}: state is left");
        }
        assert!(failures > 5 && successes > 5, "{failures} failures, {successes} successes");
        caller.is_unchanged();
    }
}

#[test]
fn the_working_directory_of_the_caller_is_gone() {
    needs_root!();
    own_process::run(&Bundle::sleeping(), "odd_callers::without_directory");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn without_directory() {
    let Some(given) = own_process::given() else { return };
    let directory = given.directory.join("gone");
    fs::create_dir(&directory).expect("mkdir");
    chdir(&directory).expect("chdir");
    fs::remove_dir(&directory).expect("rmdir");
    assert!(std::env::current_dir().is_err(), "it is still there");
    let caller = Caller::now();
    life(&given, "gone");
    let bundle = libcontainer::Bundle::load(&given.directory).expect("load");
    given.runtime().plan("gone", &bundle, &CreateOptions::new()).expect("plan");
    caller.is_unchanged();
}

#[test]
fn the_umask_of_the_caller_takes_everything() {
    needs_root!();
    let bundle =
        Bundle::sh("umask; stat -c %a /made /made/deep; ls /proc/self/fd >/dev/null && echo ok")
            .mount("/made/deep", "tmpfs", "tmpfs", &["mode=755"])
            .writes(&["/made"])
            .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    own_process::run(&bundle, "odd_callers::with_umask");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn with_umask() {
    let Some(given) = own_process::given() else { return };
    fs::remove_dir(given.state_root()).expect("rmdir");
    umask(Mode::from_bits_truncate(0o777));
    let caller = Caller::now();
    let (container, mut pipes) = create_piped(&given, "umask");
    let mode = |path: &Path| fs::metadata(path).expect("stat").permissions().mode() & 0o7777;
    assert_eq!(mode(&given.state_root()), 0o700);
    assert_eq!(mode(&given.state_root().join(container.id())), 0o711);
    for cgroup in leftovers::cgroups(&given.id) {
        assert_eq!(mode(&cgroup), 0o755, "{}", cgroup.display());
    }
    container.start().expect("start");
    let (mut output, mut errors) = (String::new(), String::new());
    std::io::Read::read_to_string(&mut pipes.output, &mut output).expect("read");
    std::io::Read::read_to_string(&mut pipes.errors, &mut errors).expect("read");
    assert_eq!((&*output, &*errors), ("0022\n755\n755\nok\n", ""));
    drop(pipes);
    container.wait().expect("wait");
    container.delete(Delete::Stopped).expect("delete");
    drop(container);
    caller.is_unchanged();
}

#[test]
fn the_caller_ignores_sigchld() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    own_process::run_given(
        &["env", "--ignore-signal=CHLD"],
        &given,
        "odd_callers::without_sigchld",
    );
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn without_sigchld() {
    let Some(mut given) = own_process::given() else { return };
    let own = Process(std::process::id().cast_signed());
    assert_ne!(own.mask("SigIgn") & 1 << (libc::SIGCHLD - 1), 0, "it is not ignored");
    let caller = Caller::now();
    signal_state(&given, "one");
    life(&given, "one-exit");
    put_user_namespace(&mut given.config, 100_000, 65536);
    signal_state(&given, "two");
    life(&given, "two-exit");
    caller.is_unchanged();
}

/// The process has every signal, whatever the caller does with its own.
fn signal_state(given: &Given, suffix: &str) {
    let script = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/1/status";
    let text = output_of(&given.script(&format!("exec {script}")), suffix);
    let none = "0000000000000000";
    assert_eq!(text, format!("SigBlk:\t{none}\nSigIgn:\t{none}\nSigCgt:\t{none}\n"));
}

#[test]
fn all_signals_of_the_caller_are_blocked() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let ignored = "--ignore-signal=HUP,INT,QUIT,USR1,TERM,PIPE";
    own_process::run_given(&["env", ignored], &given, "odd_callers::with_signals_blocked");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn with_signals_blocked() {
    let Some(mut given) = own_process::given() else { return };
    let before = SigSet::thread_get_mask().expect("sigprocmask");
    SigSet::all().thread_block().expect("sigprocmask");
    let caller = Caller::now();
    let mask = SigSet::thread_get_mask().expect("sigprocmask");
    signal_state(&given, "one");
    put_user_namespace(&mut given.config, 100_000, 65536);
    signal_state(&given, "two");
    caller.is_unchanged();
    assert_eq!(SigSet::thread_get_mask().expect("sigprocmask"), mask);
    before.thread_set_mask().expect("sigprocmask");
}

#[test]
fn the_state_root_may_be_deeper_than_an_address_is_long() {
    needs_root!();
    let bundle = Bundle::sh("exit 7");
    let given = Given::from_bundle(&bundle);
    let root = given.state_root().join("a-name-of-a-directory/".repeat(20));
    assert!(root.as_os_str().len() > 300);
    let id = format!("{}-deep", given.id);
    let (stdio, _pipes) = pipes();
    let created = Runtime::new(&root)
        .create(&id, &given.bundle(), &CreateOptions::new().stdio(stdio))
        .expect("create");
    let found = Runtime::new(&root).container(&id).expect("it is there");
    found.start().expect("start");
    assert_eq!(created.container.wait().expect("wait"), ExitStatus::Exited(7));
    found.delete(Delete::Stopped).expect("delete");
    assert_eq!(fs::read_dir(&root).expect("readdir").count(), 0);
}

#[test]
fn a_descriptor_of_the_caller_that_survives_execve_is_not_the_containers() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    // A program that this process starts meanwhile inherits it too: it is nothing secret.
    let leaked: OwnedFd = fs::File::open("/etc").expect("open").into();
    fcntl(&leaked, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("fcntl");
    assert!(leaked.as_raw_fd() > 2);
    let container = given.start("leak");
    let open = Process(container.state().expect("state").pid).descriptors();
    assert_eq!(open.into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    container.delete(Delete::Force).expect("delete");
    container.wait().expect("wait");
}
