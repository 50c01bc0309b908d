//! What this build can do, generated from the tables that the code executes.
//!
//! The shape is that of the runtime-spec's `features.md`, with its order of keys. An absent key means
//! "unknown" there, so a list of which nothing is supported is written as an empty list.

use serde::Serialize;

use crate::host::HostFacts;
use crate::seccomp;

/// The oldest version of the runtime-spec whose configurations are understood.
pub(crate) const OCI_VERSION_MIN: &str = "1.0.0";
/// The newest one.
pub const OCI_VERSION_MAX: &str = "1.3.0";

/// The namespaces that can be created or joined.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// What the runtime can do on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// The oldest version of the runtime-spec that is understood.
    pub oci_version_min: &'static str,
    /// The newest one.
    pub oci_version_max: &'static str,
    /// The hooks that are run.
    pub hooks: Vec<&'static str>,
    /// The mount options that are interpreted, sorted.
    pub mount_options: Vec<&'static str>,
    /// What is particular to Linux.
    pub linux: LinuxFeatures,
    /// Annotations of a configuration that change what the runtime does: a manager must not pass them
    /// on from an image.
    pub potentially_unsafe_config_annotations: Vec<&'static str>,
}

/// What is particular to Linux.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxFeatures {
    /// The namespaces that can be created or joined.
    pub namespaces: Vec<&'static str>,
    /// The capabilities that both the kernel and this build know, in the kernel's order.
    pub capabilities: Vec<String>,
    /// How cgroups can be managed.
    pub cgroup: CgroupFeatures,
    /// System call filters.
    pub seccomp: SeccompFeatures,
    /// AppArmor profiles.
    pub apparmor: Switch,
    /// SELinux labels.
    pub selinux: Switch,
    /// Resource Director Technology.
    pub intel_rdt: IntelRdtFeatures,
    /// NUMA memory policies.
    pub memory_policy: MemoryPolicyFeatures,
    /// What mounts can do beyond their options.
    pub mount_extensions: MountExtensions,
    /// Moving network devices into the container.
    pub net_devices: Switch,
}

/// How cgroups can be managed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFeatures {
    /// The version 1 hierarchies.
    pub v1: bool,
    /// The unified hierarchy.
    pub v2: bool,
    /// Through systemd.
    pub systemd: bool,
    /// Through a user's systemd.
    pub systemd_user: bool,
    /// Limits of the rdma controller.
    pub rdma: bool,
}

/// System call filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompFeatures {
    /// They can be loaded.
    pub enabled: bool,
    /// The actions.
    pub actions: Vec<&'static str>,
    /// The operators of comparisons.
    pub operators: Vec<&'static str>,
    /// The architectures. One that this machine's kernel has nothing of is accepted, and asks for nothing.
    pub archs: Vec<&'static str>,
    /// The flags that are understood.
    pub known_flags: Vec<&'static str>,
    /// Those of them that this kernel supports.
    pub supported_flags: Vec<&'static str>,
}

/// Something that is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Switch {
    /// It is there.
    pub enabled: bool,
}

/// Resource Director Technology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntelRdtFeatures {
    /// Class of service.
    pub enabled: bool,
    /// The property `schemata`.
    pub schemata: bool,
    /// The property `enableMonitoring`.
    pub monitoring: bool,
}

/// NUMA memory policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryPolicyFeatures {
    /// The modes that can be set.
    pub modes: Vec<&'static str>,
    /// The flags that can be set.
    pub flags: Vec<&'static str>,
}

/// What mounts can do beyond their options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountExtensions {
    /// Idmapped mounts.
    pub idmap: Switch,
}

impl Features {
    /// What this build can do on a host of these facts.
    #[must_use]
    pub fn new(host: &HostFacts) -> Self {
        Self {
            oci_version_min: OCI_VERSION_MIN,
            oci_version_max: OCI_VERSION_MAX,
            hooks: crate::plan::HookKind::ALL.iter().map(|kind| kind.name()).collect(),
            mount_options: crate::plan::options::names().collect(),
            linux: LinuxFeatures::new(host),
            potentially_unsafe_config_annotations: Vec::new(),
        }
    }
}

impl LinuxFeatures {
    fn new(host: &HostFacts) -> Self {
        const NOT_YET: Switch = Switch { enabled: false };
        // Whether the host has the module is not asked here: the specification says so.
        const THERE: Switch = Switch { enabled: true };
        Self {
            namespaces: NAMESPACES.to_vec(),
            capabilities: capabilities(host.capabilities.last),
            cgroup: CgroupFeatures {
                v1: true,
                v2: true,
                systemd: false,
                systemd_user: false,
                rdma: true,
            },
            seccomp: SeccompFeatures::new(host),
            apparmor: THERE,
            selinux: THERE,
            intel_rdt: IntelRdtFeatures { enabled: false, schemata: false, monitoring: false },
            memory_policy: MemoryPolicyFeatures { modes: Vec::new(), flags: Vec::new() },
            mount_extensions: MountExtensions { idmap: NOT_YET },
            net_devices: NOT_YET,
        }
    }
}

impl SeccompFeatures {
    fn new(host: &HostFacts) -> Self {
        // The others are older than any kernel that we run on.
        let supported =
            |flag: &&str| *flag != seccomp::WAIT_KILLABLE || host.kernel.wait_killable_recv;
        Self {
            enabled: true,
            actions: seccomp::ACTIONS.to_vec(),
            operators: seccomp::OPERATORS.to_vec(),
            archs: seccomp::ARCHITECTURES.to_vec(),
            known_flags: seccomp::FLAGS.to_vec(),
            supported_flags: seccomp::FLAGS.iter().copied().filter(supported).collect(),
        }
    }
}

/// The names of the capabilities up to the last one that the running kernel knows.
fn capabilities(last: u32) -> Vec<String> {
    let mut known: Vec<_> = caps::all()
        .into_iter()
        .filter(|capability| u32::from(capability.index()) <= last)
        .collect();
    known.sort_by_key(caps::Capability::index);
    known.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Layout;
    use crate::host::{HostCapabilities, KernelFeatures, SecurityModules};

    fn host(last: u32) -> HostFacts {
        HostFacts {
            kernel: KernelFeatures {
                mount_setattr: true,
                memfd_exec: true,
                time_namespace_at_exec: true,
                wait_killable_recv: true,
                pidfd_exit_info: true,
                keyrings: true,
            },
            cgroup: Layout::None,
            lsm: SecurityModules { apparmor: false, selinux: false },
            capabilities: HostCapabilities { last, effective: 0, bounding: 0 },
        }
    }

    /// Where each of these stands in the text.
    fn places(json: &str, keys: &[&str]) -> Vec<usize> {
        keys.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap()).collect()
    }

    #[test]
    fn a_flag_that_the_kernel_lacks_is_known_but_not_supported() {
        let mut host = host(1);
        let flags = |host: &HostFacts| SeccompFeatures::new(host).supported_flags;
        assert_eq!(flags(&host), seccomp::FLAGS);
        host.kernel.wait_killable_recv = false;
        assert_eq!(flags(&host), seccomp::FLAGS[..3]);
        assert_eq!(SeccompFeatures::new(&host).known_flags, seccomp::FLAGS);
    }

    #[test]
    fn keys_come_in_the_order_of_the_specification() {
        let json = serde_json::to_string(&Features::new(&host(1))).unwrap();
        let keys = [
            "ociVersionMin",
            "ociVersionMax",
            "hooks",
            "mountOptions",
            "linux",
            "namespaces",
            "capabilities",
            "cgroup",
            "seccomp",
            "apparmor",
            "selinux",
            "intelRdt",
            "memoryPolicy",
            "mountExtensions",
            "netDevices",
            "potentiallyUnsafeConfigAnnotations",
        ];
        assert!(places(&json, &keys).is_sorted(), "{json}");
        assert!(!json.contains("null"), "{json}");
        assert!(json.contains(r#""capabilities":["CAP_CHOWN","CAP_DAC_OVERRIDE"]"#), "{json}");
    }

    #[test]
    fn capabilities_end_with_the_last_of_the_kernel() {
        for (last, count, name) in [
            (0, 1, "CAP_CHOWN"),
            (37, 38, "CAP_AUDIT_READ"),
            (40, 41, "CAP_CHECKPOINT_RESTORE"),
            (63, 41, "CAP_CHECKPOINT_RESTORE"),
        ] {
            let names = capabilities(last);
            assert_eq!(names.len(), count, "{last}");
            assert_eq!(names.last().map(String::as_str), Some(name), "{last}");
        }
    }
}
