//! The session keyring (session-keyring(7)): one of its own, so that the container finds no key of its
//! creator's.

use super::format::Text;
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{procfs, sys};

/// Joins the session keyring of this name, which is made if there is none. With SELinux a key gets the
/// label that its maker has set for that; it is taken back at once.
pub(crate) fn join(
    init: &Init,
    name: Text<'_>,
    permissions: u32,
    label: Text<'_>,
) -> sys::Result<()> {
    let keycreate = Text::from_bytes_with_nul(b"attr/keycreate\0");
    let keycreate = keycreate.ok_or(Fault::of(Cause::BadPlan))?;
    if !label.bytes().is_empty() {
        procfs::write_attribute(init, keycreate, label.bytes())?;
    }
    let keyring = sys::join_session_keyring(name)?;
    if !label.bytes().is_empty() {
        procfs::write_attribute(init, keycreate, &[])?;
    }
    sys::set_key_permissions(keyring, permissions)?;
    if keyring != 0 && sys::session_keyring()? == keyring {
        Ok(())
    } else {
        Err(Fault::of(Cause::NotInForce))
    }
}
