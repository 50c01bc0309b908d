//! The loop of waitpid(2) and ptrace(2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libc::{
    CLONE_PARENT, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_FORK, PTRACE_EVENT_STOP,
    PTRACE_EVENT_VFORK,
};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

use super::registers;
use super::{Action, Call, Role, Supervisor};

/// After what time a command hangs: each of its calls waits twice for this process, and on a machine with
/// other work to do that takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of the calls in front of the command's own: a shell that waits until it is traced, and becomes it.
const SHELL: &str = "read -r go && exec \"$@\" < /dev/null";

/// A process that is traced.
#[derive(Debug)]
struct Tracee {
    role: Role,
    /// How many calls it has begun.
    calls: usize,
    /// The call that it is in.
    inside: Option<&'static str>,
    /// What that shall return, if it is not made.
    result: Option<i64>,
    /// How many programs it is to execute before it is somebody else's.
    programs: usize,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Traced {
    pub(super) code: i32,
    pub(super) calls: Vec<Call>,
    pub(super) interfered: Vec<String>,
    pub(super) processes: Vec<Pid>,
    pub(super) hung: bool,
}

/// The processes of a command, and what is made of their calls.
pub(super) struct Tracer<'a> {
    root: Pid,
    tracees: BTreeMap<Pid, Tracee>,
    /// Children whose parent has not told of them yet.
    early: BTreeSet<Pid>,
    /// Those that were told to stop, to be let go.
    leaving: bool,
    root_ended: bool,
    hooks: usize,
    /// Whether the runtime's next child is a hook.
    has_init: bool,
    only: Option<Role>,
    watched: Arc<Mutex<BTreeSet<Pid>>>,
    decide: &'a mut (dyn FnMut(&Call) -> Action + Send),
    traced: Traced,
}

impl<'a> Tracer<'a> {
    /// Starts the command and follows it to its end.
    #[expect(clippy::zombie_processes, reason = "the tracer waits for it, as for all tracees")]
    pub(super) fn run(
        supervisor: &Supervisor<'_>,
        files: [&File; 2],
        decide: &'a mut (dyn FnMut(&Call) -> Action + Send),
    ) -> Traced {
        let command = supervisor.command;
        let mut shell = behind_a_shell(command, files).spawn().expect("sh");
        let root = Pid::from_raw(shell.id().cast_signed());
        let mut tracer = Self {
            root,
            tracees: BTreeMap::new(),
            early: BTreeSet::new(),
            leaving: false,
            root_ended: false,
            hooks: 0,
            has_init: !command.get_args().any(|word| word == "create" || word == "run"),
            only: supervisor.only,
            watched: Arc::default(),
            decide,
            traced: Traced::default(),
        };
        if let Some(init) = supervisor.at_gate {
            ptrace::seize(init, options()).expect("PTRACE_SEIZE of init");
            ptrace::interrupt(init).expect("PTRACE_INTERRUPT");
            tracer.add(init, Role::Init, 1);
            // It is on its way to the gate or at it, and sets out for it again.
            tracer.take(waitpid(init, Some(WaitPidFlag::__WALL)).expect("a tracee"));
        }
        ptrace::seize(root, options()).expect("PTRACE_SEIZE");
        tracer.add(root, Role::Runtime, 0);
        let alarm = watch(Arc::clone(&tracer.watched));
        shell.stdin.take().expect("it is piped").write_all(b"go\n").expect("write");
        tracer.follow();
        // It says whether it has killed.
        tracer.traced.hung = alarm.send(()).is_err();
        tracer.traced
    }

    fn add(&mut self, pid: Pid, role: Role, programs: usize) {
        let tracee = Tracee { role, calls: 0, inside: None, result: None, programs };
        self.tracees.insert(pid, tracee);
        self.traced.processes.push(pid);
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    }

    fn remove(&mut self, pid: Pid) {
        self.tracees.remove(&pid);
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }

    fn follow(&mut self) {
        while !(self.root_ended && self.tracees.is_empty()) {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(status) => self.take(status),
                Err(Errno::EINTR) => {}
                Err(errno) => panic!("waitpid: {errno}: {:?}", self.tracees),
            }
            // Everybody who is left waits for somebody who does not come before the next command.
            if self.root_ended
                && !self.leaving
                && self.tracees.values().all(|tracee| self.waits(tracee))
            {
                self.leave();
            }
        }
    }

    fn waits(&self, tracee: &Tracee) -> bool {
        tracee.inside == Some("accept4") || !self.is_followed(tracee.role)
    }

    fn is_followed(&self, role: Role) -> bool {
        self.only.is_none_or(|only| only == role)
    }

    /// Lets all go: at their next stop, and who is blocked is stopped for it if nobody else goes on.
    fn leave(&mut self) {
        self.leaving = true;
        for pid in self.tracees.keys() {
            // It may have ended.
            ptrace::interrupt(*pid).ok();
        }
        self.leave_early();
    }

    /// Lets those go whose parent may have been killed before it could tell of them.
    fn leave_early(&mut self) {
        while self.leaving
            && let Some(pid) = self.early.pop_first()
        {
            ptrace::detach(pid, None).ok();
            self.traced.processes.push(pid);
        }
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.ended(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.ended(pid, 128 + signal as i32),
            WaitStatus::PtraceSyscall(pid) => self.at_call(pid),
            WaitStatus::PtraceEvent(pid, _, event) => self.at_event(pid, event),
            WaitStatus::Stopped(pid, signal) => self.at_signal(pid, signal),
            _ => {}
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        self.remove(pid);
        if pid == self.root {
            self.traced.code = code;
            self.root_ended = true;
        }
    }

    /// Goes on to the next stop, or for good.
    fn resume(&mut self, pid: Pid, signal: Option<Signal>) {
        // ESRCH: it was killed meanwhile, which waitpid(2) tells next.
        if self.leaving {
            if ptrace::detach(pid, signal) == Ok(()) && pid != self.root {
                self.remove(pid);
            }
        } else if self.tracees.get(&pid).is_some_and(|tracee| !self.is_followed(tracee.role)) {
            ptrace::cont(pid, signal).ok();
        } else {
            ptrace::syscall(pid, signal).ok();
        }
    }

    fn at_signal(&mut self, pid: Pid, signal: Signal) {
        let by_itself = [Signal::SIGBUS, Signal::SIGSEGV, Signal::SIGILL, Signal::SIGFPE];
        if by_itself.contains(&signal) && pid != self.root {
            // The first process of a pid namespace does not die of it as long as it is traced.
            ptrace::detach(pid, signal).ok();
            return self.remove(pid);
        }
        self.resume(pid, Some(signal));
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        match event {
            PTRACE_EVENT_STOP if !self.tracees.contains_key(&pid) => {
                self.early.insert(pid);
                return self.leave_early();
            }
            PTRACE_EVENT_CLONE | PTRACE_EVENT_FORK | PTRACE_EVENT_VFORK => self.born(pid),
            PTRACE_EVENT_EXEC => {
                if pid == self.root && is_shell(pid) {
                    // It may have been seized a moment before it was one.
                    ptrace::cont(pid, None).ok();
                    return;
                }
                if let Some(tracee) = self.tracees.get_mut(&pid) {
                    // It leaves the call that executed the program.
                    tracee.inside = Some("execve");
                    tracee.programs = tracee.programs.saturating_sub(1);
                    if tracee.programs == 0 && pid != self.root {
                        ptrace::detach(pid, None).ok();
                        return self.remove(pid);
                    }
                }
            }
            _ => {}
        }
        self.resume(pid, None);
    }

    fn born(&mut self, parent: Pid) {
        let Ok(child) = ptrace::getevent(parent) else { return };
        let child = Pid::from_raw(i32::try_from(child).expect("a pid"));
        if self.traced.processes.contains(&child) {
            // It was let go before its parent told of it.
            return;
        }
        let (role, programs) = match self.tracees.get(&parent).map(|tracee| tracee.role) {
            Some(Role::Runtime) if !std::mem::replace(&mut self.has_init, true) => (Role::Init, 2),
            Some(Role::Runtime) => (self.next_hook(), 2),
            _ if makes_sibling(parent) => (Role::SecondStage, 1),
            _ => (self.next_hook(), 1),
        };
        self.add(child, role, programs);
        if self.early.remove(&child) {
            self.resume(child, None);
        }
    }

    fn next_hook(&mut self) -> Role {
        self.hooks += 1;
        Role::Hook(self.hooks - 1)
    }

    fn at_call(&mut self, pid: Pid) {
        let Some(tracee) = self.tracees.get_mut(&pid) else { return self.resume(pid, None) };
        // Each call stops twice.
        if tracee.inside.take().is_some() {
            if let Some(result) = tracee.result.take() {
                registers::put_result(pid, result).ok();
            }
            return self.resume(pid, None);
        }
        // An error says that it was killed.
        let (false, Ok((number, arguments))) = (self.leaving, registers::entered(pid)) else {
            return self.resume(pid, None);
        };
        let number = usize::try_from(number).ok().and_then(Sysno::new);
        let name = number.map_or("a call without a name", |number| number.name());
        tracee.inside = Some(name);
        if name == "brk" {
            // How often the heap grows depends on where it lies, which is random.
            return self.resume(pid, None);
        }
        tracee.calls += 1;
        let call = Call { role: tracee.role, index: tracee.calls, name, arguments, pid };
        let action = (self.decide)(&call);
        match &action {
            Action::Make => {}
            Action::Return(result) => {
                registers::skip(pid).ok();
                tracee.result = Some(*result);
            }
            Action::Kill(roles) => self.kill(roles),
        }
        if action != Action::Make {
            self.traced.interfered.push(format!("{call}: {action:?}"));
        }
        self.traced.calls.push(call);
        self.resume(pid, None);
    }

    fn kill(&mut self, roles: &[Role]) {
        for (pid, tracee) in &self.tracees {
            if roles.contains(&tracee.role) {
                // It may have ended by itself.
                kill(*pid, Signal::SIGKILL).ok();
            }
        }
        self.leave();
    }
}

/// Whether the process is in a clone3(2) with `CLONE_PARENT`.
fn makes_sibling(pid: Pid) -> bool {
    let flags = registers::entered(pid).and_then(|(number, arguments)| match number {
        number if number == Sysno::clone3 as u64 => registers::word(pid, arguments[0]),
        _ => Ok(0),
    });
    flags.unwrap_or(0) & u64::from(CLONE_PARENT.cast_unsigned()) != 0
}

fn is_shell(pid: Pid) -> bool {
    let file = |path: &str| metadata(path).map(|data| (data.dev(), data.ino())).ok();
    file(&format!("/proc/{pid}/exe")) == file("/bin/sh")
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL
}

/// The command, as it is executed by a shell which is traced by then.
fn behind_a_shell(command: &Command, files: [&File; 2]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SHELL, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let [out, err] = files.map(|file| file.try_clone().expect("dup"));
    shell.stdin(Stdio::piped()).stdout(out).stderr(err);
    shell
}

/// Kills the processes unless it is told within the deadline that they have ended.
fn watch(watched: Arc<Mutex<BTreeSet<Pid>>>) -> Sender<()> {
    let (alarm, told) = mpsc::channel();
    std::thread::spawn(move || {
        if told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            drop(told);
            for pid in watched.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                kill(*pid, Signal::SIGKILL).ok();
            }
        }
    });
    alarm
}
