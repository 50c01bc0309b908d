//! The names of sysctls (sysctl(8)): which file each means, and which namespace it belongs to.

use oci_spec::runtime::LinuxNamespaceType;

/// What of `kernel.` belongs to the IPC namespace (ipc_namespaces(7)).
const IPC: [&str; 8] =
    ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// The file below `/proc/sys`. The first separator of a name, `.` or `/`, is the one that separates; the
/// other one stands for it within a name: `net.ipv4.conf.eth0/100.forwarding`. `None` for what is no
/// path, or one that leads elsewhere.
pub(crate) fn path(name: &str) -> Option<String> {
    let first = name.chars().find(|c| matches!(c, '.' | '/'));
    let path: String = match first {
        Some('.') => name.chars().map(swapped).collect(),
        _ => name.to_owned(),
    };
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

fn swapped(character: char) -> char {
    match character {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

/// The namespace whose sysctl it is; none if it is the host's.
pub(crate) fn namespace(path: &str) -> Option<LinuxNamespaceType> {
    match path.split_once('/')? {
        ("net", _) => Some(LinuxNamespaceType::Network),
        ("user", _) => Some(LinuxNamespaceType::User),
        ("fs", name) if name.starts_with("mqueue/") => Some(LinuxNamespaceType::Ipc),
        ("kernel", name) if IPC.contains(&name) => Some(LinuxNamespaceType::Ipc),
        ("kernel", "domainname" | "hostname") => Some(LinuxNamespaceType::Uts),
        _ => None,
    }
}

/// Why a sysctl can't be set without a namespace of this kind that is the container's own.
pub(crate) fn refusal(name: &str, kind: Option<LinuxNamespaceType>) -> String {
    match kind {
        Some(LinuxNamespaceType::Network) => {
            format!("sysctl {name:?} not allowed in host network namespace")
        }
        Some(LinuxNamespaceType::Ipc) => {
            format!("sysctl {name:?} is not allowed in the hosts ipc namespace")
        }
        Some(LinuxNamespaceType::User) => {
            format!("setting ucounts without a user namespace not allowed: {name}")
        }
        _ => format!("sysctl {name:?} is not in a separate kernel namespace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        for (name, expected) in [
            ("kernel.msgmax", Some("kernel/msgmax")),
            ("kernel/msgmax", Some("kernel/msgmax")),
            ("net.ipv4.conf.eth0/100.forwarding", Some("net/ipv4/conf/eth0.100/forwarding")),
            ("net/ipv4/conf/eth0.100/forwarding", Some("net/ipv4/conf/eth0.100/forwarding")),
            ("vm", Some("vm")),
            ("", None),
            ("/net/ipv4", None),
            (".net.ipv4", None),
            ("net..ipv4", None),
            ("net/ipv4/", None),
            ("net/./ipv4", None),
            ("net/../kernel/panic", None),
            ("net.//.kernel.panic", None),
            ("..", None),
        ] {
            assert_eq!(path(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn sysctls_belong_to_a_namespace_or_to_the_host() {
        use LinuxNamespaceType::{Ipc, Network, User, Uts};
        for (path, expected) in [
            ("net/ipv4/ip_forward", Some(Network)),
            ("user/max_pid_namespaces", Some(User)),
            ("fs/mqueue/msg_max", Some(Ipc)),
            ("kernel/shm_rmid_forced", Some(Ipc)),
            ("kernel/sem", Some(Ipc)),
            ("kernel/hostname", Some(Uts)),
            ("kernel/domainname", Some(Uts)),
            ("kernel/panic", None),
            ("kernel/sem/x", None),
            ("kernel/semx", None),
            ("kernel/core_pattern", None),
            ("vm/swappiness", None),
            ("fs/mqueue", None),
            ("fs/mqueuex/y", None),
            ("network/x", None),
            ("net", None),
        ] {
            assert_eq!(namespace(path), expected, "{path}");
        }
    }
}
