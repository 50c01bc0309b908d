//! Runs hooks (runtime-spec, config.md, "POSIX-platform Hooks").
//!
//! Those of the caller's namespaces are executed by init, with a plan of its own: so a hook has the standard
//! streams and no other descriptor, exactly the environment that it is configured with, a session of its
//! own, and costs the same however large the caller is. Those of the container's namespaces are
//! executed by the container's init, to which the host side hands the standard streams. A deadline is a
//! kill of the whole process group, and nobody waits for grandchildren that keep the output open.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use syscalls::Sysno;

use super::conversation::say_continue;
use super::executable::{Executable, data_flag, sealed};
use super::output::Output;
use super::serve::execute;
use super::spawn::{Streams, spawn};
use crate::container::ExitStatus;
use crate::error::{Error, ErrorKind, Result, errno_text};
use crate::plan::protocol::{Cause, Fault, Kind, Message};
use crate::plan::{Hook, HookKind, Plan, call, explain_hook};
use crate::state::Intent;
use crate::sys::probe::memfd_exec;

/// The hooks of a container, and what it takes to run them.
#[derive(Debug)]
pub(crate) struct Hooks<'a> {
    intent: &'a Intent,
    /// What runs those of the caller's namespaces.
    executable: Option<Executable>,
}

/// The state of a container as hooks and agents read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl<'a> State<'a> {
    pub(super) fn new(intent: &'a Intent, status: &'a str, pid: Option<i32>) -> Self {
        Self {
            oci_version: &intent.oci_version,
            id: &intent.id,
            status,
            pid,
            bundle: &intent.bundle,
            annotations: &intent.annotations,
        }
    }
}

impl<'a> Hooks<'a> {
    /// Prepares to run hooks of these kinds. `directory` is the container's in the state root.
    pub(crate) fn prepare(
        intent: &'a Intent,
        kinds: &[HookKind],
        directory: BorrowedFd<'_>,
    ) -> Result<Self> {
        let wanted = intent.hooks.iter().any(|hook| kinds.contains(&hook.kind));
        let executable = wanted.then(|| Executable::new(memfd_exec(), directory)).transpose()?;
        Ok(Self { intent, executable })
    }

    /// Runs those of one kind in the caller's namespaces, up to the first that fails.
    pub(crate) fn run(&self, kind: HookKind, pid: Option<i32>) -> Result<()> {
        self.of(kind).try_for_each(|hook| self.run_one(hook, pid))
    }

    /// Runs those of one kind, all of them, and returns how they failed.
    pub(crate) fn run_all(&self, kind: HookKind) -> Vec<Error> {
        self.of(kind).filter_map(|hook| self.run_one(hook, None).err()).collect()
    }

    fn of(&self, kind: HookKind) -> impl Iterator<Item = &Hook> {
        self.intent.hooks.iter().filter(move |hook| hook.kind == kind)
    }

    fn run_one(&self, hook: &Hook, pid: Option<i32>) -> Result<()> {
        let (mut output, [out, err]) = Output::pipes()?;
        let stdio = [self.stdin(hook, pid)?, out, err];
        let plan = Plan::of_hook(hook, &self.intent.bundle)?;
        let deadline = hook.deadline();
        let streams = Streams { gate: None, stdio: Some(&stdio), cgroup: None };
        let unprepared = || Error::new(ErrorKind::Internal, format!("{hook} was not prepared"));
        let executable = self.executable.as_ref().ok_or_else(unprepared)?;
        let mut init = spawn(&plan, executable, &streams)?;
        drop(stdio);
        execute(&mut init, &plan).map_err(|error| failed(hook, &error.to_string()))?;
        if !output.take_until(init.pidfd()?, deadline)? {
            init.kill_group();
            init.end()?;
            return Err(failed(hook, &late(hook)));
        }
        match init.end()? {
            ExitStatus::Exited(0) => Ok(()),
            ExitStatus::Exited(status) => Err(failed(hook, &exited(status, output))),
            ExitStatus::Signaled(signal) => Err(failed(hook, &killed(signal, output))),
        }
    }

    /// What the container's init needs to run a hook: the standard streams, and where the output comes
    /// from.
    fn streams(&self, number: u32, pid: i32) -> Result<(Output, [OwnedFd; 3])> {
        // As the hook sees it.
        let pid = if self.intent.own_pid_namespace { 1 } else { pid };
        let (output, [out, err]) = Output::pipes()?;
        Ok((output, [self.stdin(self.numbered(number)?, Some(pid))?, out, err]))
    }

    fn numbered(&self, number: u32) -> Result<&Hook> {
        let hook = usize::try_from(number).ok().and_then(|number| self.intent.hooks.get(number));
        hook.ok_or_else(|| Error::new(ErrorKind::Internal, format!("there is no hook {number}")))
    }

    /// Why the container's init says that a hook failed.
    fn explain(&self, number: u32, fault: Fault, output: Output) -> Option<Error> {
        let hook = self.numbered(number).ok()?;
        let status = i32::try_from(fault.errno).unwrap_or(0);
        let why = match fault.cause {
            cause if cause == Cause::HookExited as u32 => exited(status, output),
            cause if cause == Cause::HookKilled as u32 => killed(status, output),
            cause if cause == Cause::HookTimeout as u32 => late(hook),
            // As the host side's hooks say it.
            _ if call(fault) == Some(Sysno::execve) => {
                format!("exec: {:?}: {}", hook.path.display(), errno_text(status))
            }
            // It did not come to the program.
            _ => explain_hook(fault).to_string(),
        };
        Some(failed(hook, &why))
    }

    /// The state on the standard input: a sealed file, so that a hook which does not read it is no trouble.
    fn stdin(&self, hook: &Hook, pid: Option<i32>) -> Result<OwnedFd> {
        let state = State::new(self.intent, hook.kind.status(), pid);
        let state = serde_json::to_vec(&state)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("state for {hook}: {e}")))?;
        let file = sealed(c"tare-state", &state, data_flag())?;
        // Its position is at the end; one that is opened again reads from the beginning.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let reader = File::open(&path).map_err(|e| Error::io(format!("open {path}"), &e))?;
        Ok(reader.into())
    }
}

/// The hook that the container's init runs at the moment: what `create` and `start` do about it.
#[derive(Debug, Default)]
pub(super) struct Running(Option<Begun>);

/// A hook that has been given its standard streams.
#[derive(Debug)]
struct Begun {
    number: u32,
    /// Init's operation, which tells whether a failure is the hook's or that of something behind it.
    operation: u32,
    output: Output,
}

impl Running {
    /// Takes in what the hook writes, until init says something.
    pub(super) fn attend(&mut self, init: BorrowedFd<'_>) -> Result<()> {
        match &mut self.0 {
            Some(hook) => hook.output.take_until(init, None).map(drop),
            None => Ok(()),
        }
    }

    /// Gives init the standard streams of a hook, of which it says the number in this operation.
    pub(super) fn begin(
        &mut self,
        init: BorrowedFd<'_>,
        hooks: &Hooks<'_>,
        (number, operation): (u32, u32),
        pid: i32,
    ) -> Result<()> {
        let (output, streams) = hooks.streams(number, pid)?;
        say_continue(init, &streams.each_ref().map(AsRawFd::as_raw_fd))?;
        self.0 = Some(Begun { number, operation, output });
        Ok(())
    }

    /// Why init says that the hook failed. `None`: it says something else.
    pub(super) fn explain(&mut self, hooks: &Hooks<'_>, message: &Message) -> Option<Error> {
        let hook = self.0.take()?;
        let is_its = message.kind == Kind::Failed as u32 && message.a == hook.operation;
        if is_its { hooks.explain(hook.number, message.fault, hook.output) } else { None }
    }
}

fn failed(hook: &Hook, why: &str) -> Error {
    Error::new(ErrorKind::Hook, format!("error running {hook}: {why}"))
        .with_property(hook.property())
}

fn late(hook: &Hook) -> String {
    let timeout = hook.timeout.unwrap_or(Duration::ZERO).as_secs_f64();
    format!("hook ran past specified timeout of {timeout:.1}s")
}

fn exited(status: i32, output: Output) -> String {
    format!("exit status {status}, {}", output.into_text())
}

fn killed(signal: i32, output: Output) -> String {
    format!("signal {signal}, {}", output.into_text())
}
