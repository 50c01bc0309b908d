//! The table of init's descriptors. The plan names them by slot.

use super::protocol::{Cause, Fault};
use super::{memory, sys};

/// Descriptors by slot; an empty slot holds -1.
#[derive(Debug)]
pub(crate) struct Slots(&'static mut [i32]);

impl Slots {
    /// `count` empty slots.
    pub(crate) fn new(count: u32) -> sys::Result<Self> {
        let table = memory::table(count as usize)?;
        table.fill(-1);
        Ok(Self(table))
    }

    /// The descriptor in a slot.
    pub(crate) fn descriptor(&self, slot: u32) -> sys::Result<i32> {
        match self.0.get(slot as usize) {
            Some(&fd) if fd >= 0 => Ok(fd),
            _ => Err(Fault::of(Cause::BadPlan)),
        }
    }

    /// Puts a descriptor into a slot, and closes what was there.
    pub(crate) fn put(&mut self, slot: u32, fd: i32) -> sys::Result<()> {
        let Some(place) = self.0.get_mut(slot as usize) else {
            sys::close(fd);
            return Err(Fault::of(Cause::BadPlan));
        };
        if *place >= 0 {
            sys::close(*place);
        }
        *place = fd;
        Ok(())
    }

    /// Empties a slot.
    pub(crate) fn close(&mut self, slot: u32) {
        if let Some(place) = self.0.get_mut(slot as usize)
            && *place >= 0
        {
            sys::close(*place);
            *place = -1;
        }
    }

    /// Empties all slots but one.
    pub(crate) fn close_all_but(&mut self, kept: u32) {
        for slot in (0..).take(self.0.len()) {
            if slot != kept {
                self.close(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::{Cause, Fault, Slots};

    fn descriptor() -> i32 {
        std::fs::File::open("/").unwrap().into_raw_fd()
    }

    fn is_open(fd: i32) -> bool {
        std::fs::exists(format!("/proc/self/fdinfo/{fd}")).unwrap()
    }

    #[test]
    fn slots_own_their_descriptors() {
        let missing = || Fault::of(Cause::BadPlan);
        let mut slots = Slots::new(3).unwrap();
        let (a, b, c) = (descriptor(), descriptor(), descriptor());
        slots.put(0, a).unwrap();
        slots.put(2, b).unwrap();
        assert_eq!(slots.descriptor(0), Ok(a));
        assert_eq!(slots.descriptor(1), Err(missing()));
        assert_eq!(slots.descriptor(3), Err(missing()));
        assert_eq!(slots.descriptor(u32::MAX), Err(missing()));
        assert_eq!(slots.put(3, c), Err(missing()));
        slots.close(1);
        slots.close(u32::MAX);
        slots.close_all_but(0);
        assert_eq!((slots.descriptor(0), slots.descriptor(2)), (Ok(a), Err(missing())));
        assert!(is_open(a));
        slots.close(0);
        slots.close(0);
        assert_eq!(slots.descriptor(0), Err(missing()));
        assert!(Slots::new(0).unwrap().descriptor(0).is_err());
    }
}
