//! What this host can do: probed once, passed as a value, and made by hand in tests.
//!
//! The kernel is asked, not its version, wherever a call can be made that fails harmlessly. Every start
//! of a container by a fresh process pays for this, so that it is bare system calls and one or two files.

use std::fs;

use nix::errno::Errno;
use nix::sys::statfs::{FsType, statfs};

use crate::cgroup::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::probe::{self, Probe};

/// What this host can do. Compiling a plan is a function of it, so that a plan for another host can be
/// looked at and tested anywhere: change what [`HostFacts::probe`] or [`HostFacts::minimal`] returns.
#[non_exhaustive]
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
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFeatures {
    /// `mount_setattr(2)`, Linux 5.12.
    pub mount_setattr: bool,
    /// memfd_create(2) knows `MFD_EXEC`, Linux 6.3. It may still refuse it, with `EACCES`, where the
    /// sysctl `vm.memfd_noexec` is 2.
    pub memfd_exec: bool,
    /// A new time namespace is entered at execve, so that no second clone is needed for one. Linux 6.2.
    pub time_namespace_at_exec: bool,
    /// keyctl(2): a kernel may be built without keys.
    pub keyrings: bool,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19.
    pub wait_killable_recv: bool,
    /// `PIDFD_GET_INFO` with the exit status, Linux 6.15.
    pub pidfd_exit_info: bool,
}

/// The Linux security modules that label processes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityModules {
    /// AppArmor is active.
    pub apparmor: bool,
    /// SELinux is active.
    pub selinux: bool,
}

/// The capabilities of the kernel and of the caller (capabilities(7)), as masks with bit `1 << CAP_X`.
#[non_exhaustive]
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
    /// A host that has what Linux 5.10 has and nothing beyond: no cgroup hierarchy is mounted, no security
    /// module is active, and the caller has all capabilities of that kernel.
    #[must_use]
    pub fn minimal() -> Self {
        /// `CAP_CHECKPOINT_RESTORE`, Linux 5.9.
        const LAST: u32 = 40;
        let all = (1 << (LAST + 1)) - 1;
        Self {
            kernel: KernelFeatures {
                mount_setattr: false,
                memfd_exec: false,
                time_namespace_at_exec: false,
                keyrings: false,
                wait_killable_recv: false,
                pidfd_exit_info: false,
            },
            cgroup: Layout::None,
            lsm: SecurityModules { apparmor: false, selinux: false },
            capabilities: HostCapabilities { last: LAST, effective: all, bounding: all },
        }
    }

    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the kernel lacks something that Linux 5.10 has, or if the state of
    /// the host can't be read.
    ///
    /// # Kernel
    ///
    /// uname(2), memfd_create(2), statfs(2), capget(2), prctl(2), and the system calls that are asked for.
    pub fn probe() -> Result<Self> {
        check_floor()?;
        Ok(Self {
            kernel: KernelFeatures::probe(),
            cgroup: Layout::probe()?,
            lsm: SecurityModules::probe(),
            capabilities: HostCapabilities::probe()?,
        })
    }
}

impl KernelFeatures {
    /// Two of these go by the version, because there is no cheap question. To see a time namespace
    /// entered at execve takes a vfork and an execve: commit 2b5f9dad32ed, Linux 6.2 (it was in 6.0-rc,
    /// and reverted). `PIDFD_GET_INFO` ignores masks that it doesn't know, so that before 6.15 it answers
    /// for a living process as it does after; only a process that was reaped shows the difference.
    /// A kernel with one of them backported is served by the older way, which is right there too.
    fn probe() -> Self {
        let version = probe::kernel_version();
        Self {
            mount_setattr: probe::MOUNT_SETATTR.errno() != Errno::ENOSYS,
            memfd_exec: probe::memfd_exec(),
            time_namespace_at_exec: version >= (6, 2),
            keyrings: has_keyrings(),
            wait_killable_recv: probe::WAIT_KILLABLE_RECV.errno() == Errno::EFAULT,
            pidfd_exit_info: version >= (6, 15),
        }
    }
}

/// ENOSYS is also what a seccomp filter around us may say, of a kernel that has keys. Then a container that
/// went without its keyring would have that of its caller.
fn has_keyrings() -> bool {
    probe::KEYCTL.errno() != Errno::ENOSYS || fs::exists("/proc/sys/kernel/keys").unwrap_or(true)
}

impl SecurityModules {
    /// Both as their own libraries ask. A module that can't be asked is not active.
    fn probe() -> Self {
        const SELINUX: FsType = FsType(libc::SELINUX_MAGIC);
        let apparmor = fs::read("/sys/module/apparmor/parameters/enabled");
        let selinux = statfs("/sys/fs/selinux").map(|fs| fs.filesystem_type());
        Self {
            apparmor: apparmor.is_ok_and(|enabled| enabled.starts_with(b"Y")),
            selinux: selinux == Ok(SELINUX),
        }
    }
}

impl HostCapabilities {
    /// The bounding set is read one by one: that costs half of reading `/proc/thread-self/status`, and
    /// the first number that the kernel refuses ends its list, so that `cap_last_cap` is not needed.
    fn probe() -> Result<Self> {
        let effective = probe::effective_capabilities()
            .map_err(|errno| Error::os("capget(0)", errno as i32))?;
        let mut bounding = 0;
        let mut known = 0;
        while known < u64::BITS {
            match probe::bounding_capability(known) {
                Ok(is_in) => bounding |= u64::from(is_in) << known,
                Err(Errno::EINVAL) => break,
                Err(errno) => {
                    let call = format!("prctl(PR_CAPBSET_READ, {known})");
                    return Err(Error::os(call, errno as i32));
                }
            }
            known += 1;
        }
        Ok(Self { last: known.saturating_sub(1), effective, bounding })
    }
}

/// Refuses a kernel older than Linux 5.10, or one that hides from us what that has.
fn check_floor() -> Result<()> {
    let answers = probe::FLOOR.map(|probe| (probe, probe.errno()));
    match floor_violation(&answers) {
        None => Ok(()),
        Some(message) => Err(Error::new(ErrorKind::Unsupported, message)),
    }
}

/// What is missing. A seccomp filter answers `ENOSYS` or `EPERM` before the kernel has a look; a call
/// that asks for privileges before anything else answers `EPERM` to everybody else without one.
fn floor_violation(answers: &[(Probe, Errno)]) -> Option<String> {
    let named = |wanted: &dyn Fn(&Probe, Errno) -> bool| {
        answers
            .iter()
            .filter(|(probe, errno)| wanted(probe, *errno))
            .map(|(probe, _)| format!("{}(2)", probe.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let missing = named(&|_, errno| errno == Errno::ENOSYS);
    if !missing.is_empty() {
        return Some(format!(
            "this kernel has no {missing}, or a seccomp filter hides it: Linux 5.10 is the least"
        ));
    }
    let forbidden = named(&|probe, errno| errno == Errno::EPERM && !probe.privilege_first);
    if !forbidden.is_empty() {
        return Some(format!(
            "a seccomp filter forbids {forbidden}: nothing can be run without it"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A line of `/proc/thread-self/status`: another source for what the probe asks.
    fn status_mask(key: &str) -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        let mask = line.split_whitespace().nth(1).unwrap();
        u64::from_str_radix(mask, 16).unwrap()
    }

    #[test]
    fn capabilities_are_those_that_proc_shows() {
        let facts = HostCapabilities::probe().unwrap();
        assert_eq!(facts.effective, status_mask("CapEff:"));
        assert_eq!(facts.bounding, status_mask("CapBnd:"));
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        assert_eq!(facts.last, last.trim().parse::<u32>().unwrap());
    }

    #[test]
    fn asked_features_agree_with_the_version() {
        let facts = KernelFeatures::probe();
        let version = probe::kernel_version();
        assert_eq!(facts.mount_setattr, version >= (5, 12));
        assert_eq!(facts.keyrings, fs::exists("/proc/sys/kernel/keys").unwrap());
        assert_eq!(facts.memfd_exec, version >= (6, 3));
    }

    #[test]
    fn modules_are_those_that_the_kernel_lists() {
        let facts = SecurityModules::probe();
        // securityfs need not be mounted; then neither module can be in use.
        let listed = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let listed: Vec<_> = listed.split(',').collect();
        assert!(!facts.apparmor || listed.is_empty() || listed.contains(&"apparmor"));
        assert_eq!(facts.selinux, fs::exists("/sys/fs/selinux/enforce").unwrap());
    }

    #[test]
    fn a_floor_violation_names_everything_that_is_missing() {
        let answers = |errnos: [Errno; 7]| {
            let mut errnos = errnos.into_iter();
            probe::FLOOR.map(|probe| (probe, errnos.next().unwrap()))
        };
        let (good, gone, refused) = (Errno::EINVAL, Errno::ENOSYS, Errno::EPERM);
        for (errnos, message) in [
            ([good; 7], None),
            // fsopen and move_mount without CAP_SYS_ADMIN.
            ([good, good, good, good, good, refused, refused], None),
            (
                [gone, good, good, good, good, good, gone],
                Some("this kernel has no openat2(2), move_mount(2), "),
            ),
            (
                [good, refused, good, good, good, good, good],
                Some("a seccomp filter forbids clone3(2): "),
            ),
        ] {
            let found = floor_violation(&answers(errnos));
            match message {
                None => assert_eq!(found, None),
                Some(start) => assert!(found.unwrap().starts_with(start), "{start}"),
            }
        }
    }

    #[test]
    fn a_host_without_a_call_is_refused_by_name() {
        for (number, errno, start) in [
            (libc::SYS_openat2, Errno::ENOSYS, "this kernel has no openat2(2)"),
            (libc::SYS_fsopen, Errno::ENOSYS, "this kernel has no fsopen(2)"),
            (libc::SYS_clone3, Errno::EPERM, "a seccomp filter forbids clone3(2)"),
        ] {
            // A filter can't be taken off: it goes with the thread.
            let error = thread::spawn(move || {
                probe::forbid(number, errno);
                HostFacts::probe().unwrap_err()
            })
            .join()
            .unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().starts_with(start), "{error}");
        }
    }

    #[test]
    fn a_host_without_an_option_is_taken_as_it_is() {
        let facts = thread::spawn(|| {
            probe::forbid(libc::SYS_mount_setattr, Errno::ENOSYS);
            HostFacts::probe().unwrap()
        })
        .join()
        .unwrap();
        assert!(!facts.kernel.mount_setattr);
    }
}
