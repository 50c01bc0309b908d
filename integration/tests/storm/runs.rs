//! Containers that end at once, and signals that come to a foreground `run` meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use integration::outcome::code;
use integration::{Bundle, needs_root, peers_differ, rounds, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// No run of a program that ends at once may take longer.
const LIMIT: Duration = Duration::from_secs(5);

/// How many signals come before the program of a run may end: for as long as its creation takes and more.
const ENOUGH: usize = 60;

/// The exit status of a run, which must come in time.
#[track_caller]
fn ends(child: &mut Child) -> i32 {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return code(status);
        }
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("run hangs");
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

fn quiet(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A bundle for each way to end, and the exit status.
fn endings() -> Vec<(Bundle, i32)> {
    let sh = |script: &str, code| (Bundle::sh(script), code);
    // The first process of a pid namespace is not killed by its own signal.
    let signalled = |signal: &str, code| {
        let bundle = Bundle::sh(&format!("kill -{signal} $$"));
        (bundle.edit(|config| integration::config::drop_namespace(config, "pid")), code)
    };
    let mut endings: Vec<_> = (0..10).map(|_| (Bundle::new(), 0)).collect();
    endings.extend([(Bundle::new().args(&["false"]), 1), sh("exit 7", 7), sh("exit 255", 255)]);
    endings.extend([signalled("TERM", 143), signalled("KILL", 137), signalled("USR1", 138)]);
    endings
}

#[test]
fn no_run_of_a_short_program_hangs() {
    needs_root!();
    let each = rounds(2000, 20000) / 2;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let endings = endings();
                for round in 0..each {
                    let (bundle, expected) = &endings[round % endings.len()];
                    // The configuration is written once: that takes longer than a run.
                    let mut command = match round < endings.len() {
                        true => bundle.command_for_bundle(&["run"]),
                        false => bundle.command(&["run", "--bundle"]),
                    };
                    if round >= endings.len() {
                        command.arg(bundle.directory()).arg(bundle.id());
                    }
                    assert_eq!(ends(&mut quiet(command)), *expected, "round {round}");
                }
            });
        }
    });
}

/// A program that ends with status 9 once a file is there, which is in a directory that it sees.
struct Awaited {
    bundle: Bundle,
    directory: tempfile::TempDir,
}

impl Awaited {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().to_str().unwrap();
        let bundle = Bundle::sh("until [ -e /wait/end ]; do sleep 0.002; done; exit 9");
        Self { bundle: bundle.mount("/wait", "bind", source, &["bind"]), directory }
    }

    /// Runs it, and returns as soon as the run holds signals back: before, they would be its own end.
    fn run(&self) -> Child {
        let file = self.directory.path().join("end");
        assert!(std::fs::remove_file(&file).is_ok() || !file.exists());
        let mut child = quiet(self.bundle.command_for_bundle(&["run"]));
        let begin = Instant::now();
        while !holds_signals_back(&child) {
            assert!(child.try_wait().unwrap().is_none(), "the run ends by itself");
            assert!(begin.elapsed() < LIMIT || child.kill().is_err(), "run does not begin");
            std::thread::sleep(Duration::from_micros(300));
        }
        child
    }

    /// Lets the program end.
    fn end(&self) {
        std::fs::write(self.directory.path().join("end"), "").unwrap();
    }
}

/// Sends signals to a run as fast as they go, about 1000 in a second, until it ends: after some of them,
/// for its program is let go then.
fn pester(awaited: &Awaited, child: &mut Child, signals: &[Signal]) -> (i32, usize) {
    let pid = Pid::from_raw(child.id().cast_signed());
    let begin = Instant::now();
    let mut sent = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (code(status), sent);
        }
        assert!(begin.elapsed() < LIMIT || child.kill().is_err(), "run hangs");
        kill(pid, signals[sent % signals.len()]).unwrap();
        sent += 1;
        if sent == ENOUGH {
            awaited.end();
        }
        std::thread::sleep(Duration::from_micros(900));
    }
}

#[test]
fn a_run_in_a_storm_of_signals_ends_as_its_program() {
    needs_root!();
    peers_differ!("runc", "dies of a signal that comes before it handles them");
    peers_differ!("crun", "dies of a signal that comes before it handles them");
    use Signal::{SIGALRM, SIGCHLD, SIGCONT, SIGURG, SIGUSR2, SIGWINCH};
    let awaited = Awaited::new();
    for round in 0..rounds(60, 1000) {
        let signals: &[Signal] = match round % 3 {
            0 => &[SIGCHLD],
            1 => &[SIGWINCH, SIGURG, SIGCONT],
            _ => &[SIGCHLD, SIGUSR2, SIGALRM],
        };
        let mut child = awaited.run();
        // The first process of a pid namespace has no default actions.
        let (status, sent) = pester(&awaited, &mut child, signals);
        assert_eq!(status, 9, "round {round}: {signals:?}");
        assert!(sent >= ENOUGH, "round {round}: only {sent} signals were sent");
    }
}

fn holds_signals_back(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let text = status.unwrap_or_default();
    let blocked = text.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or_default();
    // All but KILL, STOP and 32, which a C library keeps to itself: with it too, they are held back for a
    // moment only, by the library.
    blocked.trim().ends_with("7ffbfeff")
}

#[test]
fn every_signal_to_run_arrives_and_its_end_is_told() {
    needs_root!();
    // It dies of the signal itself: outside of a pid namespace that is possible.
    let bundle =
        Bundle::sleeping().edit(|config| integration::config::drop_namespace(config, "pid"));
    for (signal, expected) in [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
        (Signal::SIGHUP, 129),
        (Signal::SIGQUIT, 131),
        (Signal::SIGUSR1, 138),
        (Signal::SIGALRM, 142),
    ] {
        for _ in 0..rounds(3, 30) {
            let mut child = quiet(bundle.command_for_bundle(&["run"]));
            let runs = || bundle.call(&["state", bundle.id()]).stdout.contains("running");
            assert!(until(runs));
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            assert_eq!(ends(&mut child), expected, "{signal}");
        }
    }
}

#[test]
fn no_signal_to_run_is_lost() {
    needs_root!();
    const COUNT: usize = 200;
    // Each is answered before the next one is sent: two of a kind that wait are one for the kernel.
    let script = format!(
        "n=0; trap 'n=$((n+1)); echo $n' USR1; trap 'exit 3' TERM; echo 0
        while [ $n -lt {COUNT} ]; do sleep 0.001; done; while :; do sleep 0.01; done"
    );
    let bundle = Bundle::sh(&script);
    let mut command = bundle.command_for_bundle(&["run"]);
    let out = integration::outcome::temporary();
    command.stdout(out.try_clone().unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    for number in 0..COUNT {
        let told = || integration::outcome::text(&out).lines().count() > number;
        assert!(until(told), "signal {number} is lost");
        kill(pid, Signal::SIGUSR1).unwrap();
    }
    assert!(until(|| integration::outcome::text(&out).lines().count() > COUNT));
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(ends(&mut child), 3);
}
