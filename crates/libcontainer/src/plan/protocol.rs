//! What init and the host side say to each other, over one SOCK_SEQPACKET pair and, from the gate on,
//! over a connection to the gate. Compiled into both.
//!
//! ```text
//! host ── Begin + plan, status page, received slots ──▶ init (first stage)
//! host ◀── Spawned(pid) + pidfd ── init                      if the plan clones; host maps the ids
//! host ── Continue ──▶ init (second stage)
//! host ◀── Cgroups ── init                                   if the plan joins v1 cgroups
//! host ── Continue + descriptors of `tasks` ──▶ init
//! host ◀── RuntimeHooks ── init                              host runs them
//! host ── Continue ──▶ init
//! host ◀── Hook(number) ── init                              for each that init runs
//! host ── Continue + standard streams ──▶ init
//! host ◀── Console + master end ── init                      if there is a terminal
//! host ◀── Created ── init                                   host records it; from here on init is
//! host ── Continue ──▶ init                                  on its own and closes the pair
//!
//! start ── connects to the gate; Continue + status page ──▶ init
//! start ◀── Hook(number) ── init; start ── Continue + standard streams ──▶ init
//! start ◀── Executing ── init
//! start ◀── Listener + descriptor ── init                    if the filter asks an agent
//!                                                            then the connection closes: executed
//!
//! either ◀── Failed ── init                                  at any time; init exits
//! ```

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What init says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The second stage was cloned: `a` is its pid, and its pidfd comes along.
    Spawned = 1,
    /// Init wants to join its v1 cgroups.
    Cgroups,
    /// Init stands at the gate.
    Created,
    /// Init is about to execute the program that the detail names.
    Executing,
    /// Init failed in operation `a`: see [`Fault`].
    Failed,
    /// It is the turn of the hooks that the host side runs.
    RuntimeHooks,
    /// Init is going to run hook `a`, and wants its standard streams.
    Hook,
    /// The filter asks an agent, and the descriptor that the agent answers on comes along.
    Listener,
    /// The terminal is there: the descriptor of its master end comes along.
    Console,
}

/// The bytes of text that a message can carry.
pub(crate) const DETAIL: usize = 232;

/// The bytes of a message: six words and the detail.
pub(crate) const MESSAGE: usize = 24 + DETAIL;

/// A message from init.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    /// One of [`Kind`].
    pub(crate) kind: u32,
    /// A pid, or the index of an operation.
    pub(crate) a: u32,
    /// What failed.
    pub(crate) fault: Fault,
    /// How many bytes of `detail` there are.
    pub(crate) length: u32,
    /// Text from the kernel or about the object.
    pub(crate) detail: [u8; DETAIL],
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// One of [`Cause`].
    pub(crate) cause: u32,
    /// The number of the system call, for [`Cause::Call`].
    pub(crate) call: u32,
    /// Its errno.
    pub(crate) errno: u32,
}

macro_rules! causes {
    ($($(#[doc = $doc:literal])* $name:ident: $text:literal,)*) => {
        /// What kind of failure a [`Fault`] is. The numbers are nobody's but this build's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Cause {
            $($(#[doc = $doc])* $name,)*
        }

        /// A cause in words, for those that are not a system call's.
        pub(crate) fn cause_text(code: u32) -> Option<&'static str> {
            const TEXTS: &[(Cause, &str)] = &[$((Cause::$name, $text),)*];
            TEXTS.iter().find(|(cause, _)| *cause as u32 == code).map(|(_, text)| *text)
        }
    };
}

causes! {
    /// A system call failed.
    Call: "system call failed",
    /// The image can't be read.
    BadPlan: "the plan is broken",
    /// The host side hung up, or said something else than expected.
    BadReply: "the creator is gone",
    /// A node is another device, or no device.
    WrongDevice: "there is a file of another type or device",
    /// A read-back differs from what was set.
    NotInForce: "the kernel accepted the setting but does not report it",
    /// The working directory lies outside the root.
    OutsideRoot: "current working directory is outside of container mount namespace root",
    /// No candidate exists.
    ProgramNotFound: "executable file not found in $PATH",
    /// The program is a directory.
    ProgramIsDirectory: "is a directory",
    /// A target in a procfs that the caller did not allow.
    InsideProc: "cannot be mounted because it is inside /proc",
    /// Something else than a procfs on `/proc`.
    NotProc: "only a procfs can be mounted on /proc",
    /// A symbolic link where there must be none.
    NotOrdinaryDirectory: "must be mounted on ordinary directory",
    /// The mount would cover the whole root.
    TopOfRoot: "mountpoint is on the top of rootfs",
    /// A tree has more levels than init copies.
    TooDeep: "the tree is too deep to copy",
    /// Mounts are reached by their descriptors' links.
    NoProcfs: "there is no procfs on the host's /proc",
    /// A hook exited with the status in `errno`.
    HookExited: "the hook failed",
    /// The signal in `errno` killed a hook.
    HookKilled: "the hook was killed",
    /// A hook was killed at its deadline.
    HookTimeout: "hook ran past specified timeout",
    /// Something else than the multiplexer of a devpts on `/dev/pts/ptmx`.
    NotMultiplexer: "/dev/pts/ptmx is not the multiplexer of a devpts",
    /// A panic, which should not be.
    Panic: "init panicked",
}

impl Message {
    /// As it goes over the socket.
    pub(crate) fn to_bytes(self) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        let Fault { cause, call, errno } = self.fault;
        let words = [self.kind, self.a, cause, call, errno, self.length];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[MESSAGE - DETAIL..].copy_from_slice(&self.detail);
        bytes
    }

    /// The text that goes along.
    pub(crate) fn text(&self) -> &[u8] {
        let length = usize::try_from(self.length).unwrap_or(0);
        self.detail.get(..length).unwrap_or(&[])
    }

    /// As it comes from the socket.
    pub(crate) fn from_bytes(bytes: &[u8; MESSAGE]) -> Self {
        let word = |index: usize| {
            let at = index * 4;
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut detail = [0; DETAIL];
        detail.copy_from_slice(&bytes[MESSAGE - DETAIL..]);
        let fault = Fault { cause: word(2), call: word(3), errno: word(4) };
        Self { kind: word(0), a: word(1), fault, length: word(5), detail }
    }
}

impl Fault {
    /// A failure that isn't a system call's.
    pub(crate) const fn of(cause: Cause) -> Self {
        Self { cause: cause as u32, call: 0, errno: 0 }
    }

    /// A failed system call.
    pub(crate) const fn call(call: u32, errno: u32) -> Self {
        Self { cause: Cause::Call as u32, call, errno }
    }
}

/// What the host side answers: go on.
pub(crate) const CONTINUE: u32 = 0x6f67;

/// The page that init and the host side share, which says where init is even when it was killed.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct StatusPage {
    /// The index of the operation that init is in.
    pub(crate) operation: AtomicU32,
    /// Not 0 if execve(2) has failed.
    failed: AtomicU32,
    /// Then its errno.
    errno: AtomicU32,
    /// How many inodes follow.
    made: AtomicU32,
    /// What init has made in the root filesystem: device and inode.
    inodes: [[AtomicU64; 2]; MOST_MADE],
}

/// As many as a page has room for. What is made beyond is not told.
pub(crate) const MOST_MADE: usize = 255;

#[cfg(test)]
impl Default for StatusPage {
    fn default() -> Self {
        let [operation, failed, errno, made] = Default::default();
        let inodes = core::array::from_fn(|_| Default::default());
        Self { operation, failed, errno, made, inodes }
    }
}

impl StatusPage {
    /// Notes that execve(2) has failed. It takes no system call, which a filter could deny.
    pub(crate) fn execve_failed(&self, errno: u32) {
        self.errno.store(errno, Ordering::Relaxed);
        self.failed.store(1, Ordering::Release);
    }

    /// Adds what init has made.
    pub(crate) fn add(&self, device: u64, inode: u64) {
        let count = self.made.load(Ordering::Relaxed);
        if let Some([place, other]) = self.inodes.get(count as usize) {
            place.store(device, Ordering::Relaxed);
            other.store(inode, Ordering::Relaxed);
            self.made.store(count + 1, Ordering::Release);
        }
    }
}
