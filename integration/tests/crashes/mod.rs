//! Death at the wrong moment, and operations that meet: the runtime killed at its system calls, init killed
//! or held, several verbs at once. Then `delete --force` removes everything, and the id is free.
//!
//! strace(1) does the killing: `inject=CALL:signal=KILL:when=N`. A sample of the calls is taken;
//! `SWEEP=all` takes every one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::{Bundle, Process, finish, leftovers, needs_root, peers_differ, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::attacks::{needs_strace, traced};

#[cfg(target_arch = "x86_64")]
pub(crate) mod scenario;
#[cfg(target_arch = "x86_64")]
mod sweep;

/// A system call of the runtime: its name, and which call of this name it is.
type Point = (String, usize);

/// How many points of each verb are tried.
const SAMPLE: usize = 9;

/// The system calls that a command makes, in their order.
fn points(bundle: &Bundle, command: &Command) -> Vec<Point> {
    let file = bundle.directory().join("trace");
    let output = ["-o", file.to_str().unwrap()];
    finish(&mut traced(&output, command)).ok();
    let mut counts = BTreeMap::new();
    let text = fs::read_to_string(&file).unwrap();
    let calls = text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let numbered = calls.map(|name| {
        let count: &mut usize = counts.entry(name.to_string()).or_default();
        *count += 1;
        (name.to_string(), *count)
    });
    numbered.collect()
}

/// The command, killed as it makes this call.
fn killed_at((call, number): &Point, command: &Command) -> Command {
    let inject = format!("inject={call}:signal=KILL:when={number}");
    traced(&["-o", "/dev/null", "-e", &inject], command)
}

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

fn sweep(bundle: &Bundle, verb: &str) {
    let id = bundle.id();
    let prepare = || match verb {
        "create" | "run" => {}
        "start" | "delete" => drop(bundle.created()),
        _ => drop(bundle.started()),
    };
    let command = match verb {
        "create" | "run" => bundle.command_for_bundle(&[verb]),
        "kill" => bundle.command(&["kill", id, "KILL"]),
        "delete --force" => bundle.command(&["delete", "--force", id]),
        _ => bundle.command(&[verb, id]),
    };
    prepare();
    let points = points(bundle, &command);
    bundle.delete_force().ok();
    assert!(points.len() > 2 * SAMPLE, "{verb}: {points:?}");
    let step = if std::env::var_os("SWEEP").is_some() { 1 } else { points.len() / SAMPLE };
    for point in points.iter().skip(step / 2).step_by(step) {
        prepare();
        ends(&mut run_quietly(&mut killed_at(point, &command)));
        let begin = Instant::now();
        bundle.delete_force().ok();
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "{verb} killed at {point:?}: {took:?}");
        let left = bundle.leftovers();
        assert!(left.is_empty(), "{verb} killed at {point:?}: {left:#?}");
        let state = fs::read_dir(bundle.state_root()).into_iter().flatten().count();
        assert_eq!(state, 0, "{verb} killed at {point:?}");
    }
    bundle.created();
    bundle.delete_force().ok();
}

#[test]
fn a_runtime_killed_at_any_call_leaves_what_delete_can_remove() {
    needs_root!();
    needs_strace!();
    peers_differ!("runc", "1.1.5 forgets what it made before its state was written");
    peers_differ!("crun", "1.8.1 forgets what it made before its state was written");
    for verb in ["create", "start", "kill", "delete", "delete --force"] {
        sweep(&Bundle::sleeping(), verb);
    }
    sweep(&Bundle::new(), "run");
    let mapped = Bundle::sleeping()
        .edit(|config| integration::config::put_user_namespace(config, 1000, 1000));
    sweep(&mapped, "create");
}

/// The processes that execute init for this bundle's runtime, the eldest first.
fn inits(runtime: u32) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut inits: Vec<i32> = pids
        .filter(|pid| {
            let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
            let child = text("stat").is_ok_and(|stat| {
                stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1))
                    == Some(&runtime.to_string())
            });
            child && text("cmdline").is_ok_and(|line| line.starts_with("tare-init"))
        })
        .collect();
    inits.sort_unstable();
    inits
}

/// The only child of a process.
fn child_of(process: u32) -> Option<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_stage_of_init_that_is_killed_is_no_hang() {
    needs_root!();
    needs_strace!();
    peers_differ!("runc", "has no such stages");
    peers_differ!("crun", "has no such stages");
    for victim in [0, 1] {
        let bundle = Bundle::sleeping()
            .edit(|config| integration::config::put_user_namespace(config, 1000, 1000));
        // The first stage is held before it says that there is a second one.
        let delay = ["-f", "-o", "/dev/null", "-e", "inject=sendmsg:delay_enter=700000:when=1"];
        let mut strace = run_quietly(&mut traced(&delay, &bundle.command_for_bundle(&["create"])));
        let mut stages = Vec::new();
        assert!(until(|| {
            stages = child_of(strace.id()).map(inits).unwrap_or_default();
            stages.len() == 2
        }));
        kill(Pid::from_raw(stages[victim]), Signal::SIGKILL).unwrap();
        assert_ne!(ends(&mut strace), Some(0), "{victim}");
        bundle.delete_force().ok();
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{victim}");
    }
}

#[test]
fn init_does_not_outlive_a_creator_that_is_killed_early() {
    needs_root!();
    needs_strace!();
    peers_differ!("runc", "has no such init");
    peers_differ!("crun", "has no such init");
    for mapped in [false, true] {
        for stages in [1, 2] {
            let bundle = Bundle::sleeping();
            let bundle = match mapped {
                true => bundle
                    .edit(|config| integration::config::put_user_namespace(config, 1000, 1000)),
                false => bundle,
            };
            let delay = ["-f", "-o", "/dev/null", "-e", "inject=sendmsg:delay_enter=300000"];
            let mut strace =
                run_quietly(&mut traced(&delay, &bundle.command_for_bundle(&["create"])));
            let mut creator = None;
            assert!(until(|| {
                creator = child_of(strace.id());
                creator.is_some_and(|pid| inits(pid).len() >= if mapped { stages } else { 1 })
            }));
            kill(Pid::from_raw(creator.unwrap().cast_signed()), Signal::SIGKILL).unwrap();
            // strace ends when all that it traces have ended.
            ends(&mut strace);
            bundle.delete_force().ok();
            assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{mapped} {stages}");
        }
    }
}

/// A cgroup with a process in it, neither of them the container's.
struct Neighbour {
    process: Child,
    directories: Vec<PathBuf>,
}

impl Neighbour {
    fn at(path: &str) -> Self {
        let top = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let mut directories: Vec<_> = top
            .filter(|entry| entry.path().join("cgroup.procs").exists() && entry.path().is_dir())
            .map(|entry| entry.path().join(path))
            .collect();
        if fs::exists("/sys/fs/cgroup/cgroup.procs").unwrap() {
            directories = vec![PathBuf::from("/sys/fs/cgroup").join(path)];
        }
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
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        for directory in &self.directories {
            until(|| fs::remove_dir(directory).is_ok() || !directory.exists());
        }
    }
}

#[test]
fn a_neighbour_in_the_cgroup_survives_an_interrupted_create() {
    needs_root!();
    needs_strace!();
    peers_differ!("runc", "1.1.5 forgets what it made before its state was written");
    peers_differ!("crun", "1.8.1 forgets what it made before its state was written");
    let path = format!("tare-neighbour-{}", std::process::id());
    let mut neighbour = Neighbour::at(&path);
    let bundle = Bundle::sleeping().set("/linux/cgroupsPath", json!(format!("/{path}")));
    bundle.create().fails();
    let command = bundle.command_for_bundle(&["create"]);
    // Between the two halves of the record; with the whole record; before and after the gate is there.
    for (call, number) in [("openat", 10), ("symlinkat", 1), ("bind", 1), ("listen", 1)] {
        ends(&mut run_quietly(&mut killed_at(&(call.to_string(), number), &command)));
        bundle.delete_force().ok();
        assert!(neighbour.process.try_wait().unwrap().is_none(), "killed at {call} {number}");
        assert!(neighbour.directories.iter().all(|directory| directory.exists()));
    }
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
