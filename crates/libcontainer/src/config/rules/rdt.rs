//! Intel RDT (config-linux.md, "IntelRdt"): what becomes a name below resctrl, or a line of its files.

use oci_spec::runtime::{LinuxIntelRdt, Spec};

use super::Rule;
use crate::config::property::Property;
use crate::config::view;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "linux.intelRdt.closID",
        allowed: "the name of a directory, or /",
        check: |spec, report| {
            let id = rdt(spec).and_then(|rdt| view::text(rdt.clos_id().as_ref()));
            if let Some(id) = id.filter(|id| *id != "/" && !is_file_name(id)) {
                report.wrong(format!("{id:?} is no name"));
            }
        },
    },
    Rule {
        property: "linux.intelRdt.memBwSchema",
        allowed: "a line that begins with MB:",
        check: |spec, report| {
            let line = rdt(spec).and_then(|rdt| view::text(rdt.mem_bw_schema().as_ref()));
            if let Some(line) = line.filter(|line| !line.starts_with("MB:")) {
                report.wrong(format!("{line:?} does not begin with MB:"));
            }
        },
    },
    Rule {
        property: "linux.intelRdt",
        allowed: "lines without newlines",
        check: |spec, report| {
            let at = |name: &str| Property::at("linux.intelRdt").name(name);
            let schemata = rdt(spec).and_then(|rdt| rdt.schemata().as_ref());
            let schemata = view::list(schemata).iter().enumerate();
            let bandwidth = rdt(spec).and_then(|rdt| rdt.mem_bw_schema().as_ref());
            let lines = schemata
                .map(|(index, line)| (at("schemata").index(index), line))
                .chain(bandwidth.map(|line| (at("memBwSchema"), line)));
            for (property, line) in lines {
                if line.contains(['\n', '\0']) {
                    report.wrong_at(property, format!("{line:?} is more than a line"));
                }
            }
        },
    },
];

fn rdt(spec: &Spec) -> Option<&LinuxIntelRdt> {
    view::linux(spec)?.intel_rdt().as_ref()
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "." | "..") && !name.contains(['/', '\0', '\n'])
}
