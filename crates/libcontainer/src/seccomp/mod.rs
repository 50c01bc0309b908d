//! From `linux.seccomp` to one classic BPF program, without libseccomp: see seccomp(2).
//!
//! What the rules mean is what they mean to runc, so that an engine's profile is the same filter here:
//! a rule whose action is the default's is as good as absent; of the others, the first without
//! conditions decides about its system call wherever it stands; else the first whose conditions all
//! hold; else the default. libseccomp refuses two rules of equal conditions and different actions, and
//! has no order between others that overlap; here the order is the profile's.
//!
//! Pure. `arch` knows names and numbers, `decision` says what becomes of each number, `emit` turns
//! that into instructions.

mod action;
mod arch;
mod decision;
mod emit;
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, reason = "what fails a test")]
pub(crate) mod random;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "some of it is for the unit tests"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "what fails a test")]
mod reference;
#[cfg(test)]
mod tests;
mod words;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub(crate) use action::{largest_errno, notifies};
use arch::Machine;
use emit::Assembler;
pub(crate) use words::{ACTIONS, ARCHITECTURES, FLAGS, OPERATORS, WAIT_KILLABLE};

use crate::error::{Error, ErrorKind, Result};

/// The most instructions that the kernel takes: `BPF_MAXINSNS`.
const MOST_INSTRUCTIONS: usize = 4096;

/// The call with which init hands over the listener, behind the filter.
const HAND_OVER: &str = "sendmsg";

// Flags of seccomp(2).
const LOG: u32 = 1 << 1;
const SPEC_ALLOW: u32 = 1 << 2;
pub(crate) const NEW_LISTENER: u32 = 1 << 3;
pub(crate) const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// What seccomp(2) gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The instructions, as `struct sock_filter` lies in memory.
    pub(crate) program: Vec<u8>,
    /// The flags.
    pub(crate) flags: u32,
}

/// Compiles a profile for the machine that this program is built for.
///
/// # Errors
///
/// If the program would be longer than the kernel takes, or if it asks an agent and denies the call with
/// which init hands over what the agent answers on.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    let refused = |message: String| {
        Err(Error::new(ErrorKind::InvalidConfig, message).with_property("linux.seccomp"))
    };
    let spaces = decision::spaces(profile, Machine::NATIVE);
    if notifies(profile) && !decision::permits(&spaces, HAND_OVER) {
        let message = format!(
            "linux.seccomp: SCMP_ACT_NOTIFY is used, and {HAND_OVER}, which hands the listener to the \
             agent, is not always allowed"
        );
        return refused(message);
    }
    let program = Assembler::default().program(&spaces, action::BAD_ARCHITECTURE);
    if program.len() > MOST_INSTRUCTIONS {
        let message = format!(
            "linux.seccomp: the filter has {} instructions, and the kernel takes {MOST_INSTRUCTIONS}",
            program.len()
        );
        return refused(message);
    }
    let program = program.into_iter().flat_map(emit::Instruction::to_bytes).collect();
    Ok(Filter { program, flags: flags(profile) })
}

/// The program, of any length.
#[cfg(any(test, fuzzing))]
fn program(profile: &LinuxSeccomp, machine: Machine) -> Vec<emit::Instruction> {
    Assembler::default().program(&decision::spaces(profile, machine), action::BAD_ARCHITECTURE)
}

/// No list at all asks for SPEC_ALLOW, as runc reads it: the mitigation that it switches off made every
/// filtered process slow; Linux since 5.16 leaves it off by itself. TSYNC has no meaning for a process
/// of one thread, and WAIT_KILLABLE_RECV none without a listener, where the kernel refuses it.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let listener = action::notifies(profile);
    let words =
        profile.flags().as_deref().unwrap_or(&[LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow]);
    let bits = words.iter().map(|word| match word {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if listener => WAIT_KILLABLE_RECV,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv
        | LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
    });
    bits.fold(if listener { NEW_LISTENER } else { 0 }, |flags, bit| flags | bit)
}
