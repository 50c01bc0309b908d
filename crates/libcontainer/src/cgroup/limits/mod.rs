//! The limits of `linux.resources`, as data: which control file gets which value, and from which
//! property. Pure: what a configuration means can be looked at and tested on any host, also for a version
//! of cgroups that the host doesn't have. [`super::Cgroup::apply_limits`] writes them.
//!
//! A limit is applied, or refused with an error that names it. What asks for nothing has no limit here:
//! the zeros and -1 that the Go runtimes write for "not set".
//!
//! Specification: config-linux.md, "Control groups". Kernel: Documentation/admin-guide/cgroup-v1 and
//! cgroup-v2.rst.

mod apply;
#[cfg(any(test, fuzzing))]
pub(crate) use apply::{covers, members};
mod v1;
mod v2;

use std::fmt;

use oci_spec::runtime::{LinuxBlockIo, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::Placement;
use crate::config::Property;
use crate::error::{Error, ErrorKind, Result, Warning};

/// A value that a control file of the container's cgroup is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The property of `config.json` that asks for it.
    property: String,
    /// The controller that the file belongs to: on v1, its hierarchy.
    controller: String,
    file: String,
    value: String,
    /// Where this kernel doesn't have the file: the one that takes its place, and the value there.
    instead: Option<(&'static str, String)>,
    scope: Scope,
    absence: Absence,
    check: Check,
}

/// Which cgroups get the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The container's.
    Own,
    /// The container's, if it was there before: it takes back what an earlier container left, where that
    /// would forbid what comes next. A new cgroup has this value already.
    Reused,
    /// The container's, and before it the parents that were made for it.
    WithParents,
}

/// What it means that the file doesn't exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// The limit can't be applied.
    Fails,
    /// There is nothing that would have to be limited.
    Fine,
}

/// What the file must say afterwards. Several files take what they don't do, and say so only there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    /// Nothing: the kernel takes the value as it is or refuses it, or the file doesn't show it.
    No,
    /// The value.
    Same,
    /// The number of CPU shares, which the kernel keeps in bounds of its own.
    Shares(u64),
    /// The number, rounded down by less than the unit.
    Rounded { number: u64, unit: u64 },
    /// The line, among others.
    Line(String),
    /// In this file: CPUs or memory nodes, none but those of the value.
    Within(&'static str),
}

/// The largest page of any architecture: by less than that, limits of bytes are rounded down.
const PAGE: u64 = 64 << 10;

impl Limit {
    fn new(
        property: impl fmt::Display,
        controller: &str,
        file: impl Into<String>,
        value: impl fmt::Display,
    ) -> Self {
        Self {
            property: format!("linux.resources.{property}"),
            controller: controller.to_string(),
            file: file.into(),
            value: value.to_string(),
            instead: None,
            scope: Scope::Own,
            absence: Absence::Fails,
            check: Check::No,
        }
    }

    fn instead(mut self, file: &'static str, value: impl fmt::Display) -> Self {
        self.instead = Some((file, value.to_string()));
        self
    }

    fn reused(mut self) -> Self {
        self.scope = Scope::Reused;
        self.may_be_absent()
    }

    fn with_parents(mut self) -> Self {
        self.scope = Scope::WithParents;
        self
    }

    fn may_be_absent(mut self) -> Self {
        self.absence = Absence::Fine;
        self
    }

    fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }
}

/// `linux.resources.pids.limit: pids.max 100`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.property, self.file, self.value)?;
        if let Some((file, value)) = &self.instead {
            write!(f, " or {file} {value}")?;
        }
        match self.scope {
            Scope::Own => Ok(()),
            Scope::Reused => f.write_str(" (if the cgroup was there)"),
            Scope::WithParents => f.write_str(" (and in the parents made for it)"),
        }
    }
}

/// What is written into the container's cgroups, in the order that the kernel wants; and what is left
/// out.
pub(crate) fn limits(
    resources: Option<&LinuxResources>,
    placement: &Placement,
) -> Result<(Vec<Limit>, Vec<Warning>)> {
    let Some(resources) = resources else {
        return Ok((Vec::new(), Vec::new()));
    };
    let is_v2 = placement.v1.is_empty();
    let limits = if is_v2 { v2::v2_writes(resources)? } else { v1::v1_writes(resources)? };
    let has = |limit: &Limit| placement.v1.iter().any(|place| place.has(&limit.controller));
    let missing = if is_v2 {
        // Which controllers a v2 cgroup gets is known when it is made.
        limits.first().filter(|_| placement.unified.is_none())
    } else {
        limits.iter().find(|limit| !has(limit))
    };
    match missing {
        None => Ok((limits, warnings(resources))),
        Some(limit) => Err(refused(
            &limit.property,
            ErrorKind::Unsupported,
            format!(
                "cannot set {controller} limit: no hierarchy with the {controller} controller is \
                 mounted on this host",
                controller = limit.controller
            ),
        )),
    }
}

/// What asks for a limit and gets none.
fn warnings(resources: &LinuxResources) -> Vec<Warning> {
    let memory = resources.memory();
    let of = |get: fn(&LinuxMemory) -> Option<i64>| memory.as_ref().and_then(get);
    let zero = |name, value: Option<i64>| {
        (value == Some(0)).then(|| (name, "0 is taken for \"not set\", as runc does".to_string()))
    };
    let kernel = of(LinuxMemory::kernel).filter(|limit| *limit > 0).map(|_| {
        ("kernel", "ignored: the kernel has given up this limit (Linux 5.16)".to_string())
    });
    [
        zero("limit", of(LinuxMemory::limit)),
        zero("reservation", of(LinuxMemory::reservation)),
        zero("swap", of(LinuxMemory::swap)),
        kernel,
    ]
    .into_iter()
    .flatten()
    .map(|(name, message)| Warning { property: format!("linux.resources.memory.{name}"), message })
    .collect()
}

/// A number that is set: 0 is what the Go runtimes write for one that isn't.
fn set<T: PartialEq + Default>(number: Option<T>) -> Option<T> {
    number.filter(|number| *number != T::default())
}

/// The swappiness, if it is set: the Go runtimes write -1 for one that isn't.
fn swappiness(memory: &LinuxMemory) -> Option<u64> {
    memory.swappiness().filter(|swappiness| *swappiness != u64::MAX)
}

fn pids(limit: i64) -> Limit {
    let value = if limit < 0 { "max".to_string() } else { limit.to_string() };
    Limit::new("pids.limit", "pids", "pids.max", value).check(Check::Same)
}

/// The same file on both versions. A device without a limit asks for nothing.
fn rdma(resources: &LinuxResources) -> Vec<Limit> {
    let mut devices: Vec<_> = resources.rdma().iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    let limits = devices.into_iter().filter_map(|(name, limit)| {
        let handles = limit.hca_handles().map(|number| format!(" hca_handle={number}"));
        let objects = limit.hca_objects().map(|number| format!(" hca_object={number}"));
        let value: String = handles.into_iter().chain(objects).collect();
        let property = Property::at("rdma").name(name);
        (!value.is_empty())
            .then(|| Limit::new(property, "rdma", "rdma.max", format_args!("{name}{value}")))
    });
    limits.collect()
}

/// The four lists of throttled devices: property, devices, and what is throttled.
fn throttles(block_io: &LinuxBlockIo) -> [(&'static str, &[LinuxThrottleDevice], &'static str); 4] {
    [
        ("throttleReadBpsDevice", block_io.throttle_read_bps_device(), "read_bps"),
        ("throttleWriteBpsDevice", block_io.throttle_write_bps_device(), "write_bps"),
        ("throttleReadIOPSDevice", block_io.throttle_read_iops_device(), "read_iops"),
        ("throttleWriteIOPSDevice", block_io.throttle_write_iops_device(), "write_iops"),
    ]
    .map(|(property, devices, what)| (property, devices.as_deref().unwrap_or_default(), what))
}

/// A limit of bytes, which the kernel rounds down. A negative one is none.
fn bytes(number: i64, unit: u64) -> Check {
    Check::Rounded { number: u64::try_from(number).unwrap_or(i64::MAX.unsigned_abs()), unit }
}

/// The size of a huge page as the names of the files have it, such as `2MB`.
fn page_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let shift = match unit {
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn refused(property: &str, kind: ErrorKind, message: impl Into<String>) -> Error {
    Error::new(kind, message).context(property).with_property(property)
}

/// What this version of cgroups can't do, and the specification doesn't let us ignore.
fn not_on_v2(property: &str, why: &str) -> Error {
    let property = format!("linux.resources.{property}");
    refused(&property, ErrorKind::Unsupported, format!("cannot be set on cgroup v2: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    /// The limits of a configuration, as the plan shows them without the common beginning.
    pub(super) fn told(
        writes: fn(&LinuxResources) -> Result<Vec<Limit>>,
        json: &str,
    ) -> Result<Vec<String>> {
        let limits = writes(&serde_json::from_str(json).unwrap())?;
        let text = |limit: &Limit| limit.to_string().replace("linux.resources.", "");
        Ok(limits.iter().map(text).collect())
    }

    fn placement(labels: &[&str], unified: bool) -> Placement {
        let place = |label: &str| Place {
            label: label.to_string(),
            mountpoint: "/cg".into(),
            below: "x".into(),
        };
        Placement {
            v1: labels.iter().map(|label| place(label)).collect(),
            unified: unified.then(|| place("")),
        }
    }

    fn on(placement: &Placement, json: &str) -> Result<(Vec<Limit>, Vec<Warning>)> {
        limits(Some(&serde_json::from_str(json).unwrap()), placement)
    }

    #[test]
    fn a_missing_controller_is_named() {
        for (labels, unified) in [(&["cpu,cpuacct", "memory"][..], true), (&[], false)] {
            let error = on(&placement(labels, unified), r#"{"pids":{"limit":9}}"#).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(error.property(), Some("linux.resources.pids.limit"));
            assert!(error.to_string().contains("with the pids controller"), "{error}");
        }
        let cpu = on(&placement(&["cpu,cpuacct"], true), r#"{"cpu":{"shares":9}}"#).unwrap();
        assert_eq!(cpu.0.len(), 2);
    }

    #[test]
    fn a_hybrid_host_is_a_v1_host() {
        let hybrid = placement(&["memory"], true);
        let (limits, _) = on(&hybrid, r#"{"memory":{"limit":4096}}"#).unwrap();
        assert!(limits.iter().any(|limit| limit.file == "memory.limit_in_bytes"));
        let error = on(&hybrid, r#"{"unified":{"memory.max":"1"}}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn what_asks_for_nothing_needs_no_cgroup() {
        for json in [
            "{}",
            r#"{"memory":{},"cpu":{},"blockIO":{},"hugepageLimits":[],"network":{},"rdma":{},"unified":{}}"#,
            r#"{"memory":{"disableOOMKiller":false,"useHierarchy":true,"checkBeforeUpdate":true,"swappiness":18446744073709551615}}"#,
            r#"{"cpu":{"shares":0,"quota":0,"period":0,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"","mems":""}}"#,
            r#"{"blockIO":{"weight":0,"leafWeight":0,"weightDevice":[{"major":1,"minor":2,"weight":0}]}}"#,
        ] {
            let none = Placement::default();
            for placement in [none, placement(&["memory"], true), placement(&[], true)] {
                assert_eq!(on(&placement, json).unwrap(), (Vec::new(), Vec::new()), "{json}");
            }
        }
        assert_eq!(limits(None, &Placement::default()).unwrap().0, []);
    }

    #[test]
    fn what_is_left_out_is_told() {
        let json = r#"{"memory":{"limit":0,"reservation":0,"swap":0,"kernel":4096,"kernelTCP":0}}"#;
        for placement in [placement(&["memory"], true), placement(&[], true)] {
            let (limits, warnings) = on(&placement, json).unwrap();
            assert_eq!(limits, []);
            let names: Vec<&str> = warnings.iter().map(|w| w.property.as_str()).collect();
            let expected = ["limit", "reservation", "swap", "kernel"];
            assert_eq!(names, expected.map(|name| format!("linux.resources.memory.{name}")));
        }
        let unlimited = r#"{"memory":{"kernel":-1}}"#;
        assert_eq!(on(&placement(&["memory"], true), unlimited).unwrap().1, []);
    }

    #[test]
    fn sizes_of_pages() {
        for (text, size) in [
            ("64KB", Some(64 << 10)),
            ("2MB", Some(2 << 20)),
            ("16GB", Some(16 << 30)),
            ("", None),
            ("B", None),
            ("MB", None),
            ("2TB", None),
            ("xMB", None),
            ("99999999999999999999KB", None),
            ("18446744073709551615GB", None),
        ] {
            assert_eq!(page_size(text), size, "{text}");
        }
    }
}
