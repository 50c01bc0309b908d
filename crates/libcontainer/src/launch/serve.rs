//! Serves init until the container is created.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::conversation::{Received, hear, hear_until, say_continue};
use super::hook::{Hooks, Running};
use super::maps::{check_cgroups, map_ids, set_oom_score};
use super::spawn::Init;
use crate::cgroup::Cgroup;
use crate::container::ExitStatus;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::protocol::{Kind, Message};
use crate::plan::{HookKind, Plan, explain, explain_killed, record};
use crate::process::ProcessId;

/// What the host side works with while init runs.
pub(crate) struct Host<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) hooks: &'a Hooks<'a>,
    /// Puts on record that the container is created, by this process.
    pub(crate) created: &'a mut dyn FnMut(ProcessId) -> Result<()>,
    /// Takes the master end of the container's terminal.
    pub(crate) console: &'a mut dyn FnMut(OwnedFd) -> Result<()>,
}

/// Answers init's requests until it stands at the gate and that is on record.
pub(crate) fn serve(init: &mut Init, host: &mut Host<'_>) -> Result<()> {
    if !host.plan.two_stages {
        unless_ended(init, born(init, host.plan))?;
    }
    let mut is_first_stage = host.plan.two_stages;
    let mut running = Running::default();
    loop {
        running.attend(init.control.as_fd())?;
        let received = match is_first_stage {
            true => hear_until(init.control.as_fd(), init.pidfd()?)?,
            false => hear(init.control.as_fd())?,
        };
        let (message, descriptor) = match received {
            Received::Message(message, descriptor) => (message, descriptor),
            Received::HungUp => return Err(killed(init, host.plan, Some(host.cgroup))),
        };
        match message.kind {
            kind if kind == Kind::Spawned as u32 => {
                second_stage(init, host.plan, &message, descriptor)?;
                is_first_stage = false;
            }
            kind if kind == Kind::Cgroups as u32 => {
                let files = host.cgroup.join_files()?;
                let files: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
                go_on(init, host, &files)?;
            }
            kind if kind == Kind::Console as u32 => {
                take_console(host, descriptor)?;
            }
            kind if kind == Kind::Created as u32 => {
                unless_ended(init, check_cgroups(init.pid(), &host.plan.host.cgroups))?;
                (host.created)(ProcessId::of(init.pid(), init.pidfd()?)?)?;
                return go_on(init, host, &[]);
            }
            kind if kind == Kind::RuntimeHooks as u32 => {
                for kind in [HookKind::Prestart, HookKind::CreateRuntime] {
                    host.hooks.run(kind, Some(init.pid()))?;
                }
                go_on(init, host, &[])?;
            }
            kind if kind == Kind::Hook as u32 => {
                let hook = (message.a, init.status.operation());
                running.begin(init.control.as_fd(), host.hooks, hook, init.pid())?;
            }
            _ => {
                let hook = running.explain(host.hooks, &message);
                return Err(hook.unwrap_or_else(|| failed(host.plan, &message)));
            }
        }
    }
}

/// Lets init go on. If it has ended meanwhile, which a hook can bring about, why is what there is to tell.
fn go_on(init: &mut Init, host: &Host<'_>, along: &[RawFd]) -> Result<()> {
    match say_continue(init.control.as_fd(), along)? {
        true => Ok(()),
        false => Err(killed(init, host.plan, Some(host.cgroup))),
    }
}

/// What fails because init has ended meanwhile is not the reason: whoever listens next hears that.
fn unless_ended(init: &Init, result: Result<()>) -> Result<()> {
    match result {
        Err(_) if init.has_ended() => Ok(()),
        result => result,
    }
}

/// Serves an init that executes a program and has no gate. Returns when it is executed.
pub(super) fn execute(init: &mut Init, plan: &Plan) -> Result<()> {
    let mut executing = false;
    loop {
        match hear(init.control.as_fd())? {
            Received::Message(message, _) if message.kind == Kind::Executing as u32 => {
                executing = true;
            }
            Received::Message(message, _) => return Err(failed(plan, &message)),
            Received::HungUp if executing => return Ok(()),
            Received::HungUp => return Err(killed(init, plan, None)),
        }
    }
}

/// The second stage is there, and waits for its ids to be mapped.
fn second_stage(
    init: &mut Init,
    plan: &Plan,
    message: &Message,
    pidfd: Option<OwnedFd>,
) -> Result<()> {
    let pid = i32::try_from(message.a).unwrap_or(0);
    init.replace(pid, pidfd)?;
    unless_ended(init, born(init, plan))?;
    say_continue(init.control.as_fd(), &[]).map(drop)
}

/// The terminal is there.
fn take_console(host: &mut Host<'_>, master: Option<OwnedFd>) -> Result<()> {
    // The kernel drops a descriptor that it can't install, and does not say why.
    let lost = || Error::os("recvmsg(master end of the terminal)", libc::EMFILE);
    master
        .ok_or_else(lost)
        .and_then(&mut *host.console)
        .map_err(|error| error.with_property("process.terminal"))
}

/// The container's first process exists.
fn born(init: &Init, plan: &Plan) -> Result<()> {
    if let Some((users, groups)) = &plan.host.id_maps {
        map_ids(init.pid(), users, groups, plan.host.deny_setgroups)?;
    }
    match plan.host.oom_score_adj {
        Some(adjustment) => set_oom_score(init.pid(), adjustment),
        None => Ok(()),
    }
}

/// Init reported a failure.
fn failed(plan: &Plan, message: &Message) -> Error {
    if message.kind != Kind::Failed as u32 {
        return Error::new(ErrorKind::Internal, format!("init sent message {}", message.kind));
    }
    explain(record(&plan.image, message.a).as_ref(), message.fault, message.text())
}

/// Init has ended without a word: the kernel killed it, or somebody else did.
fn killed(init: &mut Init, plan: &Plan, cgroup: Option<&Cgroup>) -> Error {
    let operation = init.status.operation();
    let how = match init.end() {
        Ok(ExitStatus::Signaled(libc::SIGKILL))
            if cgroup.is_some_and(Cgroup::has_killed_for_memory) =>
        {
            "container init was OOM-killed (memory limit too low?)".to_string()
        }
        Ok(ExitStatus::Signaled(signal)) => format!("init was killed by signal {signal}"),
        Ok(ExitStatus::Exited(status)) => format!("init exited with status {status}"),
        Err(error) => return error.context("init has ended"),
    };
    explain_killed(record(&plan.image, operation).as_ref(), &how)
}
