//! What init makes in the root filesystem: told to the host side, which removes it if create fails. Init
//! could not: it may have given up the privileges, or have been killed.

use core::sync::atomic::{AtomicPtr, Ordering};

use super::format::Text;
use super::protocol::StatusPage;
use super::sys::{self, Status};

static PAGE: AtomicPtr<StatusPage> = AtomicPtr::new(core::ptr::null_mut());

/// Where it is told.
pub(crate) fn tell_to(page: &'static StatusPage) {
    PAGE.store(core::ptr::from_ref(page).cast_mut(), Ordering::Relaxed);
}

/// Tells what was made under this name.
pub(crate) fn name(at: i32, name: Text<'_>) {
    if let Ok(status) = sys::status_at(at, name) {
        inode(&status);
    }
}

/// Tells what was made, by its status.
pub(crate) fn inode(status: &Status) {
    // SAFETY: null, or the address of a page that is mapped for good, and atomic.
    if let Some(page) = unsafe { PAGE.load(Ordering::Relaxed).as_ref() } {
        page.add(status.device, status.inode);
    }
}
