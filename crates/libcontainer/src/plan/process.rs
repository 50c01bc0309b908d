//! The user's process: working directory, identity, limits, program.

use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccomp, PosixRlimitType, Process, Spec};

use super::capabilities;
use super::compile::Compilation;
use super::environment::{candidates, value, without_duplicates};
use super::format::{Gids, Instructions, Operation};
use super::hooks::{self, HookKind};
use super::image::{TextBuf, TextsBuf};
use crate::error::{Error, ErrorKind, Result};
use crate::seccomp;

/// The umask of a process whose configuration has none.
const UMASK: u32 = 0o022;

/// The bit of the capability.
const CAP_SYS_ADMIN: u64 = 1 << 21;

fn process<'a>(plan: &Compilation<'a>) -> Result<&'a Process> {
    plan.spec.process().as_ref().ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, "process property must not be empty")
            .with_property("process")
    })
}

/// The filter that is asked for.
fn profile<'a>(plan: &Compilation<'a>) -> Option<&'a LinuxSeccomp> {
    plan.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref())
}

/// The terminal, on a devpts that is among the mounts. It covers `/dev/console`, which is made if it is
/// missing: before anything is masked or becomes read-only.
pub(super) fn make_terminal(plan: &mut Compilation<'_>) -> Result<()> {
    let process = process(plan)?;
    if process.terminal() != Some(true) {
        return Ok(());
    }
    let size = process.console_size();
    let number = |of: u64| {
        u16::try_from(of).map(u32::from).map_err(|_e| {
            Error::new(ErrorKind::InvalidConfig, format!("process.consoleSize: {of} is too much"))
                .with_property("process.consoleSize")
        })
    };
    let columns = number(size.map_or(0, |size| size.width()))?;
    let rows = number(size.map_or(0, |size| size.height()))?;
    plan.image.push("process.terminal", &Operation::Terminal { columns, rows })
}

/// The working directory, if the image has none: as root, as other runtimes do.
pub(super) fn make_working_directory(plan: &mut Compilation<'_>) -> Result<()> {
    let path = TextBuf::path(process(plan)?.cwd())?;
    plan.image.push("process.cwd", &Operation::MakeDirectory { path: path.text(), mode: 0o755 })
}

/// `HOME`, from the container's passwd file, unless the configuration has it.
pub(super) fn find_home(plan: &mut Compilation<'_>) -> Result<()> {
    let process = process(plan)?;
    let environment = without_duplicates(process.env().as_deref().unwrap_or(&[]));
    if value(&environment, "HOME").is_some() {
        return Ok(());
    }
    let passwd = TextBuf::new("/etc/passwd")?;
    let home = Operation::Home { uid: process.user().uid(), passwd: passwd.text() };
    plan.image.push("process.env", &home)
}

/// From the root of the container to the user. The order is the kernel's: whoever drops a capability can
/// do no more what needed it. The bounding set needs CAP_SETPCAP, groups CAP_SETGID, ids CAP_SETUID; the
/// capability sets themselves come last. The working directory is entered as root, because the user may
/// not be allowed to pass the directories above it, and once more as the user, because root may not be
/// allowed to enter it (NFS).
pub(super) fn become_user(plan: &mut Compilation<'_>) -> Result<()> {
    let process = process(plan)?;
    let user = process.user();
    plan.image.push("process.user.uid", &Operation::OwnStdio { uid: user.uid() })?;
    limit(plan)?;
    let mask = user.umask().unwrap_or(UMASK);
    plan.image.push("process.user.umask", &Operation::Umask { mask })?;
    let cwd = TextBuf::path(process.cwd())?;
    plan.image.push("process.cwd", &Operation::Chdir { path: cwd.text(), retry: 0 })?;
    let mut sets = capabilities::sets(plan);
    if profile(plan).is_some() && process.no_new_privileges() != Some(true) {
        // To load a filter. It ends with execve(2), which makes the sets anew from what the user has.
        sets.permitted |= CAP_SYS_ADMIN;
        sets.effective |= CAP_SYS_ADMIN;
    }
    let drop = Operation::DropBounding { keep: sets.bounding, last: plan.facts.capabilities.last };
    plan.image.push("process.capabilities.bounding", &drop)?;
    let gids = user.additional_gids().as_deref().unwrap_or(&[]);
    let bytes: Vec<u8> = gids.iter().flat_map(|gid| gid.to_le_bytes()).collect();
    let denied = plan.namespaces.is_new(LinuxNamespaceType::User) && !plan.may_set_groups();
    if let Some(groups) = Gids::from_bytes(&bytes)
        && !(denied && gids.is_empty())
    {
        plan.image.push("process.user.additionalGids", &Operation::SetGroups { groups })?;
    }
    let ids = Operation::SetUser { uid: user.uid(), gid: user.gid() };
    plan.image.push("process.user", &ids)?;
    plan.image.push("process.cwd", &Operation::Chdir { path: cwd.text(), retry: 1 })?;
    let set = Operation::SetCapabilities {
        bounding: sets.bounding,
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
        ambient: sets.ambient,
    };
    plan.image.push("process.capabilities", &set)?;
    if process.no_new_privileges() == Some(true) {
        plan.image.push("process.noNewPrivileges", &Operation::NoNewPrivileges {})?;
    }
    Ok(())
}

/// The program: found now, so that `create` can say that it is missing, and executed behind the gate.
/// Nothing but execve(2) comes after the filter, so nothing else has to be allowed by it.
pub(super) fn execute(plan: &mut Compilation<'_>) -> Result<()> {
    let process = process(plan)?;
    let arguments = process.args().as_deref().unwrap_or(&[]);
    let program = arguments.first().map_or("", String::as_str);
    let environment = without_duplicates(process.env().as_deref().unwrap_or(&[]));
    let name = TextBuf::new(program)?;
    let found = TextsBuf::collect(candidates(program, value(&environment, "PATH")))?;
    let find = Operation::FindProgram { name: name.text(), candidates: found.texts() };
    plan.image.push("process.args", &find)?;
    plan.image.push("process", &Operation::Gate {})?;
    hooks::run(plan, HookKind::StartContainer)?;
    if let Some(profile) = profile(plan) {
        let filter = seccomp::compile(profile)?;
        if let Some(program) = Instructions::from_bytes(&filter.program) {
            let filter = Operation::Filter { program, flags: filter.flags };
            plan.image.push("linux.seccomp", &filter)?;
        }
    }
    let arguments = TextsBuf::collect(arguments)?;
    let environment = TextsBuf::collect(environment)?;
    let execute =
        Operation::Execute { arguments: arguments.texts(), environment: environment.texts() };
    plan.image.push("process.args", &execute)
}

pub(super) fn oom_score_adj(spec: &Spec) -> Option<i32> {
    spec.process().as_ref()?.oom_score_adj()
}

/// Raises the hard limits before a user namespace is entered, for that needs CAP_SYS_RESOURCE on the host.
/// The limits themselves have to wait: init needs descriptors, stack and a process more than the user's.
pub(super) fn raise_limits(plan: &mut Compilation<'_>) -> Result<()> {
    let limits = process(plan)?.rlimits().as_deref().unwrap_or(&[]);
    for (index, limit) in limits.iter().enumerate() {
        let operation =
            Operation::RaiseRlimit { resource: resource(limit.typ()), hard: limit.hard() };
        plan.image.push(&format!("process.rlimits[{index}]"), &operation)?;
    }
    Ok(())
}

/// Resource limits, before the capabilities are dropped with which root may raise them.
fn limit(plan: &mut Compilation<'_>) -> Result<()> {
    let limits = process(plan)?.rlimits().as_deref().unwrap_or(&[]);
    for (index, limit) in limits.iter().enumerate() {
        let (soft, hard) = (limit.soft(), limit.hard());
        let operation = Operation::SetRlimit { resource: resource(limit.typ()), soft, hard };
        plan.image.push(&format!("process.rlimits[{index}]"), &operation)?;
    }
    Ok(())
}

/// The kernel's number of a resource.
fn resource(typ: PosixRlimitType) -> u32 {
    match typ {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
