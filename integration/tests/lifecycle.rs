//! The lifecycle: statuses, the operations that each allows, signals, exit statuses.

use std::process::{Command, Stdio};

use integration::{Bundle, Outcome, needs_root, peers_differ, until};
use serde_json::json;

/// Ends the container's process and waits until the runtime knows.
#[track_caller]
fn stop(bundle: &Bundle) -> i32 {
    let process = bundle.process();
    bundle.kill("KILL").ok();
    let code = bundle.wait(process);
    assert!(until(|| bundle.status() == "stopped"));
    code
}

#[track_caller]
fn says(outcome: Outcome, text: &str) {
    peers_differ!("crun", "words its errors differently; that it fails is tested elsewhere");
    let said = outcome.fails();
    assert!(said.contains(text), "{text:?} is not in {said:?}");
}

#[test]
fn statuses_follow_each_other() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    assert_eq!(bundle.status(), "created");
    assert!(!process.file("cmdline").starts_with("sleep"));
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.process(), process);
    assert_eq!(stop(&bundle), 137);
    bundle.delete().ok();
    says(bundle.call(&["state", bundle.id()]), "does not exist");
}

#[test]
fn a_container_that_was_never_started_runs_nothing() {
    needs_root!();
    let bundle = Bundle::sh("touch /tmp/ran").writes(&[]);
    bundle.created();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(!bundle.rootfs("tmp/ran").exists());
    bundle.delete().ok();
}

#[test]
fn refusals_change_nothing() {
    needs_root!();
    peers_differ!("crun", "1.8.1 takes a signal that it does not know");
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    for outcome in [bundle.create(), bundle.start(), bundle.delete(), bundle.kill("NOSUCH")] {
        outcome.fails();
        assert!(process.lives());
        assert_eq!(bundle.status(), "running");
    }
}

#[test]
fn a_created_container_can_be_deleted() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    bundle.delete().ok();
    assert!(!process.lives());
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn delete_force_ends_whatever_there_is() {
    needs_root!();
    for status in ["created", "running", "stopped"] {
        let bundle = Bundle::sleeping();
        let process = if status == "created" { bundle.created() } else { bundle.started() };
        if status == "stopped" {
            stop(&bundle);
        }
        bundle.delete_force().ok();
        assert!(!process.lives(), "{status}");
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{status}");
    }
}

#[test]
fn delete_force_of_nothing_succeeds() {
    needs_root!();
    let outcome = Bundle::new().delete_force();
    assert_eq!((outcome.code, &*outcome.stdout), (0, ""));
    assert_eq!(outcome.stderr, "");
}

#[test]
fn an_id_can_be_used_again() {
    needs_root!();
    let bundle = Bundle::sh("echo again");
    for _ in 0..3 {
        bundle.created();
        bundle.delete_force().ok();
        assert_eq!(bundle.run().ok(), "again\n");
    }
}

#[test]
fn signals_go_by_name_and_number() {
    needs_root!();
    for (signal, code) in [
        ("KILL", 137),
        ("SIGKILL", 137),
        ("9", 137),
        ("kill", 137),
        ("sigusr1", 138),
        ("USR2", 140),
        ("15", 143),
        ("SIGTERM", 143),
        ("HUP", 129),
        ("int", 130),
    ] {
        // A handler for everything that would be ignored by pid 1.
        let script = "for s in HUP INT TERM USR1 USR2; do trap \"trap - $s; exit \\$((128+$(kill -l $s)))\" $s; done
            echo ready; while :; do sleep 0.01; done";
        let bundle = Bundle::sh(script);
        let process = bundle.created();
        bundle.start().ok();
        assert!(until(|| bundle.output().0.contains("ready")), "{:?}", bundle.output());
        if !signal.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            peers_differ!("crun", "1.8.1 knows names in upper case only");
        }
        bundle.kill(signal).ok();
        assert_eq!(bundle.wait(process), code, "{signal}");
    }
}

#[test]
fn kill_without_signal_is_sigterm() {
    needs_root!();
    let bundle = Bundle::sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    let process = bundle.created();
    bundle.start().ok();
    assert!(until(|| bundle.output().0.contains("ready")));
    bundle.call(&["kill", bundle.id()]).ok();
    assert_eq!(bundle.wait(process), 5);
}

#[test]
fn a_created_container_can_be_killed() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.created();
    assert_eq!(stop(&bundle), 137);
    bundle.start().fails();
    bundle.delete().ok();
}

#[test]
fn kill_ends_all_of_a_container_with_a_pid_namespace() {
    needs_root!();
    let bundle = Bundle::sh("sleep 1005 & sleep 1006 & wait");
    bundle.created();
    bundle.start().ok();
    std::thread::sleep(std::time::Duration::from_millis(50));
    stop(&bundle);
    bundle.delete().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn the_exit_status_is_the_processs() {
    needs_root!();
    for (script, code) in [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("exit 255", 255)] {
        assert_eq!(Bundle::sh(script).run().code, code, "{script}");
        let bundle = Bundle::sh(script);
        let process = bundle.created();
        bundle.start().ok();
        assert_eq!(bundle.wait(process), code, "{script}");
    }
}

#[test]
fn the_exit_status_of_a_signal_is_128_more() {
    needs_root!();
    // Only the parent namespace can kill pid 1, so the process shares the caller's.
    for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143)] {
        let bundle = Bundle::sh(&format!("kill -{signal} $$"))
            .edit(|config| integration::config::drop_namespace(config, "pid"));
        assert_eq!(bundle.run().code, code, "{signal}");
    }
}

#[test]
fn an_end_that_nobody_asked_for_is_noticed() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.0), nix::sys::signal::SIGKILL)
        .unwrap();
    // Not reaped: a zombie has stopped, too.
    let state = || integration::finish(&mut bundle.command(&["state", bundle.id()])).ok();
    assert!(until(|| state().contains("\"stopped\"")));
    assert_eq!(bundle.wait(process), 137);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.state()["pid"], json!(0));
}

#[test]
fn a_created_process_that_dies_is_noticed() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.0), nix::sys::signal::SIGKILL)
        .unwrap();
    bundle.wait(process);
    assert!(until(|| bundle.status() == "stopped"));
    bundle.start().fails();
    bundle.delete().ok();
}

#[test]
fn run_detached_leaves_it_running() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.create_by(&mut bundle.command_for_bundle(&["run", "--detach"])).ok();
    let process = bundle.process();
    assert_eq!(bundle.status(), "running");
    assert!(until(|| process.file("cmdline").starts_with("sleep")));
}

#[test]
fn run_keeps_the_container_if_told() {
    needs_root!();
    peers_differ!("crun", "1.8.1 has no --keep");
    let bundle = Bundle::sh("exit 3");
    bundle.deleted_at_end();
    let outcome = integration::finish(&mut bundle.command_for_bundle(&["run", "--keep"]));
    assert_eq!(outcome.code, 3);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.state()["pid"], json!(0));
    bundle.delete().ok();
}

#[test]
fn run_forwards_signals() {
    needs_root!();
    let bundle = Bundle::sh(
        "trap 'exit 9' TERM; echo ready > /dev/shm/ready; echo ready; while :; do sleep 0.01; done",
    );
    bundle.deleted_at_end();
    let mut command = bundle.command_for_bundle(&["run"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
    let mut status = None;
    assert!(until(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    }));
    assert_eq!(status.unwrap().code(), Some(9));
}

#[test]
fn the_configuration_is_not_read_again() {
    needs_root!();
    let bundle = Bundle::sh("echo first");
    let process = bundle.created();
    std::fs::write(bundle.directory().join("config.json"), "{}").unwrap();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    assert_eq!(bundle.wait(process), 0);
    assert_eq!(bundle.output().0, "first\n");
}

#[test]
fn operations_do_not_need_the_bundle() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    std::fs::remove_file(bundle.directory().join("config.json")).unwrap();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    bundle.write();
}

/// A `run` where executable memfds are forbidden: in a pid namespace of its own, which that sysctl is of.
/// `None`, with the reason printed, if the kernel doesn't know it.
fn run_without_memfds(bundle: &Bundle, before: &str) -> Option<Outcome> {
    let script = format!("echo 2 > /proc/sys/vm/memfd_noexec || exit 99; {before}\nexec \"$@\"");
    let inner = bundle.command_for_bundle(&["run"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", &script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    let outcome = bundle.finish(&mut command);
    if outcome.code == 99 {
        eprintln!("skipped: this kernel has no vm.memfd_noexec: {outcome:?}");
        return None;
    }
    Some(outcome)
}

#[test]
fn init_is_a_file_where_memfds_can_not_be_executed() {
    needs_root!();
    let bundle = Bundle::sh("echo here");
    let Some(outcome) = run_without_memfds(&bundle, "") else { return };
    assert_eq!(outcome.ok(), "here\n");
}

#[test]
fn that_the_file_can_not_be_executed_either_is_explained() {
    needs_root!();
    peers_differ!("runc", "1.1.5 needs no file that is executed");
    peers_differ!("crun", "1.8.1 needs no file that is executed");
    let bundle = Bundle::sh("echo here");
    let mount =
        format!("mount -t tmpfs -o noexec,mode=700 tmpfs '{}'", bundle.state_root().display());
    let Some(outcome) = run_without_memfds(&bundle, &mount) else { return };
    let said = outcome.fails();
    assert!(said.contains("vm.memfd_noexec is 2"), "{said}");
    assert!(said.contains("noexec. Put the state root on one without"), "{said}");
}
