//! Ids, groups and capabilities.

use super::super::format::Text;
use super::super::numbers as nr;
use super::{Result, address, address_mut, call, done, raw, text};

/// umask(2): the mask before. It can't fail.
pub(crate) fn umask(mask: u32) -> u32 {
    u32::try_from(raw(nr::UMASK, [mask as usize, 0, 0, 0, 0, 0])).unwrap_or(u32::MAX)
}

/// setgroups(2).
pub(crate) fn setgroups(groups: &[u8]) -> Result<()> {
    done(nr::SETGROUPS, [groups.len() / 4, address(groups)])
}

/// getgroups(2): puts them into `into`, and says how many there are.
pub(crate) fn getgroups(into: &mut [u32]) -> Result<usize> {
    call(nr::GETGROUPS, [into.len(), address_mut(into)])
}

/// setresuid(2).
pub(crate) fn setresuid(uid: u32) -> Result<()> {
    let uid = uid as usize;
    done(nr::SETRESUID, [uid, uid, uid])
}

/// setresgid(2).
pub(crate) fn setresgid(gid: u32) -> Result<()> {
    let gid = gid as usize;
    done(nr::SETRESGID, [gid, gid, gid])
}

/// getresuid(2): real, effective and saved.
pub(crate) fn getresuid() -> Result<[u32; 3]> {
    three_ids(nr::GETRESUID)
}

/// getresgid(2): real, effective and saved.
pub(crate) fn getresgid() -> Result<[u32; 3]> {
    three_ids(nr::GETRESGID)
}

fn three_ids(number: u32) -> Result<[u32; 3]> {
    let [mut real, mut effective, mut saved] = [0u32; 3];
    let into = [address_mut(&mut real), address_mut(&mut effective), address_mut(&mut saved)];
    done(number, into)?;
    Ok([real, effective, saved])
}

/// Version 3 of the capability interface: two words each of effective, permitted and inheritable.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// capset(2) of this thread.
pub(crate) fn capset(data: &[u32; 6]) -> Result<()> {
    done(nr::CAPSET, [address(&CAPABILITY_HEADER), address(data)])
}

/// capget(2) of this thread.
pub(crate) fn capget() -> Result<[u32; 6]> {
    let mut data = [0u32; 6];
    done(nr::CAPGET, [address(&CAPABILITY_HEADER), address_mut(&mut data)])?;
    Ok(data)
}

/// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`: the serial number of the keyring.
pub(crate) fn join_session_keyring(name: Text<'_>) -> Result<usize> {
    const JOIN_SESSION_KEYRING: usize = 1;
    call(nr::KEYCTL, [JOIN_SESSION_KEYRING, text(name)])
}

/// keyctl(2) `KEYCTL_SETPERM`.
pub(crate) fn set_key_permissions(key: usize, permissions: u32) -> Result<()> {
    const SETPERM: usize = 5;
    done(nr::KEYCTL, [SETPERM, key, permissions as usize])
}

/// keyctl(2) `KEYCTL_GET_KEYRING_ID` of the session keyring, none of which is made.
pub(crate) fn session_keyring() -> Result<usize> {
    const GET_KEYRING_ID: usize = 0;
    const SESSION: usize = usize::MAX - 2;
    call(nr::KEYCTL, [GET_KEYRING_ID, SESSION, 0])
}
