//! The rules that a configuration must keep, as a table.
//!
//! A rule names a property, says what is allowed there, and has a small pure function that reports what
//! breaks it. All rules always run: a configuration gets all its violations at once. To add a rule, add
//! a row to the table of its subject.
//!
//! Where runc refuses the same thing, its words are used: callers and their users look for them.

mod devices;
mod document;
mod execve;
mod hooks;
mod ids;
mod mounts;
mod namespaces;
mod process;
mod rdt;
mod required;
mod resources;
mod scheduling;
mod seccomp;
mod strings;
mod sysctl;

use std::fmt;

use oci_spec::runtime::Spec;

use super::MAX_FINDINGS;
use super::property::Property;
use crate::error::Warning;

/// A rule that the configuration breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub(super) property: Property,
    wrong: String,
    allowed: &'static str,
}

impl Violation {
    /// Where it breaks the rule. [`Property::pointer`] gives it as a JSON pointer.
    #[must_use]
    pub fn property(&self) -> &Property {
        &self.property
    }

    /// What is wrong there.
    #[must_use]
    pub fn wrong(&self) -> &str {
        &self.wrong
    }

    /// What is allowed there.
    #[must_use]
    pub fn allowed(&self) -> &str {
        self.allowed
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (allowed: {})", self.property, self.wrong, self.allowed)
    }
}

/// One rule.
struct Rule {
    /// The property that it is about.
    property: &'static str,
    /// What is allowed there, for the message.
    allowed: &'static str,
    /// Reports what isn't.
    check: fn(&Spec, &mut Report<'_>),
}

/// Where a rule puts what it finds.
struct Report<'r> {
    rule: &'r Rule,
    absent: &'r [Property],
    violations: &'r mut Vec<Violation>,
    warnings: &'r mut Vec<Warning>,
}

impl Report<'_> {
    /// The rule's own property, to be extended by an index or a name.
    fn property(&self) -> Property {
        Property::at(self.rule.property)
    }

    /// The rule's property itself breaks the rule.
    fn wrong(&mut self, wrong: impl Into<String>) {
        self.wrong_at(self.property(), wrong);
    }

    /// A part of the rule's property breaks the rule.
    fn wrong_at(&mut self, property: Property, wrong: impl Into<String>) {
        if self.violations.len() >= MAX_FINDINGS {
            return;
        }
        self.violations.push(Violation {
            property,
            wrong: wrong.into(),
            allowed: self.rule.allowed,
        });
    }

    /// What the runtime-spec forbids and every runtime accepts.
    fn warn_at(&mut self, property: &Property, message: impl Into<String>) {
        if self.warnings.len() >= MAX_FINDINGS {
            return;
        }
        self.warnings.push(Warning { property: property.to_string(), message: message.into() });
    }
}

const SUBJECTS: &[&[Rule]] = &[
    document::RULES,
    required::RULES,
    process::RULES,
    execve::RULES,
    scheduling::RULES,
    ids::RULES,
    mounts::RULES,
    namespaces::RULES,
    devices::RULES,
    hooks::RULES,
    resources::RULES,
    rdt::RULES,
    seccomp::RULES,
    strings::RULES,
    sysctl::RULES,
];

/// Every rule that the configuration breaks, and the warnings; at most `MAX_FINDINGS` of each. `absent`
/// are the required members that its text doesn't have.
pub(super) fn check(spec: &Spec, absent: &[Property]) -> (Vec<Violation>, Vec<Warning>) {
    let mut violations = Vec::new();
    let mut warnings = Vec::new();
    for rule in SUBJECTS.iter().copied().flatten() {
        let mut report =
            Report { rule, absent, violations: &mut violations, warnings: &mut warnings };
        (rule.check)(spec, &mut report);
    }
    (violations, warnings)
}

/// What each rule is about, and what it allows.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    SUBJECTS.iter().copied().flatten().map(|rule| (rule.property, rule.allowed))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::load;
    use super::*;

    /// What breaks the rules that only a large file can break: it isn't kept as one.
    fn too_large() -> String {
        let (groups, argument) = ("1,".repeat(65537), "x".repeat(2 << 20));
        format!(
            r#"{{"process":{{"cwd":"/","user":{{"additionalGids":[{groups}1]}},"args":["{argument}"],
                "rlimits":[{{"type":"RLIMIT_STACK","soft":0,"hard":0}}]}}}}"#
        )
    }

    /// A rule that no bad fixture breaks could be a rule that nothing breaks.
    #[test]
    fn each_rule_is_broken_by_a_bad_fixture() {
        let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bad");
        let mut broken: Vec<Violation> = Vec::new();
        for entry in fs::read_dir(bad).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            if let Ok(loaded) = load::parse(&bytes)
                && let Some(spec) = loaded.spec
            {
                broken.extend(check(&spec, &loaded.absent).0);
            }
        }
        broken.extend(check(&serde_json::from_str(&too_large()).unwrap(), &[]).0);
        for rule in SUBJECTS.iter().copied().flatten() {
            assert!(
                broken.iter().any(|violation| {
                    violation.allowed == rule.allowed
                        && violation.property.to_string().starts_with(rule.property)
                }),
                "{}: {}",
                rule.property,
                rule.allowed
            );
        }
    }
}
