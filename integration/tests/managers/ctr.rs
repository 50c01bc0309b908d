//! containerd, by its own client.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::{Outcome, finish, needs_root, until};

use crate::place::Place;
use crate::{Check, image, needs_installed, put, runtimes};

/// How often a container is run whose output does not arrive.
const ATTEMPTS: usize = 5;

/// What a script writes last.
const END: &str = "that is all";

/// The client of a containerd, for one runtime.
struct Ctr {
    place: Arc<Place>,
    runtime: PathBuf,
}

impl Ctr {
    #[track_caller]
    fn call(&self, args: &[&str]) -> Outcome {
        call(&self.place, args)
    }

    /// `ctr run` with these options, of this command, in a container of this name.
    #[track_caller]
    fn run(&self, options: &[&str], name: &str, command: &[&str]) -> Outcome {
        let runtime = self.runtime.to_str().expect("a path in UTF-8");
        let cgroup = format!("{}/{name}", self.place.cgroups());
        let mut args = vec!["run", "--runc-binary", runtime, "--cgroup", &cgroup];
        args.extend_from_slice(options);
        args.extend_from_slice(&[image::NAME, name]);
        args.extend_from_slice(command);
        self.call(&args)
    }

    /// A container that is removed at its end, until its output has arrived: ctr 1.6 loses the end of it, or
    /// all, now and then on a busy machine, with runc too.
    fn run_until(&self, arrived: fn(&Outcome) -> bool, options: &[&str], script: &str) -> Outcome {
        let options = [&["--rm"], options].concat();
        let run = || self.run(&options, &name(), &["sh", "-c", script]);
        (0..ATTEMPTS).map(|_| run()).find(arrived).expect("the output arrives")
    }

    /// The output of a script in a container.
    #[track_caller]
    fn sh(&self, options: &[&str], script: &str) -> String {
        let script = format!("({script}); status=$?; printf '{END}'; exit $status");
        let arrived = |outcome: &Outcome| outcome.code != 0 || outcome.stdout.ends_with(END);
        let output = self.run_until(arrived, options, &script).ok();
        output.strip_suffix(END).map(String::from).expect("checked")
    }

    /// The status of a task; nothing if there is no such task.
    fn status(&self, name: &str) -> Option<String> {
        let list = self.call(&["tasks", "list"]).ok();
        let fields = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let found = list.lines().map(fields).find(|fields| fields[0] == name)?;
        found.last().cloned()
    }
}

#[track_caller]
fn call(place: &Place, args: &[&str]) -> Outcome {
    finish(place.command("ctr").args(["--address", &place.text("c.sock")]).args(args))
}

/// A new name for a container.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Starts a containerd whose files are all below the place.
pub(crate) fn start_containerd(place: &mut Place) {
    let path = |name: &str| place.text(name);
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
        path("containerd"),
        path("containerd-state"),
        path("c.sock"),
        path("c.sock.ttrpc"),
        path("opt")
    );
    fs::write(place.path("containerd.toml"), config).expect("write");
    let config = place.text("containerd.toml");
    place.start("containerd", &["--config", &config], |place| call(place, &["version"]).code == 0);
}

#[test]
fn ctr_run() {
    needs_root!();
    needs_installed!("containerd", "ctr", "runc");
    let mut place = Place::enter();
    start_containerd(&mut place);
    let place = Arc::new(place);
    let archive = image::archive(&place.path(""));
    call(&place, &["image", "import", archive.to_str().expect("UTF-8")]).ok();
    let engines: Vec<_> = runtimes()
        .into_iter()
        .map(|(name, runtime)| (name, Ctr { place: Arc::clone(&place), runtime }))
        .collect();
    put(&engines, CHECKS);
    for kind in ["tasks", "containers"] {
        assert_eq!(call(&place, &[kind, "list", "--quiet"]).ok(), "", "{kind} left");
    }
}

const CHECKS: &[Check<Ctr>] = &[
    ("output and exit code", |ctr| {
        let arrived = |outcome: &Outcome| !outcome.stdout.is_empty() && !outcome.stderr.is_empty();
        let outcome = ctr.run_until(arrived, &[], "echo out; echo err >&2; exit 42");
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (42, "out\n", "err\n")
        );
    }),
    ("a command that is not there", |ctr| {
        let text = ctr.run(&["--rm"], &name(), &["nonesuch"]).fails();
        assert!(text.contains("exec: \"nonesuch\": executable file not found in $PATH"), "{text}");
    }),
    ("a file that can't be executed", |ctr| {
        let text = ctr.run(&["--rm"], &name(), &["/etc/passwd"]).fails();
        assert!(text.contains("exec: \"/etc/passwd\": permission denied"), "{text}");
    }),
    ("a task in the background is killed and deleted", |ctr| {
        let name = name();
        ctr.run(&["--detach"], &name, &["sleep", "1000"]).ok();
        assert_eq!(ctr.status(&name).as_deref(), Some("RUNNING"));
        ctr.call(&["tasks", "kill", "--signal", "SIGKILL", &name]).ok();
        assert!(until(|| ctr.status(&name).as_deref() == Some("STOPPED")), "{name}");
        let deleted = ctr.call(&["tasks", "delete", &name]);
        assert!(deleted.stderr.contains("exit code 137"), "{deleted:?}");
        assert_eq!(ctr.status(&name), None);
        ctr.call(&["containers", "delete", &name]).ok();
    }),
    ("a running task is deleted by force", |ctr| {
        let name = name();
        ctr.run(&["--detach"], &name, &["sleep", "1000"]).ok();
        let deleted = ctr.call(&["tasks", "delete", "--force", &name]);
        assert!(deleted.stderr.contains("exit code 137"), "{deleted:?}");
        assert_eq!(ctr.status(&name), None);
        ctr.call(&["containers", "delete", &name]).ok();
    }),
    ("memory and CPU limits", |ctr| {
        if !Path::new("/sys/fs/cgroup/memory").exists() {
            eprintln!("skipped: the limits are looked at where cgroup v1 has them");
            return;
        }
        let name = name();
        let options = ["--memory-limit", "67108864", "--cpus", "0.5", "--cpu-shares", "512"];
        ctr.run(&[&["--detach"], &options[..]].concat(), &name, &["sleep", "1000"]).ok();
        for (file, expected) in [
            ("memory/memory.limit_in_bytes", "67108864\n"),
            ("cpu/cpu.cfs_quota_us", "50000\n"),
            ("cpu/cpu.shares", "512\n"),
        ] {
            let (hierarchy, file) = file.split_once('/').expect("a hierarchy");
            let cgroup = ctr.place.cgroups();
            let path = format!("/sys/fs/cgroup/{hierarchy}{cgroup}/{name}/{file}");
            assert_eq!(fs::read_to_string(&path).expect("read"), expected, "{path}");
        }
        ctr.call(&["tasks", "delete", "--force", &name]).ok();
        ctr.call(&["containers", "delete", &name]).ok();
    }),
    ("environment, directory, read-only root", |ctr| {
        let options = ["--env", "A=b c", "--cwd", "/tmp", "--read-only"];
        let script = "echo $A; pwd; touch /x 2>&1 || true";
        assert_eq!(ctr.sh(&options, script), "b c\n/tmp\ntouch: /x: Read-only file system\n");
    }),
    ("capabilities and no_new_privs", |ctr| {
        let script = "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status";
        assert_eq!(ctr.sh(&[], script), "CapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n");
        let options = ["--cap-drop", "CAP_KILL", "--cap-add", "CAP_SYS_TIME", "--allow-new-privs"];
        assert_eq!(ctr.sh(&options, script), "CapEff:\t00000000aa0425db\nNoNewPrivs:\t0\n");
    }),
    ("containerd's seccomp profile", |ctr| {
        let script = "grep Seccomp: /proc/self/status; mount -t tmpfs m /opt 2>&1 && echo mounted";
        let denied = "mount: permission denied (are you root?)\n";
        for (options, expected) in [
            (&["--cap-add", "CAP_SYS_ADMIN"][..], "Seccomp:\t0\nmounted\n".to_string()),
            (&["--seccomp"], format!("Seccomp:\t2\n{denied}")),
        ] {
            assert_eq!(ctr.sh(options, &format!("{script} || true")), expected, "{options:?}");
        }
    }),
    ("a bind mount", |ctr| {
        let directory = ctr.place.path(&name());
        fs::create_dir(&directory).expect("mkdir");
        fs::write(directory.join("file"), "from the host\n").expect("write");
        let mount = format!("type=bind,src={},dst=/v,options=rbind:ro", directory.display());
        let output = ctr.sh(&["--mount", &mount], "cat /v/file; touch /v/x 2>&1 || true");
        assert_eq!(output, "from the host\ntouch: /v/x: Read-only file system\n");
    }),
    ("a device", |ctr| {
        if !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: no /dev/fuse");
            return;
        }
        let script = "stat -c '%F %t:%T' /dev/fuse && true < /dev/fuse && echo opened";
        let output = ctr.sh(&["--device", "/dev/fuse"], script);
        assert_eq!(output, "character special file a:e5\nopened\n");
    }),
];
