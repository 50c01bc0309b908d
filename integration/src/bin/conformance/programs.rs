//! What is known of the suite's programs (runtime-tools 5e63903): which of them a runtime that keeps to
//! the specification can pass, and why it can't pass the others.

/// Programs that some runtime has passed where they are fair.
pub(crate) const FAIR: [&str; 34] = [
    "config_updates_without_affect",
    "create",
    "default",
    "delete_only_create_resources",
    "hostname",
    "kill",
    "kill_no_effect",
    "killsig",
    "linux_cgroups_cpus",
    "linux_cgroups_devices",
    "linux_cgroups_relative_cpus",
    "linux_cgroups_relative_devices",
    "linux_devices",
    "linux_masked_paths",
    "linux_mount_label",
    "linux_ns_itype",
    "linux_ns_nopath",
    "linux_ns_path",
    "linux_ns_path_type",
    "linux_readonly_paths",
    "linux_rootfs_propagation",
    "linux_seccomp",
    "linux_sysctl",
    "linux_uid_mappings",
    "mounts",
    "poststop",
    "poststop_fail",
    "prestart_fail",
    "process",
    "process_oom_score_adj",
    "process_rlimits_fail",
    "process_user",
    "root_readonly_true",
    "state",
];

/// The others, with what is wrong with each.
const UNFAIR: [(&str, &str); 24] = [
    ("delete", "wants what no runtime does: a created container is not deleted"),
    ("delete_resources", "compares pointers instead of the limits of processes"),
    ("hooks", "compares with a text that its hooks don't write"),
    ("hooks_stdin", "wants `created` before the container is"),
    ("linux_cgroups_blkio", "wants a block device 8:0 and the CFQ scheduler"),
    ("linux_cgroups_hugetlb", "wants the controller on cgroup v1"),
    ("linux_cgroups_memory", "wants kernel memory limits, which the kernel ignores"),
    ("linux_cgroups_network", "wants net_cls and net_prio on cgroup v1"),
    ("linux_cgroups_pids", "compares pointers instead of the limits"),
    ("linux_cgroups_relative_blkio", "wants a block device 8:0 and the CFQ scheduler"),
    ("linux_cgroups_relative_hugetlb", "wants the controller on cgroup v1"),
    ("linux_cgroups_relative_memory", "wants kernel memory limits, which the kernel ignores"),
    ("linux_cgroups_relative_network", "wants net_cls and net_prio on cgroup v1"),
    ("linux_cgroups_relative_pids", "compares pointers instead of the limits"),
    ("linux_process_apparmor_profile", "wants AppArmor in the kernel"),
    ("misc_props", "runs a program that is not in its bundle"),
    ("pidfile", "kills a process that has ended already: a race"),
    ("poststart", "wants the output of the process before that of the hook: a race"),
    ("poststart_fail", "wants a warning where the specification wants an error"),
    ("prestart", "wants prestart hooks after `create`"),
    ("process_capabilities", "wants every capability, CAP_SYS_RESOURCE too"),
    ("process_capabilities_fail", "wants an error where the specification wants a warning"),
    ("process_rlimits", "Go raises the limit of files before the program looks at it"),
    ("start", "wants a container without a process to be started"),
];

/// Fair ones that tare does not pass, on purpose.
const REFUSED: [(&str, &str); 1] =
    [("linux_ns_itype", "mounts without a mount namespace would be the host's: refused")];

/// Fair ones whose outcome is a matter of time, where the machine has other work to do.
const RACES: [(&str, &str); 1] =
    [("killsig", "may signal a shell that has not set its trap yet: a race")];

/// What unfair ones show nevertheless: how many of their assertions hold at least. With more, another
/// runtime does what the specification forbids.
const LEAST: [(&str, usize); 12] = [
    ("delete", 3),
    ("delete_resources", 3),
    ("hooks_stdin", 3),
    ("linux_cgroups_memory", 48),
    ("linux_cgroups_pids", 2),
    ("linux_cgroups_relative_memory", 8),
    ("linux_cgroups_relative_pids", 2),
    ("misc_props", 2),
    ("process_capabilities", 265),
    ("process_capabilities_fail", 270),
    ("process_rlimits", 281),
    ("start", 6),
];

/// Programs that assert nothing but refusals, with one that shows the subject being granted: a runtime
/// that refuses everything passes the former too.
const REFUSALS: [(&str, &str); 4] = [
    ("linux_ns_path_type", "linux_ns_path"),
    ("prestart_fail", "hooks_stdin"),
    ("process_capabilities_fail", "process"),
    ("process_rlimits_fail", "process_rlimits"),
];

/// Why a program is not to be passed, or not each time; nothing if it is, or if it is not known.
pub(crate) fn reason(program: &str) -> Option<&'static str> {
    UNFAIR.iter().chain(&RACES).find(|(name, _)| *name == program).map(|(_, why)| *why)
}

/// What is not among these of all that is known.
pub(crate) fn missing(names: &[String]) -> Vec<&'static str> {
    let known = FAIR.into_iter().chain(UNFAIR.map(|(name, _)| name));
    known.filter(|known| !names.iter().any(|name| name == known)).collect()
}

/// Why tare does not pass a fair program.
pub(crate) fn refused(program: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(name, _)| *name == program).map(|(_, why)| *why)
}

/// How many assertions hold at least of a program that is not to be passed, if it makes any that can.
pub(crate) fn least(program: &str) -> Option<usize> {
    LEAST.iter().find(|(name, _)| *name == program).map(|(_, count)| *count)
}

/// The program of which an assertion must hold for a pass of this one to mean anything.
pub(crate) fn evidence(program: &str) -> Option<&'static str> {
    REFUSALS.iter().find(|(name, _)| *name == program).map(|(_, other)| *other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_built_is_missed() {
        let mut names: Vec<_> = super::missing(&[]).into_iter().map(String::from).collect();
        assert_eq!(names.len(), FAIR.len() + UNFAIR.len());
        assert!(super::missing(&names).is_empty());
        let gone = [names.remove(0), names.pop().unwrap_or_default()];
        assert_eq!(super::missing(&names), gone);
    }

    #[test]
    fn each_program_is_known_once() {
        let mut names: Vec<_> = FAIR.into_iter().chain(UNFAIR.map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAIR.len() + UNFAIR.len());
        for (program, evidence) in REFUSALS {
            assert!(names.contains(&program) && names.contains(&evidence), "{program}");
        }
        for (program, _) in LEAST {
            assert!(UNFAIR.iter().any(|(name, _)| *name == program), "{program}");
        }
        for (program, _) in REFUSED.into_iter().chain(RACES) {
            assert!(FAIR.contains(&program), "{program}");
        }
    }
}
