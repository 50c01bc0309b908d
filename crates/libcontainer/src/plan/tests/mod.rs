//! What the tests of plans share: hosts that are made by hand, and the fixtures.

pub(crate) mod format;
pub(crate) mod order;
#[cfg(test)]
mod snapshots;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[cfg(test)]
pub(super) use self::format::Sample;
use super::{Plan, Request, compile};
use crate::cgroup::{Hierarchy, Layout, Unified};
use crate::config::Config;
use crate::container::{Keyring, Pivot};
use crate::error::Result;
use crate::host::{HostCapabilities, HostFacts, KernelFeatures, SecurityModules};

/// A current kernel, a caller with all capabilities.
pub(crate) fn host(cgroup: Layout) -> HostFacts {
    let all = u64::MAX >> 23;
    HostFacts {
        kernel: KernelFeatures {
            mount_setattr: true,
            memfd_exec: true,
            time_namespace_at_exec: true,
            wait_killable_recv: true,
            pidfd_exit_info: true,
            keyrings: true,
        },
        cgroup,
        lsm: SecurityModules { apparmor: true, selinux: true },
        capabilities: HostCapabilities { last: 40, effective: all, bounding: all },
    }
}

fn unified(mountpoint: &str) -> Unified {
    Unified {
        mountpoint: PathBuf::from(mountpoint),
        mount_root: PathBuf::from("/"),
        own: PathBuf::from("/user.slice/session-1.scope"),
    }
}

/// cgroup v2 alone.
pub(crate) fn v2() -> Layout {
    Layout::V2(unified("/sys/fs/cgroup"))
}

/// Nine v1 hierarchies, and the v2 one beside them.
pub(crate) fn hybrid() -> Layout {
    let shared = ["cpuset", "cpu,cpuacct", "memory", "devices", "freezer", "net_cls,net_prio"];
    let controllers = shared.into_iter().chain(["blkio", "pids"]);
    let hierarchy = |name: &str, controllers: Vec<String>, named: Option<&str>| Hierarchy {
        controllers,
        name: named.map(str::to_string),
        mountpoint: Path::new("/sys/fs/cgroup").join(name),
        mount_root: PathBuf::from("/"),
        own: PathBuf::from("/user.slice"),
    };
    let mut hierarchies: Vec<Hierarchy> = controllers
        .map(|name| hierarchy(name, name.split(',').map(str::to_string).collect(), None))
        .collect();
    hierarchies.push(hierarchy("systemd", Vec::new(), Some("systemd")));
    Layout::V1 { hierarchies, unified: Some(unified("/sys/fs/cgroup/unified")) }
}

/// The names of all fixtures, sorted.
pub(crate) fn fixtures() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    names.sort();
    names
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) fn fixture(name: &str) -> Value {
    let bytes = fs::read(directory().join(name).with_extension("json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The configuration without what this version refuses, and without the resources that this host can't
/// limit; and the refusals if there were some.
pub(crate) fn supported(mut json: Value, facts: &HostFacts) -> (Config, Option<String>) {
    let mut refused = Vec::new();
    if let Err(error) = load(&json) {
        remove(&mut json, &error.to_string());
        refused.push(error.to_string());
    }
    loop {
        let config = load(&json).unwrap();
        let resource = plan(&config, facts).err().and_then(|error| {
            let name =
                error.property()?.strip_prefix("linux.resources.")?.split(['.', '[']).next()?;
            Some((name.to_string(), error.to_string()))
        });
        let Some((name, error)) = resource else {
            return (config, (!refused.is_empty()).then(|| refused.join("; ")));
        };
        let resources = json.pointer_mut("/linux/resources").unwrap().as_object_mut().unwrap();
        drop(resources.shift_remove(&name).unwrap());
        refused.push(error);
    }
}

/// Removes the properties that a message begins with.
fn remove(json: &mut Value, error: &str) {
    // From behind, so that the indices of lists stay right.
    for refusal in error.rsplit("; ") {
        let (property, _) = refusal.split_once(": ").unwrap();
        let pointer = format!("/{}", property.replace("].", "/").replace(['.', '['], "/"));
        let pointer = pointer.trim_end_matches(']');
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match json.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.shift_remove(last).unwrap()),
            Value::Array(items) => drop(items.remove(last.parse().unwrap())),
            other => panic!("{pointer}: {other}"),
        }
    }
}

pub(super) fn load(json: &Value) -> Result<Config> {
    Config::from_bytes(&serde_json::to_vec(json).unwrap())
}

/// Compiles for a container that inherits the streams of its caller.
pub(crate) fn plan(config: &Config, facts: &HostFacts) -> Result<Plan> {
    let request = Request {
        id: "box",
        bundle: Path::new("/bundle"),
        has_stdio: false,
        preserve_fds: 0,
        pivot: Pivot::PivotRoot,
        keyring: Keyring::New,
    };
    compile(config, &request, facts)
}
