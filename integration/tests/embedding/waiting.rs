//! `wait` and `pidfd`: of one's own child and of another's, once and again, whoever reaps.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use integration::config::drop_namespace;
use integration::{Bundle, Process, needs_root, until};
use libcontainer::{Container, Delete, ErrorKind, ExitStatus, HostFacts, Status};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;

use crate::caller::Caller;
use crate::own_process::{self, Given};

const NOW: Duration = Duration::ZERO;

/// What a descriptor polls.
fn polled(fd: impl AsFd, timeout: Duration) -> PollFlags {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(timeout).expect("short")).expect("poll");
    fds[0].revents().expect("known flags")
}

fn pid(container: &Container) -> Pid {
    Pid::from_raw(container.state().expect("state").pid)
}

fn keeps_exit_status() -> bool {
    let keeps = HostFacts::probe().expect("facts").kernel.pidfd_exit_info;
    if !keeps {
        eprintln!("skipped: PIDFD_GET_INFO tells the exit status since Linux 6.15");
    }
    keeps
}

#[test]
fn the_exit_status_is_right_though_another_thread_reaps_every_child() {
    needs_root!();
    if keeps_exit_status() {
        own_process::run(&Bundle::sleeping(), "waiting::with_a_reaper");
    }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn with_a_reaper() {
    let Some(mut given) = own_process::given() else { return };
    // The namespaces that cost time and mean nothing here.
    for kind in ["network", "ipc", "uts"] {
        drop_namespace(&mut given.config, kind);
    }
    given.config.as_object_mut().expect("an object").remove("hostname");
    let caller = Caller::now();
    let (done, codes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reaped = thread::scope(|scope| {
        let reaper = scope.spawn(|| {
            let mut reaped = 0;
            while !done.load(Ordering::Relaxed) {
                match nix::sys::wait::wait() {
                    Ok(_) => reaped += 1,
                    Err(_) => thread::yield_now(),
                }
            }
            reaped
        });
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| exit_codes(&given, &codes))).collect();
        let told = workers.into_iter().all(|worker| worker.join().is_ok());
        let signals = thread::scope(|scope| scope.spawn(|| signals(&given)).join().is_ok());
        done.store(true, Ordering::Relaxed);
        let reaped: usize = reaper.join().expect("the reaper does not fail");
        assert!(told && signals);
        reaped
    });
    assert!(reaped > 0, "the reaper never came first: nothing was tested");
    caller.is_unchanged();
}

fn exit_codes(given: &Given, next: &AtomicUsize) {
    loop {
        let code = next.fetch_add(1, Ordering::Relaxed);
        let Some(code) = u8::try_from(code).ok().map(i32::from) else { return };
        let container = given.script(&format!("exit {code}")).start(format!("code-{code}"));
        assert_eq!(container.wait().expect("wait"), ExitStatus::Exited(code));
        container.delete(Delete::Stopped).expect("delete");
        assert_eq!(container.wait().expect("wait, again"), ExitStatus::Exited(code));
    }
}

fn signals(given: &Given) {
    let mut given = given.clone();
    // The first process of a pid namespace takes no signals that it has no handler for.
    drop_namespace(&mut given.config, "pid");
    for signal in [1, 2, 3, 4, 6, 8, 9, 11, 13, 14, 15, 31, 34, 64] {
        let container = given.start(format!("signal-{signal}"));
        container.kill(signal).expect("kill");
        assert_eq!(container.wait().expect("wait"), ExitStatus::Signaled(signal));
        container.delete(Delete::Stopped).expect("delete");
    }
}

#[test]
fn many_wait_for_one_container() {
    needs_root!();
    let bundle = Bundle::sh("sleep 0.3; exit 7");
    let given = Given::from_bundle(&bundle);
    let container = given.start("many");
    let found = given.runtime().container(container.id()).expect("it is there");
    thread::scope(|scope| {
        let waiters: Vec<_> = [&container, &container, &found, &found]
            .into_iter()
            .map(|container| scope.spawn(|| container.wait()))
            .collect();
        for waiter in waiters {
            let status = waiter.join().expect("wait does not panic");
            assert_eq!(status.expect("wait"), ExitStatus::Exited(7));
        }
    });
    assert_eq!(found.wait().expect("wait, again").code(), Some(7));
    assert_eq!(container.wait().expect("wait, again").signal(), None);
    container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn a_container_that_has_ended_is_waited_for_until_it_is_reaped() {
    needs_root!();
    let bundle = Bundle::sh("exit 7");
    let given = Given::from_bundle(&bundle);
    let container = given.create("ended");
    let own = pid(&container);
    container.start().expect("start");
    assert_eq!(
        polled(container.pidfd().expect("pidfd"), Duration::from_secs(10)),
        PollFlags::POLLIN
    );
    assert_eq!(container.state().expect("state").status, Status::Stopped);

    let [first, second] =
        [(); 2].map(|()| given.runtime().container(container.id()).expect("it is there"));
    let pidfd = first.pidfd().expect("that of a zombie");
    assert_eq!(polled(&pidfd, NOW), PollFlags::POLLIN);
    assert_eq!(first.wait().expect("wait for a zombie"), ExitStatus::Exited(7));
    assert_eq!(waitpid(own, None), Err(Errno::ECHILD), "wait did not reap");
    assert!(polled(&pidfd, NOW).contains(PollFlags::POLLIN | PollFlags::POLLHUP));
    if keeps_exit_status() {
        for other in [&second, &container] {
            assert_eq!(other.wait().expect("reaped by others"), ExitStatus::Exited(7));
        }
    }

    let late = given.runtime().container(container.id()).expect("it is there");
    for error in [late.wait().unwrap_err(), late.pidfd().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert_eq!(error.to_string(), "container not running");
    }
    late.delete(Delete::Stopped).expect("delete");
    for error in [late.wait().unwrap_err(), late.state().unwrap_err(), late.start().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "container does not exist");
    }
}

#[test]
fn a_container_of_another_process_is_waited_for() {
    needs_root!();
    if !keeps_exit_status() {
        return;
    }
    let bundle = Bundle::sh("while ! [ -e /tmp/go ]; do sleep 0.02; done; exit 9").mount(
        "/tmp",
        "bind",
        "go",
        &["bind"],
    );
    std::fs::create_dir(bundle.directory().join("go")).expect("mkdir");
    let given = Given::from_bundle(&bundle);
    thread::scope(|scope| {
        let creator = scope.spawn(|| own_process::run_given(&[], &given, "waiting::creator"));
        let id = format!("{}-other", given.id);
        let runtime = given.runtime();
        let running = || {
            let container = runtime.container(&id).ok()?;
            let state = container.state().ok()?;
            (state.status == Status::Running).then_some((container, state.pid))
        };
        assert!(until(|| running().is_some()), "the creator has failed");
        let (container, pid) = running().expect("it runs until we say so");
        let parent = Process(pid).status("PPid");
        assert_ne!(parent, std::process::id().to_string(), "it is our child");
        let waiter = scope.spawn(move || container.wait());
        std::fs::write(bundle.directory().join("go/go"), "").expect("write");
        let status = waiter.join().expect("wait does not panic").expect("wait");
        assert_eq!(status, ExitStatus::Exited(9));
        // Its parent has not reaped it: it does so only now.
        std::fs::write(bundle.directory().join("go/reap"), "").expect("write");
        creator.join().expect("the creator has succeeded");
        runtime.delete(&id, Delete::Stopped).expect("delete");
    });
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn creator() {
    let Some(given) = own_process::given() else { return };
    let container = given.start("other");
    let reap = given.directory.join("go/reap");
    assert!(until(|| reap.exists()));
    let reaped = waitpid(None, Some(WaitPidFlag::WNOHANG)).expect("a zombie that nobody has taken");
    assert!(matches!(reaped, WaitStatus::Exited(_, 9)), "{reaped:?}");
    assert_eq!(container.wait().expect("wait"), ExitStatus::Exited(9));
}

#[test]
fn dropping_a_container_does_nothing() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let container = given.create("drop");
    let (id, process) = (container.id().to_string(), pid(&container));
    drop(container);
    let found = given.runtime().container(&id).expect("it is there");
    assert_eq!(found.state().expect("state").status, Status::Created);
    found.start().expect("start");
    drop(found);
    let found = given.runtime().container(&id).expect("it is there");
    let state = found.state().expect("state");
    assert_eq!((state.status, state.pid), (Status::Running, process.as_raw()));
    found.delete(Delete::Force).expect("delete");
    assert_eq!(found.wait().expect("wait after delete"), ExitStatus::Signaled(libc::SIGKILL));
}

#[test]
fn a_container_that_is_being_created_can_not_be_waited_for() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let container = given.create("damaged");
    // As an interrupted create leaves it.
    let record = given.state_root().join(container.id()).join("record.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).expect("read")).expect("JSON");
    json["init"] = json!(null);
    std::fs::write(&record, json.to_string()).expect("write");
    let found = given.runtime().container(container.id()).expect("it is there");
    assert_eq!(found.state().expect("state").status, Status::Creating);
    let error = found.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    found.delete(Delete::Force).expect("delete");
    assert_eq!(container.wait().expect("wait"), ExitStatus::Signaled(libc::SIGKILL));
}
