//! Callers in odd states: what a process inherits from the one that calls the runtime. Each verb either
//! fails and says why, with nothing left, or does what it does for any caller: the container has the same
//! fingerprint but for what it inherits by design.

use std::process::{Command, Stdio};

use integration::fingerprint::diff;
use integration::{Bundle, Fingerprint, Outcome, needs_root, peers_differ};

use crate::fingerprints::confined;

/// A caller: a script that is run before the runtime is executed, and what the container inherits by
/// design: lines of a fingerprint that begin so.
struct Caller {
    script: &'static str,
    inherited: &'static [&'static str],
    /// Whether a verb may fail for this caller.
    may_fail: bool,
}

/// One for whom everything must go well.
const fn caller(script: &'static str, inherited: &'static [&'static str]) -> Caller {
    Caller { script, inherited, may_fail: false }
}

/// One who takes away what the runtime needs.
const fn poor(script: &'static str) -> Caller {
    Caller { script, inherited: &["limits: "], may_fail: true }
}

/// Executes the runtime in a chroot where everything is mounted once more.
const IN_CHROOT: &str = "d=$(mktemp -d -p /tmp tare-chroot-XXXXXX); trap 'rmdir $d' EXIT; \
    set -- unshare --mount --propagation slave \
    sh -c 'd=$1; shift; mount --rbind / $d; exec chroot $d \"$@\"' sh $d \"$@\"; \"$@\"; exit $?";

const CALLERS: &[Caller] = &[
    caller("umask 0", &[]),
    caller("umask 0777", &[]),
    caller("d=$(mktemp -d); cd $d; rmdir $d", &[]),
    caller("exec 0<&-", &["descriptor 0: "]),
    caller("exec 0<&- 1>&- 2>&-", &["descriptor "]),
    caller("exec 3</etc 4</ 8</dev/null 9</proc", &[]),
    caller("trap '' HUP INT QUIT TERM CHLD PIPE USR1 USR2 ALRM TSTP TTIN TTOU XFSZ", &[]),
    caller("set -- env --ignore-signal \"$@\"", &[]),
    caller("set -- env --block-signal \"$@\"", &[]),
    caller("ulimit -c unlimited", &[]),
    caller("ulimit -u 0", &["limits: "]),
    caller("set -- prlimit --sigpending=0 --memlock=0 --msgqueue=0 \"$@\"", &["limits: "]),
    caller("set -- nice -n 5 \"$@\"", &["nice: "]),
    caller("set -- chrt --batch 0 \"$@\"", &["policy: "]),
    caller("set -- taskset 1 \"$@\"", &["Cpus_allowed: "]),
    caller("echo 300 >/proc/self/oom_score_adj", &[]),
    caller("echo 0x7f >/proc/self/coredump_filter", &["coredump_filter: "]),
    caller("set -- setarch --addr-no-randomize \"$@\"", &["personality: "]),
    caller("set -- setpriv --groups 7,8,9 \"$@\"", &[]),
    caller("set -- setpriv --inh-caps +chown,+kill --ambient-caps +chown,+kill \"$@\"", &[]),
    caller("set -- setpriv --no-new-privs \"$@\"", &[]),
    caller("set -- setpriv --pdeathsig TERM \"$@\"", &[]),
    caller(IN_CHROOT, &["descriptor 0: "]),
    caller("set -- setsid \"$@\"", &[]),
    poor("ulimit -n 3"),
    poor("ulimit -n 4"),
    poor("ulimit -n 5"),
    poor("ulimit -n 6"),
    poor("ulimit -n 7"),
    poor("ulimit -n 8"),
    poor("ulimit -n 12"),
    poor("ulimit -n 16"),
    poor("ulimit -v 20000"),
    poor("ulimit -s 1024"),
    poor("set -- setpriv --bounding-set -sys_chroot,-mknod \"$@\""),
    poor("set -- setpriv --bounding-set -sys_admin \"$@\""),
    poor("set -- setpriv --bounding-set -setpcap,-kill,-setgid \"$@\""),
    poor("set -- setpriv --ruid 65534 \"$@\""),
    poor("set -- unshare --user --map-root-user --mount \"$@\""),
];

impl Caller {
    /// The command, run by this caller.
    fn calls(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{}; exec \"$@\"", self.script)).arg("sh");
        command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
        command
    }

    /// That the verb has gone well, or has failed as it may.
    #[track_caller]
    fn succeeds(&self, verb: &str, outcome: &Outcome) -> bool {
        if outcome.code == 0 {
            return true;
        }
        let who = self.script;
        assert!(self.may_fail, "{who}: {verb}: {outcome:#?}");
        assert_eq!(outcome.code, 1, "{who}: {verb}: {outcome:#?}");
        // A message has a reason: more than what was done.
        assert!(outcome.stderr.trim().len() > 40, "{who}: {verb}: {outcome:#?}");
        assert!(outcome.stderr.contains(": "), "{who}: {verb}: {outcome:#?}");
        false
    }

    #[track_caller]
    fn compare(&self, verb: &str, usual: &Fingerprint, bundle: &Bundle) {
        let found = diff(usual, &Fingerprint::of(bundle.process(), bundle));
        let inherited = |line: &&String| self.inherited.iter().any(|name| line.starts_with(name));
        let strange: Vec<_> = found.iter().filter(|line| !inherited(line)).collect();
        assert!(strange.is_empty(), "{}: {verb}: {strange:#?}", self.script);
    }
}

/// Creates, or creates and starts, for an odd caller; `usual` is what it is for others.
fn makes(caller: &Caller, verb: &str, usual: &Fingerprint) {
    let bundle = confined();
    let inner = match verb {
        "run" => bundle.command_for_bundle(&["run", "--detach"]),
        _ => bundle.command_for_bundle(&["create"]),
    };
    let outcome = bundle.create_by(&mut caller.calls(&inner));
    if !caller.succeeds(verb, &outcome) {
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{}: {verb}", caller.script);
        return;
    }
    if verb == "create" {
        bundle.start().ok();
    }
    caller.compare(verb, usual, &bundle);
}

/// Does with a container that others have made what an odd caller does with it.
fn handles(caller: &Caller, usual: &Fingerprint) {
    let bundle = confined();
    let process = bundle.created();
    let call = |args: &[&str]| bundle.finish(&mut caller.calls(&bundle.command(args)));
    if caller.succeeds("start", &call(&["start", bundle.id()])) {
        caller.compare("start", usual, &bundle);
    } else {
        assert_eq!(bundle.status(), "created", "{}", caller.script);
        bundle.start().ok();
    }
    if caller.succeeds("kill", &call(&["kill", bundle.id(), "KILL"])) {
        assert_eq!(bundle.wait(process), 137);
    } else {
        // The signal may have been sent: that a frozen container is thawed takes more.
        bundle.kill("KILL");
        bundle.wait(process);
    }
    if !caller.succeeds("delete", &call(&["delete", bundle.id()])) {
        assert_eq!(bundle.status(), "stopped", "{}", caller.script);
        bundle.delete().ok();
    }
    assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{}", caller.script);
}

#[test]
fn odd_callers_get_the_same_container_or_a_reason() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes cgroups of mode 000 with the umask 0777");
    peers_differ!("crun", "1.8.1 makes cgroups of mode 000 with the umask 0777");
    let bundle = confined();
    let usual = Fingerprint::of(bundle.started(), &bundle);
    drop(bundle);
    for caller in CALLERS {
        makes(caller, "create", &usual);
        makes(caller, "run", &usual);
        handles(caller, &usual);
    }
}

/// Here the message goes into pipes: a file could not take it.
#[test]
fn a_caller_that_may_write_no_file_is_told() {
    needs_root!();
    peers_differ!("runc", "1.1.5 fails without the reason");
    peers_differ!("crun", "1.8.1 is killed by SIGXFSZ");
    let caller = poor("ulimit -f 0");
    let bundle = confined();
    let is_told = |command: &Command| {
        let output = caller.calls(command).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("file too large"), "{command:?}: {said}");
    };
    for verb in ["create", "run"] {
        is_told(&bundle.command_for_bundle(&[verb]));
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{verb}");
    }
    let process = bundle.created();
    is_told(&bundle.command(&["start", bundle.id()]));
    assert_eq!(bundle.status(), "created");
    // These write nothing.
    let call = |args: &[&str]| bundle.finish(&mut caller.calls(&bundle.command(args)));
    call(&["kill", bundle.id(), "KILL"]).ok();
    assert_eq!(bundle.wait(process), 137);
    call(&["delete", bundle.id()]).ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}
