//! `tare spec`: a configuration to begin with.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use libcontainer::cgroup::Layout;
use serde_json::{Value, json};

use crate::args::{self, Globals};
use crate::text;

const TEMPLATE: &str = include_str!("../../../../fixtures/spec.json");
const ROOTLESS_TEMPLATE: &str = include_str!("../../../../fixtures/spec-rootless.json");

/// create a new specification file
///
/// The spec command writes a starter "config.json" for a bundle. It runs a shell in the root filesystem
/// "rootfs" beside it; edit it to suit.
#[derive(Debug, clap::Parser)]
#[command(name = "spec", disable_help_flag = true, verbatim_doc_comment, args_override_self = true)]
pub(crate) struct Spec {
    /// path to the root of the bundle directory
    #[arg(long, short)]
    bundle: Option<OsString>,
    /// generate a configuration for a rootless container
    #[arg(long)]
    rootless: bool,
}

impl super::Execute for Spec {
    fn execute(self, _globals: &Globals) -> anyhow::Result<ExitCode> {
        let unified = matches!(Layout::probe()?, Layout::V2(_));
        let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let spec = generate(self.rootless.then_some(ids), unified)?;
        let directory = args::given(self.bundle.as_ref()).unwrap_or_default();
        write(&Path::new(directory).join("config.json"), &spec)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The template, for a user and group or for root, on a host that has only cgroup v2 or not.
fn generate(rootless: Option<(u32, u32)>, unified: bool) -> anyhow::Result<Vec<u8>> {
    let template = if rootless.is_some() { ROOTLESS_TEMPLATE } else { TEMPLATE };
    let mut spec: Value = serde_json::from_str(template).context("read the template")?;
    let linux = &mut spec["linux"];
    if let Some((uid, gid)) = rootless {
        let map = |id| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        linux["uidMappings"] = map(uid);
        linux["gidMappings"] = map(gid);
    }
    if unified && let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    text::json(&spec, b"\t")
}

fn write(path: &Path, spec: &[u8]) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(spec));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("File config.json exists. Remove it first")
        }
        written => written
            .map_err(|error| text::io(&error))
            .with_context(|| format!("write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(spec: &Value) -> Vec<&str> {
        let namespaces = spec["linux"]["namespaces"].as_array().unwrap();
        namespaces.iter().map(|n| n["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_spec_is_the_template_with_tabs() {
        let bytes = generate(None, false).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), TEMPLATE.trim_end());
    }

    #[test]
    fn cgroup_v2_brings_a_cgroup_namespace() {
        for rootless in [None, Some((0, 0))] {
            for unified in [true, false] {
                let spec = generate(rootless, unified).unwrap();
                let spec: Value = serde_json::from_slice(&spec).unwrap();
                assert_eq!(types(&spec).contains(&"cgroup"), unified);
                assert_eq!(types(&spec).contains(&"user"), rootless.is_some());
                assert_eq!(types(&spec).contains(&"network"), rootless.is_none());
            }
        }
    }

    #[test]
    fn a_rootless_spec_maps_the_caller() {
        let spec = generate(Some((1000, 100)), false).unwrap();
        let spec: Value = serde_json::from_slice(&spec).unwrap();
        for (name, id) in [("uidMappings", 1000), ("gidMappings", 100)] {
            let map = json!([{"containerID": 0, "hostID": id, "size": 1}]);
            assert_eq!(spec["linux"][name], map);
        }
        assert!(spec["linux"].get("resources").is_none());
    }
}
