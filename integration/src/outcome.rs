//! Commands with a deadline, and what came of them.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A command that takes longer hangs.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit status, or 128 and the signal.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Asserts that it succeeded; returns its standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// Asserts that it failed by itself and said so; returns what it said.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(self.code > 0 && self.code <= 128 || self.code == 255, "{self:#?}");
        assert!(!self.stderr.trim().is_empty(), "no message: {self:#?}");
        self.stderr
    }
}

/// Runs a command to its end. Its output goes through files, so that a container that it leaves behind
/// does not hold the reader up.
#[track_caller]
pub fn finish(command: &mut Command) -> Outcome {
    let (out, err) = (temporary(), temporary());
    finish_into(command, &out, &err, &mut || {})
}

/// The same into files that outlive the call, doing something over and over meanwhile.
#[track_caller]
pub fn finish_into(
    command: &mut Command,
    out: &File,
    err: &File,
    meanwhile: &mut dyn FnMut(),
) -> Outcome {
    let clone = |file: &File| file.try_clone().expect("dup");
    command.stdout(clone(out)).stderr(clone(err));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status =
        wait(&mut child, meanwhile).unwrap_or_else(|| panic!("hangs: {command:?}: {}", text(err)));
    Outcome { code: code(status), stdout: text(out), stderr: text(err) }
}

/// The exit status in the way of a shell.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().expect("exited or signalled"))
}

/// Runs a command to its end, or kills it, whatever comes of it.
pub fn attempt(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        wait(&mut child, &mut || {});
    }
}

fn wait(child: &mut Child, meanwhile: &mut dyn FnMut()) -> Option<ExitStatus> {
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        meanwhile();
        sleep(Duration::from_millis(1));
    }
    child.kill().expect("kill of a child of ours");
    child.wait().expect("a child of ours");
    None
}

/// A file without a name for both reading and writing.
pub fn temporary() -> File {
    tempfile::tempfile().expect("a temporary file")
}

/// All that is in the file, leaving the offset that its writers share alone.
pub fn text(file: &File) -> String {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("a readable file");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The same command, by a caller who has these descriptors open and not close-on-exec.
pub fn leaking(redirections: &str, inner: &Command) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {redirections}; exec \"$@\""), "bash"]);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    command
}

/// Waits until it is so; false if that takes too long.
pub fn until(mut so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        if so() {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}
