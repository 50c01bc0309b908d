//! Init's side of the conversation with the host side and with `start`: see `protocol`.

use core::sync::atomic::{AtomicI32, Ordering};

use super::format::{GATE, Text};
use super::protocol::{CONTINUE, Cause, DETAIL, Fault, Kind, Message};
use super::run::Init;
use super::{memory, numbers as nr, sys};

/// Whom init reports to: the creator, then the caller of `start`. -1 between the two. A static, because
/// the panic handler needs it too.
static PEER: AtomicI32 = AtomicI32::new(-1);

/// Sets whom init reports to.
pub(crate) fn talk_to(peer: i32) {
    PEER.store(peer, Ordering::Relaxed);
}

fn peer() -> i32 {
    PEER.load(Ordering::Relaxed)
}

/// Text that goes along with a failure.
#[derive(Debug)]
pub(crate) struct Detail {
    bytes: [u8; DETAIL],
    length: usize,
}

impl Detail {
    /// No text.
    pub(crate) const fn none() -> Self {
        Self { bytes: [0; DETAIL], length: 0 }
    }

    /// Replaces the text; what is too long is cut.
    pub(crate) fn set(&mut self, text: &[u8]) {
        self.length = text.len().min(DETAIL);
        for (to, from) in self.bytes.iter_mut().zip(text) {
            *to = *from;
        }
    }
}

fn say(kind: Kind, a: u32, fault: Fault, detail: &Detail, fd: Option<i32>) -> sys::Result<()> {
    let length = u32::try_from(detail.length).unwrap_or(0);
    let message = Message { kind: kind as u32, a, fault, length, detail: detail.bytes };
    sys::send(peer(), &message.to_bytes(), fd)
}

/// Reports a failure to whoever listens.
pub(crate) fn report(operation: u32, fault: Fault, detail: &Detail) {
    // Nobody left to tell is no further failure: init exits either way.
    say(Kind::Failed, operation, fault, detail, None).ok();
}

/// Says that the program is executed next.
pub(crate) fn announce_executing(program: Text<'_>) -> sys::Result<()> {
    let mut detail = Detail::none();
    detail.set(program.bytes());
    say(Kind::Executing, 0, Fault::of(Cause::Call), &detail, None)
}

/// Says something that needs no more than its kind.
pub(crate) fn announce(kind: Kind) -> sys::Result<()> {
    say(kind, 0, Fault::of(Cause::Call), &Detail::none(), None)
}

/// Tells the host side about the second stage.
pub(crate) fn announce_child(pid: usize, pidfd: i32) -> sys::Result<()> {
    let pid = u32::try_from(pid).unwrap_or(0);
    say(Kind::Spawned, pid, Fault::of(Cause::Call), &Detail::none(), Some(pidfd))
}

/// Hands over the descriptor that an agent answers on.
pub(crate) fn announce_listener(listener: i32) -> sys::Result<()> {
    say(Kind::Listener, 0, Fault::of(Cause::Call), &Detail::none(), Some(listener))
}

/// Says that it is the turn of a hook, and asks for its standard streams.
pub(crate) fn announce_hook(number: u32) -> sys::Result<()> {
    say(Kind::Hook, number, Fault::of(Cause::Call), &Detail::none(), None)
}

/// Lets the host side run its hooks.
pub(crate) fn runtime_hooks() -> sys::Result<()> {
    announce(Kind::RuntimeHooks)?;
    wait_for_continue(&mut [-1; sys::MOST_DESCRIPTORS]).map(drop)
}

/// Hands the master end of the container's terminal to the host side.
pub(crate) fn hand_over_console(master: i32) -> sys::Result<()> {
    say(Kind::Console, 0, Fault::of(Cause::Call), &Detail::none(), Some(master))
}

/// Waits until the peer says go on. It may send descriptors; how many came is returned.
pub(crate) fn wait_for_continue(
    descriptors: &mut [i32; sys::MOST_DESCRIPTORS],
) -> sys::Result<usize> {
    let mut word = [0u8; 4];
    match sys::receive(peer(), &mut word, descriptors)? {
        (4, count) if u32::from_le_bytes(word) == CONTINUE => Ok(count),
        _ => Err(Fault::of(Cause::BadReply)),
    }
}

/// The gate: tells the creator that the container is created; once that is on record, cuts the tie to
/// the creator and waits for `start`, as long as it takes.
pub(crate) fn gate(init: &mut Init) -> sys::Result<()> {
    let mut descriptors = [-1; sys::MOST_DESCRIPTORS];
    // Before the creator can go: from here on, that it hangs up before it has said that the container is
    // on record is what ends init.
    sys::prctl(nr::PR_SET_PDEATHSIG, 0, 0)?;
    announce(Kind::Created)?;
    wait_for_continue(&mut descriptors)?;
    sys::close(peer());
    talk_to(-1);
    let listener = init.slots.descriptor(GATE)?;
    loop {
        let connection = sys::accept(listener)?;
        talk_to(connection);
        if let Ok(count) = wait_for_continue(&mut descriptors) {
            init.slots.close(GATE);
            // A page that the caller of `start` can read: that of the creator is gone with it.
            for page in descriptors.iter().take(count) {
                init.status = memory::map_status(*page)?;
                sys::close(*page);
            }
            return Ok(());
        }
        // Somebody who hung up, or a `start` that was killed: the next one may do better.
        talk_to(-1);
        sys::close(connection);
    }
}
