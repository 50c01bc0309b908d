//! Deaths at moments that matter most, and what must be true before anybody has cleaned up.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use integration::supervisor::{Action, Call, Role, Supervised, Supervisor};
use integration::{Bundle, hierarchies, leftovers, needs_root, peers_differ, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::scenario::Scenario;

fn create(bundle: &Bundle, decide: impl FnMut(&Call) -> Action + Send) -> Supervised {
    Supervisor::of(&bundle.command_for_bundle(&["create"])).run(decide)
}

/// Kills when this process is about to say something for the first time.
fn killed_as(speaks: Role, victim: Role) -> impl FnMut(&Call) -> Action + Send {
    let mut spoken = false;
    move |call| match call.role == speaks && call.name == "sendmsg" && !spoken {
        true => {
            spoken = true;
            Action::Kill(vec![victim])
        }
        false => Action::Make,
    }
}

#[test]
fn a_stage_of_init_that_is_killed_is_no_hang() {
    needs_root!();
    peers_differ!("runc", "has no such stages");
    peers_differ!("crun", "has no such stages");
    for victim in [Role::Init, Role::SecondStage] {
        let scenario = Scenario::mapped();
        // The first stage has not said yet that there is a second one.
        let seen = create(&scenario.bundle, killed_as(Role::Init, victim));
        assert_eq!(seen.interfered.len(), 1, "{victim}");
        seen.outcome.fails();
        assert_eq!(scenario.left(), Vec::<String>::new(), "{victim}");
    }
}

#[test]
fn init_does_not_outlive_a_creator_that_is_killed_early() {
    needs_root!();
    peers_differ!("runc", "has no such init");
    peers_differ!("crun", "has no such init");
    let single: fn() -> Scenario = || Scenario::of(Bundle::sleeping());
    for (make, speaks) in [
        (single, Role::Init),
        (Scenario::mapped, Role::Init),
        (Scenario::mapped, Role::SecondStage),
    ] {
        let scenario = make();
        let bundle = &scenario.bundle;
        let seen = create(bundle, killed_as(speaks, Role::Runtime));
        assert_eq!((seen.outcome.code, seen.interfered.len()), (137, 1), "{speaks}");
        let ends = || leftovers::processes(bundle.id(), bundle.directory()).is_empty();
        assert!(until(ends), "{speaks} outlives its creator");
        assert_eq!(scenario.remove(), Vec::<String>::new(), "{speaks}");
        seen.reap();
    }
}

#[test]
fn a_start_whose_init_is_killed_while_it_is_spoken_to_says_so() {
    needs_root!();
    peers_differ!("runc", "has no such messages");
    peers_differ!("crun", "has no such messages");
    // The gate is opened; a hook gets its streams. An init that is stopped has not accepted the connection.
    for (nth, stop) in [(1, false), (1, true), (2, false)] {
        let hooks = json!({"startContainer": [{"path": "/bin/true"}]});
        let bundle = Bundle::sleeping().set("/hooks", hooks);
        let init = bundle.created();
        let pid = Pid::from_raw(init.0);
        if stop {
            kill(pid, Signal::SIGSTOP).unwrap();
        }
        let mut count = 0;
        let start = bundle.command(&["start", bundle.id()]);
        let seen = Supervisor::of(&start).only(Role::Runtime).run(|call| {
            count += usize::from(call.name == "sendmsg");
            if call.name == "sendmsg" && count == nth {
                kill(pid, Signal::SIGKILL).unwrap();
                assert!(until(|| !init.lives()));
            }
            Action::Make
        });
        assert_eq!(count, nth);
        let message = "the container's init was killed before it executed the process";
        let said = seen.outcome.fails();
        assert!(said.contains(message), "{nth} {stop}: {said}");
        bundle.delete().ok();
    }
}

/// A cgroup with a process in it, neither of them the container's.
struct Neighbour {
    process: Child,
    directories: Vec<PathBuf>,
}

impl Neighbour {
    /// Below the caller's own.
    fn at(path: &str) -> Self {
        let all = hierarchies::all().into_iter();
        let directories: Vec<_> = all.map(|hierarchy| hierarchy.own.join(path)).collect();
        assert!(!directories.is_empty(), "no cgroups");
        let process = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        for directory in &directories {
            fs::create_dir(directory).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let parents = fs::read_to_string(directory.parent().unwrap().join(file));
                if let (Ok(value), true) =
                    (parents, directory.join("cgroup.clone_children").exists())
                {
                    fs::write(directory.join(file), value).unwrap();
                }
            }
            fs::write(directory.join("cgroup.procs"), process.id().to_string()).unwrap();
        }
        Self { process, directories }
    }

    /// Whether it is alone in its cgroup, or soon will be.
    fn is_alone(&self) -> bool {
        let own = format!("{}\n", self.process.id());
        let is_own = |directory: &PathBuf| {
            fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|text| text == own)
        };
        until(|| self.directories.iter().all(is_own))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        for directory in &self.directories {
            let removed = until(|| fs::remove_dir(directory).is_ok());
            assert!(removed || std::thread::panicking(), "{}", directory.display());
        }
    }
}

#[test]
fn a_neighbour_in_the_cgroup_survives_an_interrupted_create() {
    needs_root!();
    peers_differ!("runc", "1.1.5 forgets what it made before its state was written");
    peers_differ!("crun", "1.8.1 forgets what it made before its state was written");
    let bundle = Bundle::sleeping();
    // With the id, by which what is left is found.
    let path = format!("{}-neighbour", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    // It is gone before the bundle is.
    let mut neighbour = Neighbour::at(&path);
    bundle.create().fails();
    bundle.deleted_at_end();
    // Between the two halves of the record; with the whole record; before and after the gate is there.
    for (name, nth) in [("openat", 10), ("symlinkat", 1), ("bind", 1), ("listen", 1)] {
        let mut count = 0;
        let seen = create(&bundle, |call| {
            count += usize::from(call.role == Role::Runtime && call.name == name);
            match call.role == Role::Runtime && call.name == name && count == nth {
                true => Action::Kill(vec![Role::Runtime]),
                false => Action::Make,
            }
        });
        assert_eq!(seen.interfered.len(), 1, "{name} {nth}");
        bundle.delete_force().ok();
        seen.reap();
        assert!(neighbour.process.try_wait().unwrap().is_none(), "killed at {name} {nth}");
        assert!(neighbour.is_alone(), "init is left at {name} {nth}, or the cgroup is not");
    }
}
