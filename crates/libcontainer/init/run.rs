//! The job: receive the plan, execute its operations in order, report the first failure.

use core::sync::atomic::{AtomicU32, Ordering};

use super::control::{self, Detail};
use super::format::{self, Header, Instructions, Operation, Reader, Record, Text};
use super::protocol::{Cause, Fault, StatusPage};
use super::slots::Slots;
use super::{
    check, copy_up, filesystem, flags, hook, identity, keyring, made, memory, mounts, namespaces,
    numbers as nr, procfs, program, rootfs, sys, terminal,
};

/// What init knows while it runs.
#[derive(Debug)]
pub(crate) struct Init {
    /// The page that init shares with the creator, then with the caller of `start`.
    pub(crate) status: &'static StatusPage,
    /// Descriptors that the plan names.
    pub(crate) slots: Slots,
    /// The container's root, once it is attached.
    pub(crate) root: i32,
    /// The procfs that is written through; -1 if none is open.
    pub(crate) procfs: i32,
    /// Whether the empty tmpfs that masks directories is attached somewhere already.
    pub(crate) empty_attached: bool,
    /// Whether that has become `/`.
    pub(crate) entered: bool,
    /// Whether a chdir was successful.
    pub(crate) in_working_directory: bool,
    /// What `FindProgram` found.
    pub(crate) program: Option<Text<'static>>,
    /// `HOME=…`, if the configuration has none.
    pub(crate) home: Option<&'static [u8]>,
    /// The filter to load, with its flags.
    pub(crate) filter: Option<(Instructions<'static>, u32)>,
    /// Text for the report of a failure.
    pub(crate) detail: Detail,
}

/// The operation that init is in, for the panic handler.
static OPERATION: AtomicU32 = AtomicU32::new(0);

/// What init exits with when it could not execute the user's program, as other runtimes do.
pub(crate) const FAILED: i32 = 255;

/// The program: `argument` is the number of the control socket.
pub(crate) fn main(argument: *const u8) -> ! {
    let Some(control) = number(argument) else { sys::exit(FAILED) };
    control::talk_to(control);
    match prepare(control) {
        Ok((mut init, reader)) => {
            let fault = run(&mut init, reader);
            control::report(OPERATION.load(Ordering::Relaxed), fault, &init.detail);
        }
        Err(fault) => control::report(0, fault, &Detail::none()),
    }
    sys::exit(FAILED)
}

/// Reports a failure that ends this process otherwise than through the loop: a panic, or a hook's.
pub(crate) fn report(fault: Fault) {
    control::report(OPERATION.load(Ordering::Relaxed), fault, &Detail::none());
}

/// Makes init independent of what its caller left open, ignored or blocked, and receives the plan.
fn prepare(control: i32) -> sys::Result<(Init, Reader<'static>)> {
    sys::prctl(nr::PR_SET_PDEATHSIG, u64::from(nr::SIGKILL), 0)?;
    for signal in 1..=64 {
        if signal != nr::SIGKILL as usize && signal != nr::SIGSTOP as usize {
            sys::default_signal(signal)?;
        }
    }
    identity::unblock_signals()?;
    identity::set_umask(0)?;
    sys::set_close_on_exec(control)?;
    take_standard_numbers(control)?;
    let mut word = [0u8; 4];
    let mut descriptors = [-1; sys::MOST_DESCRIPTORS];
    let (bytes, count) = sys::receive(control, &mut word, &mut descriptors)?;
    let length = u32::from_le_bytes(word) as usize;
    if bytes != word.len() || count < 2 {
        return Err(Fault::of(Cause::BadReply));
    }
    let image = memory::map_plan(descriptors[0], length)?;
    let status = memory::map_status(descriptors[1])?;
    made::tell_to(status);
    let (header, reader) = Header::decode(image).ok_or(Fault::of(Cause::BadPlan))?;
    if header.received as usize != count - 2 || !check::plan(&header, reader) {
        return Err(Fault::of(Cause::BadPlan));
    }
    close_foreign(&header, control, &descriptors[..count])?;
    let mut slots = Slots::new(header.slots)?;
    for (slot, fd) in (0..header.received).zip(&descriptors[2..count]) {
        slots.put(slot, *fd)?;
    }
    sys::close(descriptors[0]);
    sys::close(descriptors[1]);
    let init = Init {
        status,
        slots,
        root: -1,
        entered: false,
        procfs: -1,
        empty_attached: false,
        in_working_directory: false,
        program: None,
        home: None,
        filter: None,
        detail: Detail::none(),
    };
    Ok((init, reader))
}

/// Where the caller has no standard streams, takes their numbers until execve(2): a descriptor of ours that
/// had one would be replaced by a stream that the caller sends, or be given to the user like one.
fn take_standard_numbers(control: i32) -> sys::Result<()> {
    loop {
        let taken = sys::duplicate(control, 0)?;
        if taken > 2 {
            sys::close(taken);
            return Ok(());
        }
    }
}

/// Closes, for good, all that the caller left open beside the standard streams, the descriptors that the
/// user's process inherits, and our own: a path such as `/proc/self/fd/7/..` leads nowhere then
/// (CVE-2024-21626).
fn close_foreign(header: &Header, control: i32, own: &[i32]) -> sys::Result<()> {
    let mut first = header.preserved.saturating_add(3);
    loop {
        let kept = own
            .iter()
            .chain([&control])
            .filter_map(|&fd| u32::try_from(fd).ok())
            .filter(|&fd| fd >= first)
            .min();
        let Some(kept) = kept else { return close_range(control, first, u32::MAX) };
        if kept > first {
            close_range(control, first, kept - 1)?;
        }
        first = kept + 1;
    }
}

/// close_range(2), and a descriptor that was open for sure must be closed: what stayed would be the user's.
fn close_range(control: i32, first: u32, last: u32) -> sys::Result<()> {
    // No number from there on is free, or there can be none: then `first` is as good.
    let witness = sys::duplicate(control, first).unwrap_or(-1);
    sys::close_range(first, last)?;
    let witness = match u32::try_from(witness) {
        Ok(inside) if inside <= last => inside,
        Ok(_) => {
            sys::close(witness);
            first
        }
        Err(_) => first,
    };
    identity::in_force(!sys::is_open(witness))
}

/// Executes the operations. Returns only a failure: the last operation replaces the process.
fn run(init: &mut Init, mut reader: Reader<'static>) -> Fault {
    for index in 0.. {
        OPERATION.store(index, Ordering::Relaxed);
        init.status.operation.store(index, Ordering::Relaxed);
        let Some(record) = Record::decode(&mut reader) else { break };
        if let Err(fault) = execute(init, &record.operation) {
            return fault;
        }
    }
    Fault::of(Cause::BadPlan)
}

/// Executes one operation.
#[allow(clippy::too_many_lines, reason = "one line an operation: a table")]
fn execute(init: &mut Init, operation: &Operation<'static>) -> sys::Result<()> {
    use Operation as Op;
    match *operation {
        Op::Session {} => identity::session(),
        Op::NotDumpable {} => identity::not_dumpable(),
        Op::SetRlimit { resource, soft, hard } => identity::set_limit(resource, soft, hard),
        Op::RaiseRlimit { resource, hard } => identity::raise_limit(resource, hard),
        Op::JoinNamespace { slot, kind } => namespaces::join(init, slot, kind),
        Op::Clone { flags, cgroup } => namespaces::clone(init, flags, cgroup),
        Op::JoinCgroups {} => namespaces::join_cgroups(),
        Op::Unshare { flags } => sys::unshare(flags),
        Op::BecomeRoot {} => identity::become_root(),
        Op::SetHostname { name } => identity::set_name(sys::sethostname, sys::Name::Host, name),
        Op::SetDomainname { name } => {
            identity::set_name(sys::setdomainname, sys::Name::Domain, name)
        }
        Op::LoopbackUp {} => namespaces::loopback_up(),
        Op::Propagation { path, flags } => sys::mount_flags(path, flags),
        Op::OpenTree { slot, path, flags } => mounts::open(init, slot, path, flags),
        Op::OpenDevice { slot, path, kind, major, minor } => {
            mounts::open_device(init, slot, path, (kind, major, minor))
        }
        Op::AttachRoot { slot, path } => mounts::attach_root(init, slot, path),
        Op::Filesystem { slot, kind, source, options, attributes } => {
            filesystem::create(init, slot, kind, source, options, attributes)
        }
        Op::Attributes { slot, set, clear, propagation, recursive } => {
            let attributes = sys::MountAttributes { set, clear, propagation, userns: 0 };
            sys::mount_setattr(init.slots.descriptor(slot)?, recursive, &attributes)
        }
        Op::Flags { slot, set, clear, propagation } => {
            let mount = init.slots.descriptor(slot)?;
            match propagation {
                0 => flags::change(mount, set, clear),
                _ => flags::apply(mount, propagation),
            }
        }
        Op::CopyUp { slot, target } => copy_up::copy(init, slot, target),
        Op::Attach { slot, target, flags } => mounts::attach(init, slot, target, flags),
        Op::Remount { target, options, filesystem, set, clear, by_mount } => {
            let attributes = sys::MountAttributes { set, clear, ..Default::default() };
            let options = (filesystem != 0).then_some(options);
            filesystem::change(init, target, options, &attributes, by_mount != 0)
        }
        Op::CopyMode { slot, target } => mounts::copy_mode(init, slot, target),
        Op::MakeDirectory { path, mode } => {
            rootfs::directory(init.root, path, mode).map(sys::close)
        }
        Op::MakeNode { path, mode, major, minor, uid, gid } => {
            rootfs::node(init.root, path, mode, (major, minor), (uid, gid))
        }
        Op::Symlink { target, path } => rootfs::symlink(init.root, target, path),
        Op::Terminal { columns, rows } => terminal::make(init, columns, rows),
        Op::Mask { path, null, empty } => mounts::mask(init, path, null, empty),
        Op::MakeReadonly { path, by_mount } => mounts::make_readonly(init, path, by_mount != 0),
        Op::PivotRoot {} => mounts::pivot_root(init),
        Op::MoveRoot {} => mounts::move_root(init),
        Op::CloseSlots {} => {
            init.slots.close_all_but(format::GATE);
            Ok(())
        }
        Op::RuntimeHooks {} => control::runtime_hooks(),
        Op::RunHook { number, path, arguments, environment, timeout } => {
            hook::run(init, number, path, arguments, environment, timeout)
        }
        Op::OwnStdio { uid } => program::own_stdio(uid),
        Op::Stdio { first } => program::take_stdio(init, first),
        Op::Home { uid, passwd } => program::find_home(init, uid, passwd),
        Op::Umask { mask } => identity::set_umask(mask),
        Op::Chdir { path, retry } => identity::chdir(init, path, retry != 0),
        Op::DropBounding { keep, last } => identity::drop_bounding(keep, last),
        Op::SetGroups { groups } => identity::set_groups(groups),
        Op::SetUser { uid, gid } => identity::set_user(uid, gid),
        Op::SetCapabilities { bounding, effective, permitted, inheritable, ambient } => {
            let sets = identity::Sets { bounding, effective, permitted, inheritable, ambient };
            identity::set_capabilities(&sets)
        }
        Op::NoNewPrivileges {} => identity::no_new_privileges(),
        Op::OpenProc { detached, options } => procfs::open(init, detached != 0, options),
        Op::Sysctl { path, value, check } => procfs::sysctl(init, path, value, check != 0),
        Op::SessionKeyring { name, permissions, label } => {
            keyring::join(init, name, permissions, label)
        }
        Op::ExecLabel { name, value, expected } => procfs::label(init, name, value, expected),
        Op::CloseProc {} => {
            procfs::close(init);
            Ok(())
        }
        Op::FindProgram { name, candidates } => program::find(init, name, candidates),
        Op::Gate {} => control::gate(init),
        Op::Filter { program, flags } => {
            init.filter = Some((program, flags));
            Ok(())
        }
        Op::Execute { arguments, environment } => {
            Err(program::execute(init, arguments, environment)?)
        }
    }
}

/// The decimal number in a NUL-terminated string.
fn number(text: *const u8) -> Option<i32> {
    if text.is_null() {
        return None;
    }
    let mut value = 0i32;
    for index in 0..10 {
        let at = text.wrapping_add(index);
        // SAFETY: the kernel NUL-terminates arguments, and the loop ends at the NUL.
        match unsafe { at.read() } {
            0 => return (index > 0).then_some(value),
            digit @ b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i32::from(digit - b'0'))?;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_argument_is_the_number_of_a_descriptor() {
        for (text, value) in [
            (c"0", Some(0)),
            (c"1023", Some(1023)),
            (c"2147483647", None),
            (c"214748364", Some(214_748_364)),
            (c"", None),
            (c"-1", None),
            (c"1x", None),
            (c" 1", None),
        ] {
            assert_eq!(number(text.as_ptr().cast()), value, "{text:?}");
        }
        assert_eq!(number(core::ptr::null()), None);
    }
}
