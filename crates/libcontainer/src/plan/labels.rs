//! What goes through a procfs, and the session keyring: sysctls, labels of AppArmor and SELinux.

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use super::NamespaceKind;
use super::compile::Compilation;
use super::format::Operation;
use super::image::{TextBuf, TextsBuf};
use crate::config::sysctl;
use crate::container::Keyring;
use crate::error::{Error, ErrorKind, Result};

/// Where AppArmor takes the profile of the next execve(2), in the directory of a process. Since Linux 5.8
/// it has a directory of its own; `attr/exec` is that of whichever module comes first.
pub(super) const APPARMOR: &str = "attr/apparmor/exec";
const SELINUX: &str = "attr/exec";

/// What the keyring's owner may do who does not possess it: `KEY_USR_VIEW`, `READ`, `SEARCH`, `LINK`; who
/// possesses it may do everything.
const OWNER_SEARCHES: u32 = 0x3f1b_0000;
/// In a user namespace the owner may have another id: `KEY_OTH_SEARCH` in place of `KEY_USR_SEARCH`.
const OTHERS_SEARCH: u32 = 0x3f13_0008;

/// Sysctls that the kernel reports as they were written. Others it rounds (times), sorts or merges (lists
/// of ports), or gives to nobody to read; for all of them counts that write(2) took the whole value.
const REPORTED: [&str; 7] = [
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/core/somaxconn",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/default/disable_ipv6",
];

fn text(string: Option<&String>) -> Option<&str> {
    string.map(String::as_str).filter(|text| !text.is_empty())
}

fn apparmor(spec: &Spec) -> Option<&str> {
    text(spec.process().as_ref().and_then(|process: &Process| process.apparmor_profile().as_ref()))
}

fn selinux(spec: &Spec) -> Option<&str> {
    text(spec.process().as_ref().and_then(|process| process.selinux_label().as_ref()))
}

/// Names and values by path, so that the order is always the same.
fn sysctls(spec: &Spec) -> Vec<(String, &str, &str)> {
    let all = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let all = all.into_iter().flatten();
    let mut sysctls: Vec<_> = all
        .filter_map(|(name, value)| Some((sysctl::path(name)?, name.as_str(), value.as_str())))
        .collect();
    sysctls.sort_unstable();
    sysctls
}

/// Refuses labels that nothing would enforce.
pub(super) fn check(plan: &Compilation<'_>) -> Result<()> {
    let refused = |property: &str, message: String| {
        Err(Error::new(ErrorKind::Unsupported, message).with_property(property))
    };
    if let Some(profile) = apparmor(plan.spec).filter(|_| !plan.facts.lsm.apparmor) {
        let message = format!(
            "unable to apply apparmor profile: {profile}: AppArmor is not enabled on this host"
        );
        return refused("process.apparmorProfile", message);
    }
    if selinux(plan.spec).is_some() && !plan.facts.lsm.selinux {
        let message =
            "selinux label is specified in config, but selinux is disabled or not supported";
        return refused("process.selinuxLabel", message.to_string());
    }
    Ok(())
}

/// The label of new file systems, if SELinux is there to look at it.
pub(super) fn mount_label<'a>(plan: &Compilation<'a>) -> Option<&'a str> {
    let linux = plan.spec.linux().as_ref()?;
    text(linux.mount_label().as_ref()).filter(|_| plan.facts.lsm.selinux)
}

/// The namespaces whose sysctls are set: a joined one must not be the caller's own. With what to say if
/// it is.
pub(super) fn foreign(spec: &Spec) -> Vec<(NamespaceKind, String)> {
    let kind = |(path, name, _): (String, &str, &str)| {
        let kind = sysctl::namespace(&path)?;
        Some((NamespaceKind::from(kind), sysctl::refusal(name, Some(kind))))
    };
    let mut kinds: Vec<_> = sysctls(spec).into_iter().filter_map(kind).collect();
    kinds.dedup_by_key(|(kind, _)| *kind);
    kinds
}

/// Opens the procfs, and joins the session keyring. This comes behind the change to root of the user
/// namespace, whose keyring it is, and before the change of the root: in a user namespace the kernel
/// grants a procfs only where one is seen already.
pub(super) fn begin(plan: &mut Compilation<'_>) -> Result<()> {
    if mount_label(plan).is_none()
        && let Some(linux) = plan.spec.linux()
        && text(linux.mount_label().as_ref()).is_some()
    {
        plan.warn("linux.mountLabel", "SELinux is not enabled on this host: ignored");
    }
    open_proc(plan)?;
    join_keyring(plan)
}

fn open_proc(plan: &mut Compilation<'_>) -> Result<()> {
    let label = apparmor(plan.spec).map(|_| "process.apparmorProfile");
    let label = label.or_else(|| selinux(plan.spec).map(|_| "process.selinuxLabel"));
    let sysctl = (!sysctls(plan.spec).is_empty()).then_some("linux.sysctl");
    let Some(property) = sysctl.or(label) else { return Ok(()) };
    // Only who made the pid namespace may have a procfs of it, wherever it runs. Of another one there is
    // the caller's.
    let detached = plan.namespaces.is_new(LinuxNamespaceType::Pid);
    let subset = if detached && sysctl.is_none() { ["subset", "=pid"].as_slice() } else { &[] };
    let options = TextsBuf::collect(subset)?;
    let open = Operation::OpenProc { detached: detached.into(), options: options.texts() };
    plan.image.push(property, &open)
}

fn join_keyring(plan: &mut Compilation<'_>) -> Result<()> {
    if plan.request.keyring == Keyring::Inherit {
        return Ok(());
    }
    if !plan.facts.kernel.keyrings {
        plan.warn("process", "this kernel has no keyrings: the container has no session keyring");
        return Ok(());
    }
    let name = TextBuf::new(format!("_ses.{}", plan.request.id))?;
    let label = TextBuf::new(selinux(plan.spec).unwrap_or(""))?;
    let permissions = if plan.in_user_namespace() { OTHERS_SEARCH } else { OWNER_SEARCHES };
    let join = Operation::SessionKeyring { name: name.text(), permissions, label: label.text() };
    plan.image.push("process", &join)
}

/// Sets the sysctls, in the container's namespaces, as late as hooks may want that have made network
/// devices.
pub(super) fn set_sysctls(plan: &mut Compilation<'_>) -> Result<()> {
    for (path, name, value) in sysctls(plan.spec) {
        let check = is_reported(&path, value);
        let path = TextBuf::new(format!("sys/{path}"))?;
        let value = TextBuf::new(value)?;
        let set = Operation::Sysctl { path: path.text(), value: value.text(), check: check.into() };
        plan.image.push(&format!("linux.sysctl[{name:?}]"), &set)?;
    }
    let labelled = apparmor(plan.spec).is_some() || selinux(plan.spec).is_some();
    if labelled || sysctls(plan.spec).is_empty() {
        return Ok(());
    }
    plan.image.push("linux.sysctl", &Operation::CloseProc {})
}

/// Whether the kernel reports a value as it was written: decimal numbers, of a sysctl that keeps them.
fn is_reported(path: &str, value: &str) -> bool {
    let is_decimal = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or(word);
        digits == "0"
            || !digits.starts_with('0')
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let keeps = !path.starts_with("net/") || REPORTED.contains(&path);
    keeps && value.split_whitespace().all(is_decimal)
}

/// The labels of the user's process, the very last that is changed: the kernel takes a label only from
/// the credentials that opened the file. Before the gate, so that a profile that is not loaded fails
/// `create`; then nothing is left of the procfs.
pub(super) fn apply(plan: &mut Compilation<'_>) -> Result<()> {
    let labels = [
        ("process.selinuxLabel", SELINUX, "", selinux(plan.spec)),
        ("process.apparmorProfile", APPARMOR, "exec ", apparmor(plan.spec)),
    ];
    for (property, name, command, label) in labels {
        let Some(label) = label else { continue };
        let (name, expected) = (TextBuf::new(name)?, TextBuf::new(label)?);
        let value = TextBuf::new(format!("{command}{label}"))?;
        let label = Operation::ExecLabel {
            name: name.text(),
            value: value.text(),
            expected: expected.text(),
        };
        plan.image.push(property, &label)?;
    }
    if labels.iter().any(|(.., label)| label.is_some()) {
        plan.image.push("process", &Operation::CloseProc {})?;
    }
    Ok(())
}
