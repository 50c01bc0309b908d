//! Death at the wrong moment, and operations that meet: the runtime or init killed at a system call, init
//! held, several verbs at once. Then `delete --force` removes everything, and the id is free.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use integration::{Bundle, Process, leftovers, needs_root, peers_differ, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[cfg(target_arch = "x86_64")]
mod moments;
#[cfg(target_arch = "x86_64")]
pub(crate) mod scenario;
#[cfg(target_arch = "x86_64")]
mod sweep;

/// Runs a command whose container may outlive it, with its output nowhere.
fn run_quietly(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[track_caller]
fn ends(child: &mut Child) -> Option<i32> {
    let mut status = None;
    let ended = until(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(ended, "hangs");
    status.unwrap().code()
}

#[test]
fn a_start_that_hangs_does_not_keep_delete_out() {
    needs_root!();
    peers_differ!("crun", "1.8.1: its start returns once it has opened the FIFO");
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    kill(Pid::from_raw(process.0), Signal::SIGSTOP).unwrap();
    let mut start = run_quietly(&mut bundle.command(&["start", bundle.id()]));
    sleep(Duration::from_millis(100));
    assert!(start.try_wait().unwrap().is_none(), "init is stopped");
    bundle.delete_force().ok();
    assert!(!process.lives());
    peers_differ!("runc", "1.1.5: its start returns once the FIFO is opened");
    assert_ne!(ends(&mut start), Some(0));
}

/// The v1 freezer of a container's process, thawed at the end whatever happens.
struct Frozen(PathBuf);

impl Frozen {
    fn new(process: Process) -> Option<Self> {
        let cgroup = process.cgroups().get("freezer")?.clone();
        let file = PathBuf::from(format!("/sys/fs/cgroup/freezer{cgroup}/freezer.state"));
        fs::write(&file, "FROZEN").unwrap();
        Some(Self(file))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write(&self.0, "THAWED").ok();
    }
}

#[test]
fn a_frozen_container_can_be_killed_and_deleted() {
    needs_root!();
    peers_differ!("crun", "1.8.1 sends the signal and leaves the container frozen");
    for verb in ["kill", "delete"] {
        let bundle = Bundle::sleeping();
        let process = bundle.started();
        let Some(_frozen) = Frozen::new(process) else {
            return eprintln!("skipped: there is no v1 freezer");
        };
        match verb {
            "kill" => bundle.kill("KILL").ok(),
            _ => bundle.delete_force().ok(),
        };
        assert_eq!(bundle.wait(process), 137, "{verb}");
    }
}

#[test]
fn of_creates_at_once_one_wins() {
    needs_root!();
    peers_differ!("runc", "1.1.5 looks first and makes then, so that two may win");
    peers_differ!("crun", "1.8.1: a loser may remove what the winner made");
    for _ in 0..4 {
        let bundle = Bundle::sleeping();
        bundle.deleted_at_end();
        let create = || run_quietly(&mut bundle.command_for_bundle(&["create"]));
        let mut children: Vec<Child> = (0..4).map(|_| create()).collect();
        let won = children.iter_mut().filter_map(ends_well).count();
        assert_eq!(won, 1);
        assert!(bundle.process().lives());
    }
}

fn ends_well(child: &mut Child) -> Option<()> {
    (ends(child) == Some(0)).then_some(())
}

#[test]
fn verbs_that_meet_end_and_leave_nothing() {
    needs_root!();
    peers_differ!("crun", "1.8.1 has no lock");
    for round in 0..6 {
        let bundle = Bundle::sleeping();
        bundle.write();
        let id = bundle.id();
        let mut children = vec![run_quietly(&mut bundle.command_for_bundle(&["create"]))];
        if round % 2 == 0 {
            ends(&mut children[0]);
        }
        for args in [
            &["start", id] as &[&str],
            &["state", id],
            &["kill", id, "KILL"],
            &["start", id],
            &["delete", id],
            &["delete", "--force", id],
            &["list"],
        ] {
            children.push(run_quietly(&mut bundle.command(args)));
        }
        for child in &mut children {
            let code = ends(child);
            assert!(matches!(code, Some(0 | 1)), "{code:?}");
        }
        bundle.delete_force().ok();
        assert_eq!(bundle.leftovers(), Vec::<String>::new());
        assert_eq!(leftovers::cgroups(id), Vec::<PathBuf>::new());
    }
}
