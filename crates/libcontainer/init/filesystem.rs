//! A new mount: fsopen(2), fsconfig(2), fsmount(2).

use super::format::{Text, Texts};
use super::protocol::{Cause, DETAIL, Fault};
use super::run::Init;
use super::{flags, rootfs, sys};

/// Makes a detached mount of a new file system and puts it into a slot.
pub(crate) fn create(
    init: &mut Init,
    slot: u32,
    kind: Text<'_>,
    source: Text<'_>,
    options: Texts<'_>,
    attributes: u64,
) -> sys::Result<()> {
    let mount = make(init, kind, source, options, attributes)?;
    init.slots.put(slot, mount)
}

/// Makes a detached mount of a new file system. The options come in pairs: a key, then either nothing,
/// for a flag, or `=value`.
pub(crate) fn make(
    init: &mut Init,
    kind: Text<'_>,
    source: Text<'_>,
    options: Texts<'_>,
    attributes: u64,
) -> sys::Result<i32> {
    let context = sys::fsopen(kind)?;
    let mount = configure(context, source, options).and_then(|()| {
        sys::fsconfig_create(context)?;
        sys::fsmount(context, attributes)
    });
    if mount.is_err() {
        keep_reason(init, context);
    }
    sys::close(context);
    mount
}

fn configure(context: i32, source: Text<'_>, options: Texts<'_>) -> sys::Result<()> {
    if let Some(key) = Text::from_bytes_with_nul(b"source\0")
        && !source.bytes().is_empty()
    {
        sys::fsconfig_string(context, key, source)?;
    }
    let mut options = options.iter();
    while let Some(key) = options.next() {
        let value = options.next().ok_or(Fault::of(Cause::BadPlan))?;
        match value.after_first() {
            Some(value) => sys::fsconfig_string(context, key, value)?,
            None => sys::fsconfig_flag(context, key)?,
        }
    }
    Ok(())
}

/// Changes a mount that is there: its file system, with options, and its attributes.
pub(crate) fn change(
    init: &mut Init,
    path: Text<'_>,
    options: Option<Texts<'_>>,
    attributes: &sys::MountAttributes,
    by_mount: bool,
) -> sys::Result<()> {
    let target = rootfs::open(init.root, path, 0)?;
    let done = match options {
        Some(options) => reconfigure(init, target, options),
        None => Ok(()),
    };
    let done = done.and_then(|()| match by_mount {
        true => flags::change(target, attributes.set, attributes.clear),
        false => sys::mount_setattr(target, 0, attributes),
    });
    sys::close(target);
    done
}

fn reconfigure(init: &mut Init, target: i32, options: Texts<'_>) -> sys::Result<()> {
    let context = sys::fspick(target)?;
    let nothing = Text::from_bytes_with_nul(b"\0").ok_or(Fault::of(Cause::BadPlan))?;
    let done =
        configure(context, nothing, options).and_then(|()| sys::fsconfig_reconfigure(context));
    if done.is_err() {
        keep_reason(init, context);
    }
    sys::close(context);
    done
}

/// Keeps the kernel's own words about the failure: a file system context has a log that can be read,
/// one message a time, each with a letter for its severity and a space before it.
fn keep_reason(init: &mut Init, context: i32) {
    let mut message = [0u8; DETAIL];
    if let Ok(length) = sys::read(context, &mut message) {
        let message = message.get(..length).unwrap_or(&[]);
        // The kernel begins it with its level: an error, a warning, information.
        let message = match message {
            [b'e' | b'w' | b'i', b' ', text @ ..] => text,
            text => text,
        };
        init.detail.set(message.trim_ascii_end());
    }
}
