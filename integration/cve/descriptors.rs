//! The wrong descriptor, the wrong process: what of the host can be reached from inside.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use integration::config::{put_capabilities, put_namespace, put_user_namespace};
use integration::outcome::leaking;
use integration::{Bundle, Process, Under, finish, until};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde_json::json;

use crate::probe::{Verdict, ends, holds, needs_strace, needs_tare, require, told, traced};

/// T-C1. CVE-2016-9962 (runc), CVE-2016-8659 (bubblewrap): root of a container that is entered traces who
/// enters, or takes its descriptors. The kernel gives the files of a process in /proc to root of its user
/// namespace while it is dumpable, as the user's program is. No peer here falls.
#[test]
fn cve_2016_9962_init_cannot_be_traced_in_namespaces_that_it_joins() {
    needs_tare!();
    let probe = || {
        // What can be traced shows its file.
        let watch = "while :; do echo tick; for p in /proc/[0-9]*; do e=$(readlink $p/exe) && \
                     case $e in */busybox) ;; *) echo $e; ls -l $p/fd;; esac; done; done";
        let hostile = Bundle::sh(watch).edit(|config| {
            put_user_namespace(config, 100_000, 65536);
            put_capabilities(config, &["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
        });
        hostile.create().ok();
        let process = hostile.process();
        hostile.start().ok();
        let joining = Bundle::sleeping().edit(|config| {
            put_user_namespace(config, 100_000, 65536);
            for (kind, name) in [("pid", "pid"), ("user", "user")] {
                let path = format!("/proc/{}/ns/{name}", process.0);
                put_namespace(config, json!({ "type": kind, "path": path }));
            }
        });
        let verdict = parked(&joining);
        // Two ticks later it has looked at all that there is, init among it.
        let ticks = || hostile.output().0.lines().filter(|line| *line == "tick").count();
        let before = ticks();
        assert!(until(|| ticks() >= before + 2), "nobody looked");
        // As it is when a program can be traced.
        joining.start().ok();
        let dumpable = || fs::metadata(format!("/proc/{}/fd", joining.process().0)).unwrap().uid();
        assert!(until(|| dumpable() == 100_000));
        ends(joining, verdict)?;
        let seen: String = hostile.output().0.lines().filter(|line| *line != "tick").collect();
        ends(hostile, require(seen.is_empty(), || format!("seen inside: {seen}")))
    };
    holds(probe, &[]);
}

/// Creates; while init waits for `start`, its files belong to root of the host.
#[track_caller]
fn parked(bundle: &Bundle) -> Verdict {
    bundle.create().ok();
    let process = bundle.process();
    for name in ["fd", "mem", "environ"] {
        let owner = fs::metadata(format!("/proc/{}/{name}", process.0)).unwrap().uid();
        require(owner == 0, || format!("{name} of init belongs to {owner}"))?;
    }
    Ok(())
}

/// T-C2. CVE-2024-21626: a working directory that is a descriptor of the caller, or of the runtime.
#[test]
fn cve_2024_21626_a_cwd_through_a_descriptor_does_not_lead_out() {
    needs_tare!();
    let probe = || {
        (3..12).try_for_each(|number| {
            let bundle = Bundle::sh("cat marker; ls -i -d . ../../../..")
                .set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
            let decoy = bundle.decoy().display().to_string();
            let inner = bundle.command_for_bundle(&["run"]);
            let outcome = finish(&mut leaking(&format!("7<{decoy} 8<{decoy}"), &inner));
            told(&outcome);
            let host = fs::metadata("/").unwrap().ino().to_string();
            let is_out = outcome.stdout.contains("decoy")
                || outcome
                    .stdout
                    .lines()
                    .any(|line| line.trim_start().starts_with(&format!("{host} ")));
            ends(bundle, require(!is_out, || format!("{number} leads out: {outcome:?}")))
        })
    };
    holds(probe, &[("crun 1.8.1", "leads out")]);
}

/// T-C2. The same of a program.
#[test]
fn cve_2024_21626_a_program_through_a_descriptor_is_not_the_hosts() {
    needs_tare!();
    let probe = || {
        (3..12).try_for_each(|number| {
            let program = format!("/proc/self/fd/{number}/busybox");
            let bundle = Bundle::new().args(&[&program, "echo", "executed"]);
            let inner = bundle.command_for_bundle(&["run"]);
            let outcome = finish(&mut leaking("7</bin 8</bin", &inner));
            told(&outcome);
            let executed = outcome.stdout.contains("executed");
            ends(bundle, require(!executed, || format!("{number} is executed: {outcome:?}")))
        })
    };
    holds(probe, &[("crun 1.8.1", "is executed")]);
}

/// T-C3. CVE-2016-8649 (LXC): descriptors of the host in a container that waits for `start`, and in one that
/// runs.
#[test]
fn cve_2016_8649_no_descriptor_of_the_host_is_left() {
    needs_tare!();
    let probe = || {
        let bundle = Bundle::sleeping();
        let inner = bundle.command_for_bundle(&["create"]);
        bundle.create_by(&mut leaking("3</ 9</etc 20</ 21</etc/passwd 700</", &inner)).ok();
        let process = bundle.process();
        let waiting = process.descriptors().into_iter().find(|(number, target)| {
            let allowed = ["socket:", "anon_inode:", "/memfd:", "pipe:"];
            let fifo = target.ends_with("exec.fifo");
            *number > 2 && !fifo && !allowed.iter().any(|kind| target.starts_with(kind))
        });
        bundle.start().ok();
        assert!(until(|| process.file("cmdline").starts_with("sleep")));
        let open: Vec<i32> = process.descriptors().into_keys().collect();
        let verdict = require(waiting.is_none(), || format!("waits with {waiting:?}"))
            .and_then(|()| require(open == [0, 1, 2], || format!("runs with {open:?}")));
        ends(bundle, verdict)
    };
    holds(probe, &[("crun 1.8.1", "waits with")]);
}

/// Puts a copy of the runtime to the probe: what falls is not the one that is installed.
#[track_caller]
fn with_copy(probe: impl Fn() -> Verdict + Send) -> Verdict {
    let directory = tempfile::tempdir().unwrap();
    let mut copy = Under::test().clone();
    let path = directory.path().join(copy.path.file_name().unwrap());
    fs::copy(&copy.path, &path).unwrap();
    copy.path = path.clone();
    let before = fs::read(&path).unwrap();
    let verdict = copy.run(probe);
    let same = fs::read(&path).unwrap() == before;
    verdict.and(require(same, || "the runtime is overwritten".into()))
}

/// T-C4. CVE-2019-5736: keep the file of init open, let init end, open it again for writing.
#[test]
fn cve_2019_5736_the_file_of_init_cannot_be_overwritten() {
    needs_tare!();
    let probe = || {
        with_copy(|| {
            let bundle = Bundle::sleeping();
            let process = bundle.created();
            let exe = format!("/proc/{}/exe", process.0);
            let held = open(&*exe, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
            let (init, runtime) =
                (fs::metadata(&exe).unwrap(), fs::metadata(&Under::test().path).unwrap());
            bundle.kill("KILL").ok();
            bundle.wait(process);
            let again = format!("/proc/self/fd/{}", held.as_raw_fd());
            let mut file = fs::OpenOptions::new().write(true).open(again);
            let written = file.as_mut().is_ok_and(|file| file.write(b"overwritten").is_ok());
            let same = (init.dev(), init.ino()) == (runtime.dev(), runtime.ino());
            let verdict = require(!written, || "the file of init is written to".into())
                .and_then(|()| require(!same, || "init is the file of the runtime".into()));
            ends(bundle, verdict)
        })
    };
    // Theirs is on a read-only mount, which is all that protects it.
    let same = "init is the file of the runtime";
    holds(probe, &[("runc 1.1.5", same), ("crun 1.8.1", same)]);
}

/// T-C4. An image whose program is a link to `/proc/self/exe` has the runtime executed. No peer here falls:
/// without the link `--version` is answered, which is tested first.
#[test]
fn cve_2019_5736_executing_ones_own_file_does_not_run_the_runtime() {
    needs_tare!();
    let probe = || {
        let version = finish(Under::test().command().arg("--version")).ok();
        assert!(version.contains("version"), "{version}");
        ["/proc/self/exe", "/bin/evil"].into_iter().try_for_each(|program| {
            let bundle = Bundle::new().args(&[program, "--version"]);
            std::os::unix::fs::symlink("/proc/self/exe", bundle.rootfs("bin/evil")).unwrap();
            let outcome = bundle.run();
            let is_run = outcome.stdout.contains("version");
            ends(bundle, require(!is_run, || format!("{program} is the runtime: {outcome:?}")))
        })
    };
    holds(probe, &[]);
}

/// T-C6. CVE-2019-14271 (docker cp): a library of the image was loaded by a process of the host. Behind the
/// change of the root init opens no file of its own accord: no library, no nsswitch.conf, no locale.
#[test]
fn cve_2019_14271_nothing_of_the_image_is_loaded() {
    needs_tare!();
    needs_strace!();
    let probe = || {
        let bundle = Bundle::new().set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
        let options = ["-e", "trace=open,openat,openat2,pivot_root,execve"];
        let mut command = traced(&bundle, &options, &bundle.command_for_bundle(&["run"]));
        bundle.finish(&mut command).ok();
        let trace = fs::read_to_string(bundle.directory().join("trace")).unwrap();
        let pivot = trace.lines().find(|line| line.contains("pivot_root(")).unwrap();
        let pid = pivot.split(' ').next().unwrap();
        let mut inside = trace.lines().filter(|line| line.starts_with(pid));
        inside.find(|line| *line == pivot);
        let inside = inside.take_while(|line| !line.contains("execve("));
        let opened: Vec<_> = inside.filter(|line| line.contains("(AT_FDCWD, \"/etc/")).collect();
        ends(bundle, require(opened.is_empty(), || format!("opened by path: {opened:#?}")))
    };
    holds(probe, &[("runc 1.1.5", "opened by path")]);
}

/// T-C7. CVE-2020-15257 (containerd): an abstract socket can be reached through a shared network namespace.
#[test]
fn cve_2020_15257_no_abstract_socket_is_made() {
    needs_tare!();
    let probe = || {
        let names = |process: Process| {
            let text = process.file("net/unix");
            let names = text.lines().filter_map(|line| line.split(" @").nth(1).map(String::from));
            names.collect::<std::collections::BTreeSet<_>>()
        };
        // Other tests are in other namespaces: whatever is new in this one is the runtime's.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let own = Process(nix::unistd::gettid().as_raw());
        let before = names(own);
        let bundle = Bundle::sleeping();
        let inside = names(bundle.created());
        let mut new = &names(own) - &before;
        new.extend(inside);
        ends(bundle, require(new.is_empty(), || format!("{new:?}")))
    };
    holds(probe, &[]);
}
