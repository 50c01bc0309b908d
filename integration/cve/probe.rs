//! How a probe is put to tare, to tare on a kernel that lacks something, and to the peers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use integration::{Bundle, Kind, Outcome, Under};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

/// What came of a probe: the runtime held, or the evidence that it fell. A probe panics if it could not
/// be made, or if a runtime hangs or fails without a word.
pub(crate) type Verdict = Result<(), String>;

/// A release of a peer, and a part of the evidence that it falls.
pub(crate) type Falls = (&'static str, &'static str);

/// The system calls newer than Linux 5.10 that tare makes where the kernel has them.
pub(crate) const NEWER: [&str; 1] = ["mount_setattr"];

/// The launcher that hides system calls.
pub(crate) const ENOSYS: &str = env!("CARGO_BIN_EXE_enosys");

/// Leaves the test, with the reason printed, where tare is not the runtime under test.
macro_rules! needs_tare {
    () => {
        integration::needs_root!();
        if integration::Under::test().kind != integration::Kind::Tare {
            eprintln!("skipped: the peers are probed beside tare");
            return;
        }
    };
}
pub(crate) use needs_tare;

/// Leaves the test, with the reason printed, if there is no strace(1).
macro_rules! needs_strace {
    () => {
        if !crate::probe::has_strace() {
            eprintln!("skipped: needs strace");
            return;
        }
    };
}
pub(crate) use needs_strace;

pub(crate) fn has_strace() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// Asserts that tare holds, also without each call of [`NEWER`], and that these peers fall, so that the
/// probe is known to bite. One that is not installed is skipped, unless `PEERS_FALL=must` is in the
/// environment.
#[track_caller]
pub(crate) fn holds(probe: impl Fn() -> Verdict + Sync, falls: &[Falls]) {
    let tare = Under::test();
    assert_eq!(tare.run(&probe), Ok(()), "tare falls");
    for call in NEWER {
        let verdict = tare.below(&[ENOSYS, call]).run(&probe);
        assert_eq!(verdict, Ok(()), "tare falls without {call}");
    }
    for (release, evidence) in falls {
        let Some(peer) = Under::installed(release) else {
            let must = std::env::var_os("PEERS_FALL").is_some_and(|how| how == "must");
            assert!(!must, "{release} is not installed, so that nobody shows that the probe bites");
            eprintln!("skipped in part: {release} is not installed");
            continue;
        };
        match peer.run(&probe) {
            Err(found) => assert!(found.contains(evidence), "{release} falls otherwise: {found}"),
            Ok(()) => panic!("{release} holds: the probe bites nobody"),
        }
    }
}

/// Evidence, unless it is so.
pub(crate) fn require(so: bool, evidence: impl FnOnce() -> String) -> Verdict {
    if so { Ok(()) } else { Err(evidence()) }
}

/// Ends the container. Whatever it has left, or changed on the host, is evidence too.
pub(crate) fn ends(bundle: Bundle, verdict: Verdict) -> Verdict {
    let left = bundle.end();
    verdict.and(require(left.is_empty(), || format!("left behind: {left:#?}")))
}

/// A runtime that fails says why. Failure is right wherever nothing else is asked for.
#[track_caller]
pub(crate) fn told(outcome: &Outcome) {
    assert!(outcome.code == 0 || !outcome.stderr.trim().is_empty(), "{outcome:?}");
}

/// Runs the container: success and failure are both right, as long as nothing outside is touched.
#[track_caller]
pub(crate) fn runs(bundle: Bundle) -> Verdict {
    told(&bundle.run());
    ends(bundle, Ok(()))
}

/// The same in two steps.
#[track_caller]
pub(crate) fn starts(bundle: Bundle) -> Verdict {
    let outcome = bundle.create();
    told(&outcome);
    if outcome.code == 0 {
        told(&bundle.start());
    }
    ends(bundle, Ok(()))
}

/// Replaces what the root filesystem has at a path by a link.
pub(crate) fn link(bundle: &Bundle, at: &str, to: impl AsRef<Path>) {
    let path = bundle.rootfs(at);
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    symlink(to, path).unwrap();
}

/// A hook of `createRuntime` that does what an attacker would do in the mount namespace of the container,
/// where `$root` is the root filesystem, and writes `done` beside the bundle (oracle O3).
pub(crate) fn attacker(bundle: Bundle, script: &str) -> Bundle {
    let done = bundle.directory().join("done");
    let script = format!(
        "pid=$(tr -d '\\n' | sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); \
         nsenter -t $pid -m sh -e -c '{script}' && echo > {}",
        done.display()
    );
    let (root, decoy) = (bundle.rootfs(""), bundle.decoy());
    let env = json!([
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        format!("root={}", root.display().to_string().trim_end_matches('/')),
        format!("decoy={}", decoy.display()),
    ]);
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env });
    bundle.edit(|config| config["hooks"] = json!({ "createRuntime": [hook] }))
}

/// That the attack of [`attacker`] was made.
#[track_caller]
pub(crate) fn was_attacked(bundle: &Bundle) {
    assert!(bundle.directory().join("done").exists(), "no attack: {:?}", bundle.output());
}

/// Exchanges two paths all the time while something is done.
pub(crate) fn swapping<T>(one: &Path, other: &Path, act: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
                // Both states last, for a machine that is busy.
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        // Also if `act` panics.
        let _over = Over(&over);
        act()
    })
}

/// The command below strace(1) with these options, which writes to `trace` beside the bundle.
pub(crate) fn traced(bundle: &Bundle, options: &[&str], command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(bundle.directory().join("trace")).args(options);
    strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    strace
}

/// Whether this is the runtime.
pub(crate) fn is(kind: Kind) -> bool {
    Under::test().kind == kind
}
