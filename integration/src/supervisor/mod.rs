//! Runs a command of the runtime under ptrace(2), and interferes: a process is killed at a system call, or
//! a call fails or pretends, without being made.
//!
//! The calls of each process are numbered by themselves. How those of the runtime and of init interleave
//! differs from run to run; the sequence of each does not, so that `call 87 of init: move_mount` names the
//! same moment in the next run. The user's program and the programs of hooks are let go as they are executed.
//!
//! Registers are those of x86_64: on aarch64 a call can only be skipped by a request that nix has not.

mod registers;
mod tracer;

use std::fmt;
use std::fs::{self, File};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::outcome::{Outcome, temporary, text};
use crate::process::Process;
use tracer::Tracer;

/// Which of a command's processes it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The command itself.
    Runtime,
    /// The container's init, or its first stage if there are two.
    Init,
    /// The second stage.
    SecondStage,
    /// The one that becomes a hook's program; they are counted from 0.
    Hook(usize),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime => write!(f, "the runtime"),
            Self::Init => write!(f, "init"),
            Self::SecondStage => write!(f, "the second stage"),
            Self::Hook(number) => write!(f, "hook {number}"),
        }
    }
}

/// A system call that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose it is.
    pub role: Role,
    /// Which call of this process, from 1.
    pub index: usize,
    /// Its name.
    pub name: &'static str,
    /// Its arguments, as the registers have them.
    pub arguments: [u64; 6],
    pid: Pid,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} of {}: {}", self.index, self.role, self.name)
    }
}

impl Call {
    /// What the descriptor is open on that is the first argument. Only while the call is being decided.
    pub fn file(&self) -> String {
        // The registers have it with whatever is in their upper halves.
        let path = format!("/proc/{}/fd/{}", self.pid, self.arguments[0] & 0xffff_ffff);
        fs::read_link(path).map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// A word of its memory, 0 if there is none. Only while the call is being decided.
    pub fn word(&self, address: u64) -> u64 {
        registers::word(self.pid, address).unwrap_or(0)
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Make,
    /// It is not made, and returns this.
    Return(i64),
    /// These are killed before it is made, as far as they are there. The others are let go.
    Kill(Vec<Role>),
}

impl Action {
    /// It is not made, and fails.
    pub fn fail(errno: Errno) -> Self {
        Self::Return(-i64::from(errno as i32))
    }
}

/// What came of a supervised command.
#[derive(Debug)]
pub struct Supervised {
    /// As of any command. The code is 137 if the command was killed.
    pub outcome: Outcome,
    /// The calls of all processes, in the order in which they were made.
    pub calls: Vec<Call>,
    /// Those that were not made or that somebody was killed at, with what was done.
    pub interfered: Vec<String>,
    processes: Vec<Pid>,
}

impl Supervised {
    /// The calls of one process.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.role == role)
    }

    /// Takes note of the end of those whose parent was killed: they are children of this process by now.
    pub fn reap(&self) {
        for process in &self.processes {
            // ECHILD: it was somebody else's.
            waitpid(*process, Some(WaitPidFlag::WNOHANG)).ok();
        }
    }

    /// Who made calls.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.calls.iter().map(|call| call.role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// A command to be supervised.
#[derive(Debug)]
pub struct Supervisor<'a> {
    command: &'a Command,
    at_gate: Option<Pid>,
    only: Option<Role>,
}

impl<'a> Supervisor<'a> {
    /// The command, with all that it starts.
    pub fn of(command: &'a Command) -> Self {
        Self { command, at_gate: None, only: None }
    }

    /// For `start`: an init that stands at the gate. Its calls are seen from accept(2) on.
    #[must_use]
    pub fn with(self, init: Process) -> Self {
        Self { at_gate: Some(Pid::from_raw(init.0)), ..self }
    }

    /// The calls of this process alone, which is faster.
    #[must_use]
    pub fn only(self, role: Role) -> Self {
        Self { only: Some(role), ..self }
    }

    /// Runs the command and decides on each of its calls. Returns when it has ended, and init has too, is
    /// at the gate, or executes the user's program.
    #[track_caller]
    pub fn run(self, mut decide: impl FnMut(&Call) -> Action + Send) -> Supervised {
        let (out, err) = (temporary(), temporary());
        let files: [&File; 2] = [&out, &err];
        // A tracer is a thread, and waits for its tracees alone if it is a thread of its own.
        let (supervisor, decide) = (&self, &mut decide);
        let traced = std::thread::scope(|scope| {
            let tracer = scope.spawn(move || Tracer::run(supervisor, files, decide));
            tracer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let command = self.command;
        assert!(!traced.hung, "hangs: {command:?}: {:?}: {}", traced.interfered, text(&err));
        Supervised {
            outcome: Outcome { code: traced.code, stdout: text(&out), stderr: text(&err) },
            calls: traced.calls,
            interfered: traced.interfered,
            processes: traced.processes,
        }
    }
}
