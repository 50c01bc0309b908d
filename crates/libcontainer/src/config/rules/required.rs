//! What the runtime-spec requires and oci-spec reads as 0 where it is absent: a mapping without hostID
//! would make the container's root the host's, a limit without numbers would let nothing run.

use oci_spec::runtime::Process;

use super::Rule;
use crate::config::view;

pub(super) const RULES: &[Rule] =
    &[Rule {
        property: "",
        allowed: "a value: the runtime-spec requires one",
        check: |spec, report| {
            // Without a terminal its size must be ignored, whatever it is.
            let terminal = view::process(spec).and_then(Process::terminal) == Some(true);
            for property in report.absent.iter().filter(|property| {
                terminal || !property.to_string().starts_with("process.consoleSize")
            }) {
                report.wrong_at(property.clone(), "must be specified");
            }
        },
    }];
