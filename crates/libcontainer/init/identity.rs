//! Who the user's process is: session, groups, ids, capabilities, working directory. Each setting is read
//! back: the kernel's report counts, not the call's success.

use super::format::{Gids, Text};
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{memory, numbers as nr, sys};

/// A session of its own: a terminal of the caller can't be fed from inside (TIOCSTI).
pub(crate) fn session() -> sys::Result<()> {
    in_force(sys::setsid()? > 0)
}

/// Nobody in the container can trace init or open its descriptors.
pub(crate) fn not_dumpable() -> sys::Result<()> {
    sys::prctl(nr::PR_SET_DUMPABLE, 0, 0)?;
    in_force(sys::prctl(nr::PR_GET_DUMPABLE, 0, 0)? == 0)
}

/// prlimit(2) sets and, in another call, reports.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> sys::Result<()> {
    sys::setrlimit(resource, soft, hard)?;
    in_force(sys::getrlimit(resource)? == [soft, hard])
}

/// umask(2) reports the mask that it replaces: the second time, the one of the first.
pub(crate) fn set_umask(mask: u32) -> sys::Result<()> {
    sys::umask(mask);
    in_force(sys::umask(mask) == mask)
}

/// sethostname(2) or setdomainname(2), and uname(2) must report the name.
pub(crate) fn set_name(
    set: fn(&[u8]) -> sys::Result<()>,
    field: sys::Name,
    name: Text<'_>,
) -> sys::Result<()> {
    set(name.bytes())?;
    let names = sys::uname()?;
    let reported = names.field(field).split(|&byte| byte == 0).next();
    in_force(reported == Some(name.bytes()))
}

/// rt_sigprocmask(2) unblocks all and, in another call, reports.
pub(crate) fn unblock_signals() -> sys::Result<()> {
    sys::unblock_signals()?;
    in_force(sys::blocked_signals()? == 0)
}

/// The kernel must report what it took.
pub(crate) fn in_force(is: bool) -> sys::Result<()> {
    if is { Ok(()) } else { Err(Fault::of(Cause::NotInForce)) }
}

/// Root of the new user namespace. The groups stay until `SetGroups`.
pub(crate) fn become_root() -> sys::Result<()> {
    change_ids(0, 0)
}

fn change_ids(uid: u32, gid: u32) -> sys::Result<()> {
    sys::setresgid(gid)?;
    sys::setresuid(uid)?;
    in_force(sys::getresuid()? == [uid; 3] && sys::getresgid()? == [gid; 3])?;
    // The change of the ids resets both.
    sys::prctl(nr::PR_SET_PDEATHSIG, u64::from(nr::SIGKILL), 0)?;
    not_dumpable()
}

/// Raises a hard limit, so that it can be set later without a privilege.
pub(crate) fn raise_limit(resource: u32, hard: u64) -> sys::Result<()> {
    let [soft, now] = sys::getrlimit(resource)?;
    if hard > now { sys::setrlimit(resource, soft, hard) } else { Ok(()) }
}

/// chdir(2), and the check that the directory can be reached from the root: `/proc/self/fd/7` may lead
/// to the host (CVE-2024-21626).
pub(crate) fn chdir(init: &mut Init, path: Text<'_>, retry: bool) -> sys::Result<()> {
    if !(retry && init.in_working_directory) {
        match sys::chdir(path) {
            // Only the user may enter it.
            Err(fault) if fault.errno == nr::EACCES && !retry => return Ok(()),
            other => other?,
        }
        init.in_working_directory = true;
    }
    let mut buffer = [0; 4096];
    let length = sys::getcwd(&mut buffer)?;
    if length > 0 && buffer[0] == b'/' { Ok(()) } else { Err(Fault::of(Cause::OutsideRoot)) }
}

/// Drops every capability from the bounding set that is not to stay, also those that this program has
/// no name for.
pub(crate) fn drop_bounding(keep: u64, last: u32) -> sys::Result<()> {
    for capability in 0..=last.min(63) {
        if keep & (1 << capability) == 0 {
            sys::prctl(nr::PR_CAPBSET_DROP, u64::from(capability), 0)?;
        }
    }
    Ok(())
}

/// setgroups(2), and getgroups(2) must report the same groups. The kernel sorts them.
pub(crate) fn set_groups(groups: Gids<'_>) -> sys::Result<()> {
    sys::setgroups(groups.bytes())?;
    // One more than there should be: the kernel refuses a table that is too small.
    let reported = memory::table::<u32>(groups.count() + 1)?;
    let count = sys::getgroups(reported)?;
    let reported = reported.get(..count).unwrap_or(&[]);
    let none_more = reported.iter().all(|&gid| groups.iter().any(|g| g == gid));
    let none_less = groups.iter().all(|gid| reported.contains(&gid));
    in_force(count == groups.count() && none_more && none_less)
}

/// Changes the ids; the permitted capabilities survive until `set_capabilities`.
pub(crate) fn set_user(uid: u32, gid: u32) -> sys::Result<()> {
    sys::prctl(nr::PR_SET_KEEPCAPS, 1, 0)?;
    change_ids(uid, gid)?;
    sys::prctl(nr::PR_SET_KEEPCAPS, 0, 0).map(drop)
}

/// The five sets (capabilities(7)).
#[derive(Debug)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

/// Sets four of them; the bounding set was cut before. Then all five are read back.
pub(crate) fn set_capabilities(sets: &Sets) -> sys::Result<()> {
    let words = capability_words(sets);
    sys::capset(&words)?;
    sys::prctl(nr::PR_CAP_AMBIENT, u64::from(nr::PR_CAP_AMBIENT_CLEAR_ALL), 0)?;
    for capability in (0..64).filter(|capability| sets.ambient & (1 << capability) != 0) {
        sys::prctl(nr::PR_CAP_AMBIENT, u64::from(nr::PR_CAP_AMBIENT_RAISE), capability)?;
    }
    if sys::capget()? != words {
        return Err(Fault::of(Cause::NotInForce));
    }
    for capability in 0..64 {
        // EINVAL: the kernel knows no capability of that number, nor any above it.
        let Ok(bounding) = sys::prctl(nr::PR_CAPBSET_READ, capability, 0) else { break };
        let is_set = u64::from(nr::PR_CAP_AMBIENT_IS_SET);
        let ambient = sys::prctl(nr::PR_CAP_AMBIENT, is_set, capability)?;
        let wanted = |set: u64| usize::from(set & (1 << capability) != 0);
        if bounding != wanted(sets.bounding) || ambient != wanted(sets.ambient) {
            return Err(Fault::of(Cause::NotInForce));
        }
    }
    Ok(())
}

/// The words of capset(2): the low halves of the three sets, then the high ones.
#[allow(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn capability_words(sets: &Sets) -> [u32; 6] {
    let low = [sets.effective, sets.permitted, sets.inheritable].map(|set| set as u32);
    let high = [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> 32) as u32);
    [low[0], low[1], low[2], high[0], high[1], high[2]]
}

/// `PR_SET_NO_NEW_PRIVS`, and the kernel must report it.
pub(crate) fn no_new_privileges() -> sys::Result<()> {
    sys::prctl(nr::PR_SET_NO_NEW_PRIVS, 1, 0)?;
    match sys::prctl(nr::PR_GET_NO_NEW_PRIVS, 0, 0)? {
        1 => Ok(()),
        _ => Err(Fault::of(Cause::NotInForce)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Sets, capability_words};

    #[test]
    fn capabilities_are_split_into_words() {
        let sets = Sets {
            bounding: u64::MAX,
            effective: 1 << 40 | 1,
            permitted: 1 << 40 | 3,
            inheritable: 1 << 32,
            ambient: u64::MAX,
        };
        assert_eq!(capability_words(&sets), [1, 3, 0, 0x100, 0x100, 1]);
    }
}
