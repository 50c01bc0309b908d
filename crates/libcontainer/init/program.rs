//! The user's program: its standard streams, its home, where it lies, and execve(2).

use super::format::{Text, Texts};
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{control, memory, numbers as nr, passwd, rootfs, sys};

/// The major number of `/dev/null`, `/dev/zero`, `/dev/urandom` and their like.
const MEMORY: u32 = 1;
/// The device number of `/dev/null`.
const NULL: (u32, u32) = (MEMORY, 3);
/// What is read of a passwd file: an image may hold one of any size.
const MOST_PASSWD: u64 = 1 << 20;

/// Makes the standard streams that the caller sent along 0, 1 and 2.
pub(crate) fn take_stdio(init: &mut Init, first: u32) -> sys::Result<()> {
    for (stream, ordinal) in (0..3).zip(0..) {
        let slot = first.checked_add(ordinal).ok_or(Fault::of(Cause::BadPlan))?;
        sys::dup3(init.slots.descriptor(slot)?, stream)?;
        init.slots.close(slot);
    }
    Ok(())
}

/// Gives the standard streams to the user, so that `/dev/stdout` can be opened; the host's null device
/// is nobody's to give away, so the container's takes its place. Its like stay the host's too.
pub(crate) fn own_stdio(uid: u32) -> sys::Result<()> {
    for stream in 0..3 {
        let status = match sys::status(stream) {
            // The caller may have closed it.
            Err(fault) if fault.errno == nr::EBADF => continue,
            status => status?,
        };
        if is_null(&status) {
            replace_null(stream)?;
        } else if status.uid != uid && !(status.is(nr::S_IFCHR) && status.major == MEMORY) {
            match sys::fchown(stream, uid, u32::MAX) {
                // A terminal, or a file on a read-only or foreign file system, stays as it is.
                Err(fault) if !matches!(fault.errno, nr::EPERM | nr::EROFS | nr::EINVAL) => {
                    return Err(fault);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Opens the container's null device in place of a stream, if the container has one. Its /dev may be a
/// volume, in which another container exchanges what has just been looked at: so what was opened is looked
/// at again, and it is opened in a way that neither waits nor takes a terminal.
fn replace_null(stream: i32) -> sys::Result<()> {
    let Some(path) = Text::from_bytes_with_nul(b"/dev/null\0") else { return Ok(()) };
    let probe = match sys::openat2(nr::AT_FDCWD, path, nr::O_PATH | nr::O_NOFOLLOW, 0, 0) {
        Err(fault) if matches!(fault.errno, nr::ENOENT | nr::ENOTDIR | nr::ELOOP | nr::EACCES) => {
            return Ok(());
        }
        probe => probe?,
    };
    let status = sys::status(probe);
    sys::close(probe);
    if !is_null(&status?) {
        return Ok(());
    }
    let flags = nr::O_RDWR | nr::O_NOFOLLOW | nr::O_NONBLOCK | nr::O_NOCTTY;
    let null = sys::openat2(nr::AT_FDCWD, path, flags, 0, 0)?;
    let done = match sys::status(null) {
        Ok(status) if is_null(&status) => {
            sys::set_blocking(null).and_then(|()| sys::dup3(null, stream))
        }
        Ok(_) => Err(Fault::of(Cause::WrongDevice)),
        Err(fault) => Err(fault),
    };
    sys::close(null);
    done
}

/// Whether it is the null device.
fn is_null(status: &sys::Status) -> bool {
    status.is(nr::S_IFCHR) && (status.major, status.minor) == NULL
}

/// Finds the home directory for the environment: `/` if the passwd file has none.
pub(crate) fn find_home(init: &mut Init, uid: u32, path: Text<'_>) -> sys::Result<()> {
    const NAME: &[u8] = b"HOME=";
    let bytes = match rootfs::open_regular(init.root, path)? {
        Some((file, size)) => {
            let bytes = read(file, size.min(MOST_PASSWD));
            sys::close(file);
            bytes?
        }
        None => &[],
    };
    let home = passwd::home(bytes, uid).unwrap_or(b"/");
    let entry = memory::table::<u8>(NAME.len() + home.len() + 1)?;
    entry[..NAME.len()].copy_from_slice(NAME);
    entry[NAME.len()..NAME.len() + home.len()].copy_from_slice(home);
    init.home = Some(entry);
    Ok(())
}

fn read(file: i32, size: u64) -> sys::Result<&'static [u8]> {
    let bytes = memory::table::<u8>(usize::try_from(size).unwrap_or(0))?;
    let mut length = 0;
    while length < bytes.len() {
        match sys::read(file, &mut bytes[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(&bytes[..length])
}

/// Finds the program among the paths that it may have. A name with a slash has one only, and the reason
/// why it can't be executed is reported.
pub(crate) fn find(init: &mut Init, name: Text<'_>, candidates: Texts<'static>) -> sys::Result<()> {
    let is_path = name.bytes().contains(&b'/');
    for candidate in candidates.iter() {
        match executable(candidate) {
            Ok(()) => {
                init.program = Some(candidate);
                return Ok(());
            }
            Err(fault) if is_path => return Err(fault),
            Err(_) => {}
        }
    }
    Err(Fault::of(Cause::ProgramNotFound))
}

fn executable(path: Text<'_>) -> sys::Result<()> {
    let status = sys::status_of(path)?;
    if status.is(nr::S_IFDIR) {
        return Err(Fault::of(Cause::ProgramIsDirectory));
    }
    // access(2) looks at the mode alone; execve(2) takes regular files only.
    if !status.is(nr::S_IFREG) {
        return Err(Fault::call(nr::EXECVE, nr::EACCES));
    }
    sys::may_execute(path)
}

/// Loads the filter and executes the program: execve(2). Returns why it failed; an `Err` means that it was
/// not even tried. All that needs a system call is done before the filter is there.
pub(crate) fn execute(
    init: &Init,
    arguments: Texts<'static>,
    environment: Texts<'static>,
) -> sys::Result<Fault> {
    let program = init.program.ok_or(Fault::of(Cause::BadPlan))?;
    let home = init.home.map(<[u8]>::as_ptr);
    let arguments = pointers(arguments, None)?;
    let environment = pointers(environment, home)?;
    // Whoever said go may have been killed since: the program is executed all the same.
    control::announce_executing(program).ok();
    if let Some((filter, flags)) = init.filter {
        // That the kernel took it is all there is to know: whatever would ask may be denied by it.
        let listener = sys::load_filter(filter, flags)?;
        if flags & nr::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 {
            // The host side has seen to it that this call is allowed.
            control::announce_listener(listener)?;
        }
    }
    let fault = sys::execve(program, arguments, environment);
    // The filter may deny every call that would tell.
    init.status.execve_failed(fault.errno);
    Ok(fault)
}

/// The table of pointers that execve(2) takes, ended by a null.
pub(crate) fn pointers(
    texts: Texts<'static>,
    more: Option<*const u8>,
) -> sys::Result<&'static [*const u8]> {
    let table = memory::table::<*const u8>(texts.count() as usize + 2)?;
    let all = texts.iter().map(Text::pointer).chain(more);
    for (place, pointer) in table.iter_mut().zip(all) {
        *place = pointer;
    }
    Ok(table)
}
