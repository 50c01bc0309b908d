//! The configuration: load, repair, validate.
//!
//! *Load* reads JSON, *repair* puts right what oci-spec rejects although the runtime-spec allows it,
//! *rules* tells every violation at once, *later* refuses what this version doesn't execute yet. A
//! [`Config`] has passed all four: nothing behind it need check again, and nothing in it is ignored
//! silently.
//!
//! Specification: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md>

#[cfg(test)]
mod coverage;
mod later;
mod load;
mod property;
mod repair;
mod required;
mod rules;
mod salvage;
mod scan;
pub(crate) mod sysctl;
#[cfg(test)]
mod tests;
mod view;
mod walk;

use std::path::Path;

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceCgroup, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, Mount,
    Process, Root, Spec,
};

pub use self::property::Property;
pub use self::rules::Violation;
pub(crate) use self::view::hooks;
use crate::error::{Error, ErrorKind, Result, Warning};

/// How many violations one message tells: a list of 100 000 bad mounts helps nobody.
const MAX_TOLD: usize = 32;
/// How many are kept: 16 MiB of them would fill the memory.
const MAX_FINDINGS: usize = 1000;
/// How long the text of one may be: it may quote a string of megabytes.
const MAX_TEXT: usize = 512;

/// A runtime-spec configuration that was read and that breaks no rule.
#[derive(Debug)]
pub struct Config {
    spec: Spec,
    warnings: Vec<Warning>,
}

impl Config {
    /// Reads and validates the configuration in a file.
    ///
    /// # Kernel
    ///
    /// open, fstat, read, close.
    ///
    /// # Errors
    ///
    /// If the file can't be read, isn't a regular file of at most 16 MiB, isn't a configuration, breaks
    /// a rule (`InvalidConfig`), or asks for what this version doesn't do (`Unsupported`).
    pub fn from_path(path: &Path) -> Result<Self> {
        let bytes = load::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    /// Reads and validates a configuration in JSON.
    ///
    /// # Errors
    ///
    /// If it isn't a configuration, breaks a rule (`InvalidConfig`), or asks for what this version
    /// doesn't do (`Unsupported`).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut loaded = load::parse(bytes)?;
        let defects = loaded.defects.iter().map(|defect| (&defect.property, &defect.text));
        let Some(spec) = loaded.spec.take() else {
            refuse(ErrorKind::InvalidConfig, defects)?;
            return Err(missing("config"));
        };
        let (mut violations, warnings) = rules::check(&spec, &loaded.absent);
        for violation in &mut violations {
            violation.property = loaded.removed.original(&violation.property);
        }
        violations.retain(|violation| !loaded.removed.concerns(violation.property()));
        let violations: Vec<_> = violations.iter().map(|v| (v.property(), v.to_string())).collect();
        let told = defects.chain(violations.iter().map(|(property, text)| (*property, text)));
        refuse(ErrorKind::InvalidConfig, told)?;
        loaded.warnings.extend(warnings);
        Self::supported(spec, loaded.warnings)
    }

    /// Validates a configuration.
    ///
    /// # Errors
    ///
    /// If it breaks a rule (`InvalidConfig`), or asks for what this version doesn't do (`Unsupported`).
    /// The message has all violations; [`violations`] gives them as values.
    pub fn from_spec(spec: Spec) -> Result<Self> {
        let (violations, warnings) = rules::check(&spec, &[]);
        let told: Vec<_> = violations.iter().map(|v| (v.property(), v.to_string())).collect();
        refuse(ErrorKind::InvalidConfig, told.iter().map(|(property, text)| (*property, text)))?;
        Self::supported(spec, warnings)
    }

    fn supported(spec: Spec, warnings: Vec<Warning>) -> Result<Self> {
        let asked = later::asked(&spec);
        let told = asked.iter().map(|at| (at, format!("{at}: not supported by this version")));
        refuse(ErrorKind::Unsupported, told)?;
        Ok(Self { spec, warnings })
    }

    /// The configuration.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What was left out of it, or taken differently than it stands there.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The process. It is always there: a configuration without one breaks a rule.
    ///
    /// # Errors
    ///
    /// Never, as long as the rules are kept.
    pub fn process(&self) -> Result<&Process> {
        view::process(&self.spec).ok_or_else(|| missing("process"))
    }

    /// The root. It is always there: a configuration without one breaks a rule.
    ///
    /// # Errors
    ///
    /// Never, as long as the rules are kept.
    pub fn root(&self) -> Result<&Root> {
        self.spec.root().as_ref().ok_or_else(|| missing("root"))
    }

    /// The program and its arguments: at least one string.
    #[must_use]
    pub fn args(&self) -> &[String] {
        view::list(view::process(&self.spec).and_then(|process| process.args().as_ref()))
    }

    /// Whether the process has a terminal (`process.terminal`).
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        view::process(&self.spec).and_then(Process::terminal) == Some(true)
    }

    /// The environment: each string has a `=` that isn't its first byte.
    #[must_use]
    pub fn env(&self) -> &[String] {
        view::list(view::process(&self.spec).and_then(|process| process.env().as_ref()))
    }

    /// The additional groups of the process.
    #[must_use]
    pub fn additional_gids(&self) -> &[u32] {
        view::list(view::user(&self.spec).and_then(|user| user.additional_gids().as_ref()))
    }

    /// The mounts. A relative destination is meant from the container's root.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        view::mounts(&self.spec)
    }

    /// The namespaces, each type at most once.
    #[must_use]
    pub fn namespaces(&self) -> &[LinuxNamespace] {
        view::namespaces(&self.spec)
    }

    /// The namespace of a type, new or joined; none if the container shares the caller's.
    #[must_use]
    pub fn namespace(&self, typ: LinuxNamespaceType) -> Option<&LinuxNamespace> {
        view::namespace(&self.spec, typ)
    }

    /// The path of the namespace of a type, if it is to be joined. It is absolute.
    #[must_use]
    pub fn namespace_path(&self, typ: LinuxNamespaceType) -> Option<&Path> {
        self.namespace(typ).and_then(view::namespace_path)
    }

    /// Is a new namespace of this type to be made?
    #[must_use]
    pub fn is_new_namespace(&self, typ: LinuxNamespaceType) -> bool {
        self.namespace(typ).is_some_and(|namespace| view::namespace_path(namespace).is_none())
    }

    /// How the user namespace maps users. For a namespace that is joined, what it must map already.
    #[must_use]
    pub fn uid_mappings(&self) -> &[LinuxIdMapping] {
        view::uid_mappings(&self.spec)
    }

    /// How the user namespace maps groups. For a namespace that is joined, what it must map already.
    #[must_use]
    pub fn gid_mappings(&self) -> &[LinuxIdMapping] {
        view::gid_mappings(&self.spec)
    }

    /// The device nodes beside the default ones.
    #[must_use]
    pub fn devices(&self) -> &[LinuxDevice] {
        view::devices(&self.spec)
    }

    /// The rules of the device controller, in order.
    #[must_use]
    pub fn device_rules(&self) -> &[LinuxDeviceCgroup] {
        view::device_rules(&self.spec)
    }

    /// The paths that are masked, absolute.
    #[must_use]
    pub fn masked_paths(&self) -> &[String] {
        view::masked_paths(&self.spec)
    }

    /// The paths that are made read-only, absolute.
    #[must_use]
    pub fn readonly_paths(&self) -> &[String] {
        view::readonly_paths(&self.spec)
    }

    /// The propagation of the root mount: a word of mount(8), such as `rslave`.
    #[must_use]
    pub fn rootfs_propagation(&self) -> Option<&str> {
        view::rootfs_propagation(&self.spec)
    }

    /// The hostname to set.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        view::hostname(&self.spec)
    }

    /// The domainname to set.
    #[must_use]
    pub fn domainname(&self) -> Option<&str> {
        view::domainname(&self.spec)
    }

    /// The path of the container's cgroup, if the configuration names one.
    #[must_use]
    pub fn cgroups_path(&self) -> Option<&Path> {
        view::linux(&self.spec)
            .and_then(|linux| linux.cgroups_path().as_deref())
            .filter(|path| !path.as_os_str().is_empty())
    }
}

/// Every rule that a configuration breaks (the first thousand); none for one that
/// [`Config::from_spec`] takes.
#[must_use]
pub fn violations(spec: &Spec) -> Vec<Violation> {
    rules::check(spec, &[]).0
}

/// One error for all findings, if there are any.
fn refuse<'f, T: AsRef<str>>(
    kind: ErrorKind,
    findings: impl Iterator<Item = (&'f Property, T)>,
) -> Result<()> {
    let mut findings = findings.peekable();
    let Some((first, _)) = findings.peek() else {
        return Ok(());
    };
    let first = first.to_string();
    let mut told: Vec<String> =
        findings.by_ref().take(MAX_TOLD).map(|(_, text)| one_line(text.as_ref())).collect();
    let more = findings.count();
    if more > 0 {
        let bound = if told.len() + more < MAX_FINDINGS { "" } else { "at least " };
        told.push(format!("and {bound}{more} more"));
    }
    Err(Error::new(kind, told.join("; ")).with_property(first))
}

/// The text on one line and of bounded length, whatever it quotes.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (at, char) in text.chars().enumerate() {
        if at == MAX_TEXT {
            line.push_str("...");
            break;
        }
        match char.is_control() {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

fn missing(property: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{property}: missing in a validated configuration"))
        .with_property(property)
}
