//! Memory for tables whose size the plan knows: there is no allocator.

use super::protocol::{Cause, Fault};
use super::sys;

/// A table of `count` zeroed values that lives as long as init.
pub(crate) fn table<T: Zeroable>(count: usize) -> Result<&'static mut [T], Fault> {
    if count == 0 {
        return Ok(&mut []);
    }
    let bytes = count.saturating_mul(size_of::<T>());
    let address = sys::map_anonymous(bytes)?;
    // SAFETY: the kernel just mapped `bytes` zeroed, page-aligned bytes that nobody else knows, and all
    // zeroes is a value of T.
    Ok(unsafe { core::slice::from_raw_parts_mut(address.cast::<T>(), count) })
}

/// Types for which all zeroes is a value.
///
/// # Safety
///
/// That it is one.
pub(crate) unsafe trait Zeroable {}
// SAFETY: a number.
unsafe impl Zeroable for i32 {}
// SAFETY: a number.
unsafe impl Zeroable for u32 {}
// SAFETY: a number.
unsafe impl Zeroable for u8 {}
// SAFETY: the null pointer.
unsafe impl Zeroable for *const u8 {}

/// The plan, which lies in a sealed memfd and is mapped for good.
pub(crate) fn map_plan(fd: i32, length: usize) -> Result<&'static [u8], Fault> {
    // What lies behind the end of the file could be mapped, but not read.
    if sys::status(fd)?.size < length as u64 {
        return Err(Fault::of(Cause::BadPlan));
    }
    let address = sys::map_file(fd, length, sys::Mapping::PrivateRead)?;
    // SAFETY: `length` bytes are mapped, and the memfd's seals forbid that it shrinks or changes.
    Ok(unsafe { core::slice::from_raw_parts(address.cast_const(), length) })
}

/// The page that init shares with the host side.
pub(crate) fn map_status(fd: i32) -> Result<&'static super::protocol::StatusPage, Fault> {
    let length = size_of::<super::protocol::StatusPage>();
    let address = sys::map_file(fd, length, sys::Mapping::Shared)?;
    // SAFETY: the page is mapped for good, page-aligned, sealed against shrinking, and atomic.
    Ok(unsafe { &*address.cast::<super::protocol::StatusPage>() })
}
