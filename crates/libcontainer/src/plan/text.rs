//! The plan in words: what `explain` shows, what tests compare, and what errors say.

use std::fmt;

use syscalls::Sysno;

use super::format::{Operation, Record, Text};
use super::image::Image;
use super::labels::APPARMOR;
use super::protocol::{self, Cause, Fault};
use super::{Plan, Received, words};
use crate::error::{Error, ErrorKind, errno_text};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, format_args!("rootfs {}", self.rootfs.display()))?;
        let stages = if self.two_stages { "two stages" } else { "one stage" };
        writeln!(f, "spawn {stages}, new namespaces {}", words::namespaces(self.spawn_flags))?;
        for (slot, received) in self.received.iter().enumerate() {
            line(f, format_args!("slot {slot} {received}"))?;
        }
        for place in self.host.cgroups.places() {
            line(f, format_args!("cgroup {place}"))?;
        }
        for limit in &self.host.limits {
            line(f, format_args!("limit {limit}"))?;
        }
        if let Some(owner) = self.host.cgroup_owner {
            writeln!(f, "cgroup owner {owner}")?;
        }
        if let Some((users, groups)) = &self.host.id_maps {
            for (kind, maps) in [("uid_map", users), ("gid_map", groups)] {
                for map in maps {
                    writeln!(f, "{kind} {} {} {}", map.container, map.host, map.size)?;
                }
            }
        }
        if let Some(adjustment) = self.host.oom_score_adj {
            writeln!(f, "oom_score_adj {adjustment}")?;
        }
        for rule in &self.host.device_rules {
            writeln!(f, "device rule {rule}")?;
        }
        for hook in &self.hooks {
            line(f, format_args!("{hook} {}", hook.path.display()))?;
        }
        for warning in &self.warnings {
            line(f, format_args!("warning {warning}"))?;
        }
        for (index, record) in self.image.records().enumerate() {
            let property = record.property.bytes().escape_ascii().to_string();
            writeln!(f, "{index:3} {property:<30} {}", record.operation)?;
        }
        Ok(())
    }
}

/// One line, whatever strings of the configuration are in it.
fn line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{}", printable(text.to_string().as_bytes()))
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate => f.write_str("gate"),
            Self::Stdio(stream) => write!(f, "stdio {stream}"),
            Self::Namespace { kind, path, .. } => {
                write!(f, "{kind} namespace {}", path.display())
            }
            Self::UnifiedCgroup => f.write_str("cgroup directory"),
        }
    }
}

/// What an operation is about to do, for an error: the words of `config.json` where there are some.
fn doing(operation: &Operation<'_>) -> String {
    let show = |text: &Text<'_>| printable(text.bytes());
    match operation {
        Operation::JoinNamespace { .. } => "join the namespace".to_string(),
        Operation::Clone { .. } => "make the namespaces".to_string(),
        Operation::JoinCgroups {} => "join the cgroups".to_string(),
        Operation::Unshare { .. } => "make the cgroup namespace".to_string(),
        Operation::BecomeRoot {} => "become root of the user namespace".to_string(),
        Operation::SetHostname { name } | Operation::SetDomainname { name } => show(name),
        Operation::LoopbackUp {} => "bring up lo".to_string(),
        Operation::Propagation { path, .. } => format!("set the propagation of {}", show(path)),
        Operation::OpenTree { path, .. } | Operation::OpenDevice { path, .. } => {
            format!("open {}", show(path))
        }
        Operation::AttachRoot { path, .. } => format!("attach {}", show(path)),
        Operation::Filesystem { kind, .. } => format!("mount {}", show(kind)),
        Operation::Attributes { .. } | Operation::Flags { .. } => {
            "set the mount's attributes".to_string()
        }
        Operation::CopyUp { target, .. } => format!("copy up {}", show(target)),
        Operation::CopyMode { target, .. } => format!("take over the mode of {}", show(target)),
        Operation::Attach { target, .. } => format!("mount on {}", show(target)),
        Operation::Remount { target, .. } => format!("remount {}", show(target)),
        Operation::MakeDirectory { path, .. } => format!("make directory {}", show(path)),
        Operation::MakeNode { path, .. } => format!("make device {}", show(path)),
        Operation::Symlink { path, .. } => format!("make link {}", show(path)),
        Operation::Terminal { .. } => "make the terminal".to_string(),
        Operation::Mask { path, .. } => format!("mask {}", show(path)),
        Operation::MakeReadonly { path, .. } => format!("make {} read-only", show(path)),
        Operation::PivotRoot {} | Operation::MoveRoot {} => "change the root".to_string(),
        Operation::Home { passwd, .. } => format!("look for the home in {}", show(passwd)),
        Operation::Chdir { path, .. } => format!("chdir to cwd (\"{}\")", show(path)),
        Operation::SetUser { uid, gid } => format!("become {uid}:{gid}"),
        Operation::FindProgram { name, .. } => format!("exec: \"{}\"", show(name)),
        Operation::Execute { arguments, .. } => {
            let program = arguments.iter().next();
            format!("exec {}", program.map_or(String::new(), |program| show(&program)))
        }
        Operation::RaiseRlimit { hard, .. } => format!("raise the hard limit to {hard}"),
        Operation::SetRlimit { soft, hard, .. } => format!("set the limits {soft} and {hard}"),
        Operation::RunHook { path, .. } => format!("run {}", show(path)),
        Operation::OpenProc { .. } => "open a procfs".to_string(),
        Operation::Sysctl { path, value, .. } => {
            format!("write \"{}\" to /proc/{}", show(value), show(path))
        }
        Operation::SessionKeyring { name, .. } => {
            format!("unable to join session keyring {}", show(name))
        }
        Operation::ExecLabel { name, expected, .. } => {
            let what = match name.bytes() == APPARMOR.as_bytes() {
                true => "apply apparmor profile",
                false => "set selinux label",
            };
            format!("unable to {what}: {}", show(expected))
        }
        _ => String::new(),
    }
}

/// What init reported, as an error.
pub(crate) fn explain(record: Option<&Record<'_>>, fault: Fault, detail: &[u8]) -> Error {
    let Some(record) = record else {
        return why(fault, detail, None).context("init").with_kind(ErrorKind::Internal);
    };
    let property = printable(record.property.bytes());
    let doing = doing(&record.operation);
    let error = why(fault, detail, Some(&record.operation));
    // Managers match the texts about the program from their beginning.
    if matches!(record.operation, Operation::FindProgram { .. } | Operation::Execute { .. }) {
        return error.context(doing).with_property(name_of(&property));
    }
    let error = if doing.is_empty() { error } else { error.context(doing) };
    error.context(&property).with_property(name_of(&property))
}

/// What `start` heard of init, but of its hooks. `program` is what init has said that it executes: from
/// there on, only the filter is loaded and its listener handed over.
pub(crate) fn explain_start(fault: Fault, program: Option<&[u8]>) -> Error {
    let error = why(fault, &[], None);
    match (call(fault), program) {
        (Some(Sysno::execve), Some(program)) => explain_execve(fault.errno, program),
        (Some(Sysno::seccomp), Some(_)) => {
            error.context("load the filter").with_property("linux.seccomp")
        }
        (Some(_), Some(_)) => {
            error.context("hand over the filter's listener").with_property("linux.seccomp")
        }
        (_, None) => error.context("prepare to execute the process").with_property("process"),
        (None, Some(_)) => error.context("start"),
    }
}

/// What init reported of a hook that it runs.
pub(crate) fn explain_hook(fault: Fault) -> Error {
    why(fault, &[], None)
}

/// The system call that failed, if it was one.
pub(crate) fn call(fault: Fault) -> Option<Sysno> {
    let number = usize::try_from(fault.call).ok()?;
    (fault.cause == Cause::Call as u32).then(|| Sysno::new(number))?
}

/// The program could not be executed.
pub(crate) fn explain_execve(errno: u32, program: &[u8]) -> Error {
    let errno = i32::try_from(errno).unwrap_or(0);
    let why = match errno {
        0 => "the filter answers in the place of the kernel".to_string(),
        errno => errno_text(errno),
    };
    Error::os("execve", errno).in_words(format!("exec {}: {why}", printable(program)))
}

/// Init ended without a word, in this operation.
pub(crate) fn explain_killed(record: Option<&Record<'_>>, how: &str) -> Error {
    let error = Error::new(ErrorKind::Os, how);
    let Some(record) = record else { return error };
    let property = printable(record.property.bytes());
    let doing = doing(&record.operation);
    let error = if doing.is_empty() { error } else { error.context(doing) };
    error.context(&property).with_property(name_of(&property))
}

fn why(fault: Fault, detail: &[u8], operation: Option<&Operation<'_>>) -> Error {
    if fault.cause != Cause::Call as u32 {
        let text = protocol::cause_text(fault.cause).unwrap_or("init sent nonsense");
        let kind = match fault.cause {
            code if code == Cause::BadPlan as u32 || code == Cause::Panic as u32 => {
                ErrorKind::Internal
            }
            code if code == Cause::ProgramNotFound as u32 => ErrorKind::NotFound,
            _ => ErrorKind::InvalidConfig,
        };
        return Error::new(kind, text);
    }
    let errno = i32::try_from(fault.errno).unwrap_or(0);
    match operation {
        // As the Go runtimes say it: stat(2) fails for what is missing, access(2) has no name.
        Some(Operation::FindProgram { name, .. }) if errno == libc::ENOENT => {
            return Error::os(format_args!("stat {}", name.bytes().escape_ascii()), errno);
        }
        Some(Operation::FindProgram { .. } | Operation::Execute { .. }) => {
            return Error::os("", errno).in_words(errno_text(errno));
        }
        // The kernel's way to say that nobody can be in that namespace any more (pid_namespaces(7)).
        Some(Operation::Clone { .. }) if errno == libc::ENOMEM => {
            let call = "clone3 (has the first process of the joined pid namespace ended?)";
            return Error::os(call, errno);
        }
        // "disk quota exceeded" alone sends people to look at their disks.
        Some(Operation::SessionKeyring { .. }) if errno == libc::EDQUOT => {
            let call = "keyctl: the user's quota of keys (kernel.keys.maxkeys, kernel.keys.maxbytes) \
                        is used up";
            return Error::os(call, errno);
        }
        _ => {}
    }
    let call = call(fault)
        .map_or_else(|| format!("system call {}", fault.call), |call| call.name().to_string());
    if detail.is_empty() {
        return Error::os(call, errno);
    }
    Error::os(format_args!("{call} ({})", printable(detail)), errno)
}

/// The property alone: what stands in a record may be followed by what it is about.
fn name_of(property: &str) -> &str {
    property.split(' ').next().unwrap_or(property)
}

/// The kernel's or the container's words, without control characters.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The record of an operation, by its index.
pub(crate) fn record(image: &Image, index: u32) -> Option<Record<'_>> {
    image.records().nth(usize::try_from(index).ok()?)
}
