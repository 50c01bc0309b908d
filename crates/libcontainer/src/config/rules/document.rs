//! The version, the root, the names of the host, the annotations.

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::{Report, Rule};
use crate::config::view;

/// `__NEW_UTS_LEN`, include/uapi/linux/utsname.h.
const UTS_LEN: usize = 64;

pub(super) const RULES: &[Rule] = &[
    Rule { property: "ociVersion", allowed: "a semantic version 1.x.y", check: oci_version },
    Rule {
        property: "root",
        allowed: "an object with a path",
        check: |spec, report| {
            if spec.root().is_none() {
                report.wrong("root must be specified");
            }
        },
    },
    Rule {
        property: "root.path",
        allowed: "an absolute path, or one relative to the bundle",
        check: |spec, report| {
            if spec.root().as_ref().is_some_and(|root| root.path().as_os_str().is_empty()) {
                report.wrong("must not be empty");
            }
        },
    },
    Rule {
        property: "hostname",
        allowed: "a hostname together with a uts namespace",
        check: |spec, report| {
            if view::hostname(spec).is_some() && !has_uts(spec) {
                report.wrong("unable to set hostname without a private UTS namespace");
            }
        },
    },
    Rule {
        property: "hostname",
        allowed: "at most 64 bytes",
        check: |spec, report| too_long(view::hostname(spec), report),
    },
    Rule {
        property: "domainname",
        allowed: "a domainname together with a uts namespace",
        check: |spec, report| {
            if view::domainname(spec).is_some() && !has_uts(spec) {
                report.wrong("unable to set domainname without a private UTS namespace");
            }
        },
    },
    Rule {
        property: "domainname",
        allowed: "at most 64 bytes",
        check: |spec, report| too_long(view::domainname(spec), report),
    },
    Rule {
        property: "annotations",
        allowed: "keys that are not empty",
        check: |spec, report| {
            if spec.annotations().as_ref().is_some_and(|annotations| annotations.contains_key("")) {
                report.wrong_at(report.property().name(""), "the key is empty");
            }
        },
    },
];

fn oci_version(spec: &Spec, report: &mut Report<'_>) {
    let version = spec.version();
    if version.is_empty() {
        report.wrong("must be specified");
    } else if !is_semver_1(version) {
        report.wrong(format!("{version:?} is not supported"));
    }
}

/// Is it a version 1.x.y of semver.org, with or without a pre-release and a build?
fn is_semver_1(version: &str) -> bool {
    let (version, build) = match version.split_once('+') {
        Some((version, build)) => (version, Some(build)),
        None => (version, None),
    };
    let (core, pre_release) = match version.split_once('-') {
        Some((core, pre_release)) => (core, Some(pre_release)),
        None => (version, None),
    };
    let numbers: Vec<&str> = core.split('.').collect();
    matches!(numbers.as_slice(), ["1", minor, patch] if is_number(minor) && is_number(patch))
        && build.is_none_or(|build| build.split('.').all(is_identifier))
        && pre_release.is_none_or(|pre| {
            pre.split('.').all(|part| {
                is_identifier(part)
                    && (!part.bytes().all(|b| b.is_ascii_digit()) || is_number(part))
            })
        })
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || (!text.is_empty() && !text.starts_with('0')))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn has_uts(spec: &Spec) -> bool {
    view::namespace(spec, LinuxNamespaceType::Uts).is_some()
}

fn too_long(name: Option<&str>, report: &mut Report<'_>) {
    if let Some(name) = name.filter(|name| name.len() > UTS_LEN) {
        report.wrong(format!("is {} bytes long", name.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::is_semver_1;

    #[test]
    fn versions() {
        for (version, expected) in [
            ("1.0.0", true),
            ("1.0.2-dev", true),
            ("1.2.0+dev", true),
            ("1.3.0", true),
            ("1.0.0-rc5", true),
            ("1.0.0-rc5-dev", true),
            ("1.10.0-rc.1+build.007", true),
            ("1.0", false),
            ("1", false),
            ("1.0.0.0", false),
            ("v1.0.0", false),
            ("0.9.0", false),
            ("2.0.0", false),
            ("10.0.0", false),
            ("01.0.0", false),
            ("1.00.0", false),
            ("1..0", false),
            ("1.0.0-", false),
            ("1.0.0-01", false),
            ("1.0.0+", false),
            ("1.0.0+a+b", false),
            ("1.0.0 ", false),
            ("1.0.-1", false),
            ("foo", false),
            ("", false),
        ] {
            assert_eq!(is_semver_1(version), expected, "{version:?}");
        }
    }
}
