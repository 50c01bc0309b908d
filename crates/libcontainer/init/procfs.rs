//! A procfs that nobody can have prepared, and what is written through it: sysctls and labels
//! (proc_sys(5), proc_pid_attr(5)). An image or a mount of the configuration may put anything over the
//! container's own `/proc`, a file that swallows what is written as well as one that harms the host
//! (CVE-2019-16884, CVE-2025-52881).

use super::format::{Text, Texts};
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{filesystem, memory, numbers as nr, sys};

/// No way leads out of the mount, nor over a link, which in a procfs may be one to anywhere.
const BENEATH: u64 =
    nr::RESOLVE_BENEATH | nr::RESOLVE_NO_XDEV | nr::RESOLVE_NO_SYMLINKS | nr::RESOLVE_NO_MAGICLINKS;

/// More than the kernel reports: labels and values have a page at the most.
const REPORT: usize = 4096;

/// Opens the procfs: a detached one, or that of the host, which is still where it was.
pub(crate) fn open(init: &mut Init, detached: bool, options: Texts<'_>) -> sys::Result<()> {
    const ATTRIBUTES: u64 = nr::MOUNT_ATTR_NOSUID | nr::MOUNT_ATTR_NODEV | nr::MOUNT_ATTR_NOEXEC;
    let directory = if detached {
        let kind = Text::from_bytes_with_nul(b"proc\0").ok_or(Fault::of(Cause::BadPlan))?;
        filesystem::make(init, kind, kind, options, ATTRIBUTES)?
    } else {
        let path = Text::from_bytes_with_nul(b"/proc\0").ok_or(Fault::of(Cause::BadPlan))?;
        sys::openat2(nr::AT_FDCWD, path, nr::O_PATH | nr::O_DIRECTORY, 0, 0)?
    };
    init.procfs = directory;
    let is_root = sys::status(directory)?.inode == nr::PROC_ROOT_INO;
    if is_root && sys::filesystem_magic(directory)? == nr::PROC_SUPER_MAGIC {
        Ok(())
    } else {
        Err(Fault::of(Cause::NotProc))
    }
}

/// Closes it, before anything is looked up for the user.
pub(crate) fn close(init: &mut Init) {
    sys::close(init.procfs);
    init.procfs = -1;
}

/// Sets a sysctl. With `check` the kernel must report what was written: all numbers of it, however they
/// are separated.
pub(crate) fn sysctl(init: &Init, path: Text<'_>, value: Text<'_>, check: bool) -> sys::Result<()> {
    let file = sys::openat2(init.procfs, path, nr::O_WRONLY, 0, BENEATH)?;
    let done = write_all(file, value.bytes());
    sys::close(file);
    done?;
    if !check {
        return Ok(());
    }
    let mut report = [0; REPORT];
    let file = sys::openat2(init.procfs, path, nr::O_RDONLY, 0, BENEATH)?;
    let length = sys::read(file, &mut report);
    sys::close(file);
    let reported = report.get(..length?).unwrap_or(&[]);
    if begins_with_words(reported, value.bytes()) {
        Ok(())
    } else {
        Err(Fault::of(Cause::NotInForce))
    }
}

/// Writes the label of the next execve(2), and the kernel must report it. The file is opened only here: the
/// kernel takes a label from nobody but the credentials and the memory that opened the file.
pub(crate) fn label(
    init: &Init,
    name: Text<'_>,
    value: Text<'_>,
    expected: Text<'_>,
) -> sys::Result<()> {
    let file = open_attribute(init, name)?;
    let mut report = [0; REPORT];
    let length = write_all(file, value.bytes()).and_then(|()| sys::read(file, &mut report));
    sys::close(file);
    if is_label(report.get(..length?).unwrap_or(&[]), expected.bytes()) {
        Ok(())
    } else {
        Err(Fault::of(Cause::NotInForce))
    }
}

/// Writes an attribute of this process. No bytes at all take back what was written before.
pub(crate) fn write_attribute(init: &Init, name: Text<'_>, value: &[u8]) -> sys::Result<()> {
    let file = open_attribute(init, name)?;
    let done = write_all(file, value);
    sys::close(file);
    done
}

/// Opens a file of this process's directory, for reading and writing.
fn open_attribute(init: &Init, name: Text<'_>) -> sys::Result<i32> {
    let own = own_directory(init.procfs)?;
    let file = sys::openat2(own, name, nr::O_RDWR, 0, BENEATH);
    sys::close(own);
    file
}

/// The directory of this process. `self` is a link, which says what the process is called here: a procfs
/// shows the pids of the namespace that it was made in.
fn own_directory(procfs: i32) -> sys::Result<i32> {
    const DIGITS: usize = 10;
    let link = Text::from_bytes_with_nul(b"self\0").ok_or(Fault::of(Cause::BadPlan))?;
    // Zeroed, and longer by the NUL.
    let name = memory::table::<u8>(DIGITS + 1)?;
    let length = sys::readlinkat(procfs, link, &mut name[..DIGITS])?;
    let name = name.get(..=length).and_then(Text::from_bytes_with_nul);
    let name = name.ok_or(Fault::of(Cause::NotProc))?;
    if !name.bytes().iter().all(u8::is_ascii_digit) {
        return Err(Fault::of(Cause::NotProc));
    }
    sys::openat2(procfs, name, nr::O_PATH | nr::O_DIRECTORY, 0, BENEATH)
}

/// One write(2), which must take everything: the kernel reads a part as the whole.
fn write_all(file: i32, bytes: &[u8]) -> sys::Result<()> {
    if sys::write(file, bytes)? == bytes.len() { Ok(()) } else { Err(Fault::of(Cause::NotInForce)) }
}

/// Whether a label is reported: alone, or followed by the mode of an AppArmor profile in parentheses.
fn is_label(reported: &[u8], expected: &[u8]) -> bool {
    let end = |byte: &u8| matches!(byte, 0 | b'\n');
    let reported = reported.split(end).next().unwrap_or(&[]);
    match reported.strip_prefix(expected) {
        Some(rest) => rest.is_empty() || rest.starts_with(b" (") && rest.ends_with(b")"),
        None => false,
    }
}

/// Whether the report begins with these words: the kernel may have more of them, and writes them with
/// tabs between and a line end behind.
fn begins_with_words(reported: &[u8], written: &[u8]) -> bool {
    let mut reported = words(reported);
    words(written).all(|word| reported.next() == Some(word))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::control::Detail;
    use crate::init::slots::Slots;

    fn init() -> Init {
        Init {
            status: Box::leak(Box::default()),
            slots: Slots::new(0).unwrap(),
            root: -1,
            procfs: -1,
            empty_attached: false,
            entered: false,
            in_working_directory: false,
            program: None,
            filter: None,
            home: None,
            detail: Detail::none(),
        }
    }

    fn text(bytes: &'static [u8]) -> Text<'static> {
        Text::from_bytes_with_nul(bytes).unwrap()
    }

    /// The name of this program stands in for a label: a file that is written and read in the same way,
    /// on every host.
    #[test]
    fn an_attribute_is_written_and_read_back_through_either_procfs() {
        let mut init = init();
        let (comm, name) = (text(b"comm\0"), text(b"tare-test\0"));
        let before = std::fs::read_to_string("/proc/self/comm").unwrap();
        for detached in [false, true] {
            if detached && !nix::unistd::geteuid().is_root() {
                eprintln!("skipped in part: needs root");
                continue;
            }
            let options = if detached { &b"subset\0=pid\0"[..] } else { b"" };
            open(&mut init, detached, Texts::from_bytes(options).unwrap()).unwrap();
            label(&init, comm, name, name).unwrap();
            assert_eq!(std::fs::read("/proc/self/comm").unwrap(), b"tare-test\n");
            let fault = label(&init, comm, name, text(b"another\0")).unwrap_err();
            assert_eq!(fault, Fault::of(Cause::NotInForce));
            // What leads out: links, and the rest of the procfs where it is not there.
            const EXDEV: u32 = 18;
            for (path, errno) in [
                (&b"../self/comm\0"[..], EXDEV),
                (b"../../etc/passwd\0", EXDEV),
                (b"cwd\0", nr::ELOOP),
                (b"no-such-file\0", nr::ENOENT),
            ] {
                let fault = label(&init, text(path), name, name).unwrap_err();
                assert_eq!(fault.errno, errno, "{}", path.escape_ascii());
            }
            let sysctl = sysctl(&init, text(b"sys/no/such\0"), name, true);
            assert_eq!(sysctl.unwrap_err().errno, nr::ENOENT);
            close(&mut init);
        }
        std::fs::write("/proc/self/comm", before.trim_end()).unwrap();
    }

    #[test]
    fn labels_are_compared_without_their_mode() {
        for (reported, expected, same) in [
            ("docker-default (enforce)\n", "docker-default", true),
            ("unconfined\n", "unconfined", true),
            (
                "system_u:system_r:container_t:s0:c1,c2\0",
                "system_u:system_r:container_t:s0:c1,c2",
                true,
            ),
            ("a b", "a b", true),
            ("", "docker-default", false),
            ("unconfined\n", "docker-default", false),
            ("docker-default-2 (enforce)\n", "docker-default", false),
            ("docker-default//child (enforce)\n", "docker-default", false),
            ("docker-default\nunconfined\n", "docker-default", true),
            ("docker-default (enforce", "docker-default", false),
        ] {
            assert_eq!(is_label(reported.as_bytes(), expected.as_bytes()), same, "{reported:?}");
        }
    }

    #[test]
    fn values_are_compared_word_by_word() {
        for (reported, written, same) in [
            ("0\t2147483647\n", "0 2147483647", true),
            ("250\t32000\t32\t128\n", "250 32000", true),
            ("77\n", "77", true),
            ("77\n", " 77\n", true),
            ("1024\n", "77", false),
            ("77\n", "7", false),
            ("", "0", false),
            ("250\n", "250 32000", false),
        ] {
            let same_words = begins_with_words(reported.as_bytes(), written.as_bytes());
            assert_eq!(same_words, same, "{reported:?} {written:?}");
        }
    }
}
