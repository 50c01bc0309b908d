//! `tmpcopyup`: what an image has in a directory is copied into the tmpfs that is going to cover it.

use super::format::Text;
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{numbers as nr, sys};

/// As deep as a tree may be: each level takes some 9 KiB of init's stack.
const MOST_LEVELS: usize = 64;

/// Links are neither followed out of the source nor into the copy.
const STAY: u64 = nr::RESOLVE_BENEATH | nr::RESOLVE_NO_SYMLINKS;

/// Copies the tree that the container has at `target`, if there is one, into the detached mount.
pub(crate) fn copy(init: &Init, slot: u32, target: Text<'_>) -> sys::Result<()> {
    let mount = init.slots.descriptor(slot)?;
    let flags = nr::O_RDONLY | nr::O_DIRECTORY;
    let resolve = nr::RESOLVE_IN_ROOT | nr::RESOLVE_NO_MAGICLINKS;
    let from = match sys::openat2(init.root, target, flags, 0, resolve) {
        Err(fault) if fault.errno == nr::ENOENT => return Ok(()),
        other => other?,
    };
    let done = directory(from, mount, 0);
    sys::close(from);
    done
}

fn directory(from: i32, to: i32, level: usize) -> sys::Result<()> {
    if level == MOST_LEVELS {
        return Err(Fault::of(Cause::TooDeep));
    }
    let mut entries = [0; 4096];
    loop {
        let length = sys::getdents64(from, &mut entries)?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = entries.get(..length).unwrap_or(&[]);
        while let Some((name, next)) = first_name(rest) {
            if !matches!(name.bytes(), b"." | b"..") {
                entry(from, to, name, level)?;
            }
            rest = next;
        }
    }
}

/// The name of the first entry (struct linux_dirent64), and the entries behind it.
pub(crate) fn first_name(entries: &[u8]) -> Option<(Text<'_>, &[u8])> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let length = entries.get(LENGTH..LENGTH + 2)?;
    let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
    let (entry, rest) = entries.split_at_checked(length)?;
    let name = entry.get(NAME..)?;
    let end = name.iter().position(|&b| b == 0)?;
    Some((Text::from_bytes_with_nul(name.get(..=end)?)?, rest))
}

fn entry(from: i32, to: i32, name: Text<'_>, level: usize) -> sys::Result<()> {
    let status = sys::status_at(from, name)?;
    let mode = status.mode & !nr::S_IFMT;
    match status.mode & nr::S_IFMT {
        nr::S_IFDIR => {
            sys::mkdirat(to, name, mode)?;
            sys::fchownat(to, name, status.uid, status.gid)?;
            both(from, to, name, nr::O_RDONLY | nr::O_DIRECTORY, |from, to| {
                directory(from, to, level + 1)?;
                // mkdir(2) drops the set-group-id bit.
                sys::fchmod(to, mode)
            })
        }
        nr::S_IFREG => {
            sys::mknodat(to, name, nr::S_IFREG | 0o600, 0)?;
            both(from, to, name, nr::O_WRONLY, |from, to| {
                while sys::sendfile(to, from, 1 << 20)? > 0 {}
                sys::fchown(to, status.uid, status.gid)?;
                // After the owner, whose change clears the set-id bits.
                sys::fchmod(to, mode)
            })
        }
        nr::S_IFLNK => {
            let mut target = [0; 4096];
            let length = sys::readlinkat(from, name, &mut target[..4095])?;
            let target = Text::from_bytes_with_nul(target.get(..=length).unwrap_or(&[]));
            sys::symlinkat(target.ok_or(Fault::of(Cause::BadPlan))?, to, name)?;
            sys::fchownat(to, name, status.uid, status.gid)
        }
        _ => {
            let device = sys::device_number(status.major, status.minor);
            sys::mknodat(to, name, status.mode, device)?;
            sys::fchownat(to, name, status.uid, status.gid)
        }
    }
}

/// Opens a name on both sides, the source for reading.
fn both(
    from: i32,
    to: i32,
    name: Text<'_>,
    flags: u64,
    then: impl FnOnce(i32, i32) -> sys::Result<()>,
) -> sys::Result<()> {
    let source = sys::openat2(from, name, flags & nr::O_DIRECTORY | nr::O_NONBLOCK, 0, STAY)?;
    let copy = sys::openat2(to, name, flags, 0, STAY);
    let done = copy.and_then(|copy| {
        let done = then(source, copy);
        sys::close(copy);
        done
    });
    sys::close(source);
    done
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::thread;

    use super::*;

    /// struct linux_dirent64.
    fn dirent(length: u16, name: &[u8]) -> Vec<u8> {
        let mut entry = [&[0; 16][..], &length.to_ne_bytes(), &[0], name, &[0]].concat();
        entry.resize(entry.len().max(usize::from(length)), 0);
        entry
    }

    #[test]
    fn names_are_read_from_entries_and_nothing_else() {
        let good = [dirent(24, b"ab"), dirent(32, b"c")].concat();
        let (name, rest) = first_name(&good).unwrap();
        assert_eq!((name.bytes(), rest.len()), (&b"ab"[..], 32));
        let (name, rest) = first_name(rest).unwrap();
        assert_eq!((name.bytes(), rest.len()), (&b"c"[..], 0));
        for bad in [
            Vec::new(),
            dirent(24, b"ab")[..17].to_vec(),
            dirent(0, b"ab"),
            dirent(18, b"ab"),
            dirent(25, b"ab")[..24].to_vec(),
            dirent(21, b"not ended"),
            dirent(u16::MAX, b"ab")[..24].to_vec(),
        ] {
            assert!(first_name(&bad).is_none(), "{bad:?}");
        }
    }

    fn copied(from: &fs::File, to: &fs::File) -> sys::Result<()> {
        super::directory(from.as_raw_fd(), to.as_raw_fd(), 0)
    }

    #[test]
    fn a_tree_is_copied_with_its_modes_and_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| from.path().join(name);
        fs::create_dir_all(at("dir/empty")).unwrap();
        fs::write(at("dir/file"), vec![7; 3 << 20]).unwrap();
        fs::set_permissions(at("dir/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(at("dir/empty"), fs::Permissions::from_mode(0o3711)).unwrap();
        symlink("/nowhere", at("link")).unwrap();
        for index in 0..500 {
            fs::write(at(&format!("a-rather-long-name-of-a-file-{index}")), "").unwrap();
        }
        let open = |directory: &tempfile::TempDir| fs::File::open(directory.path()).unwrap();
        copied(&open(&from), &open(&to)).unwrap();
        let at = |name: &str| to.path().join(name);
        assert_eq!(fs::read(at("dir/file")).unwrap(), vec![7; 3 << 20]);
        assert_eq!(fs::metadata(at("dir/file")).unwrap().mode() & 0o7777, 0o4751);
        assert_eq!(fs::read_link(at("link")).unwrap().to_str(), Some("/nowhere"));
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 502);
        assert_eq!(fs::metadata(at("dir/empty")).unwrap().mode() & 0o7777, 0o3711);
    }

    /// A limit of the container's stack holds for init in a user namespace already.
    #[test]
    fn the_deepest_tree_needs_less_than_a_mebibyte_of_stack() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let levels = |count: usize| from.path().join(vec!["d"; count].join("/"));
        fs::create_dir_all(levels(MOST_LEVELS - 1)).unwrap();
        let open = |directory: &tempfile::TempDir| fs::File::open(directory.path()).unwrap();
        let copy = || {
            let (from, to) = (open(&from), open(&to));
            let thread = thread::Builder::new().stack_size(1 << 20);
            thread.spawn(move || copied(&from, &to)).unwrap().join().unwrap()
        };
        assert_eq!(copy(), Ok(()));
        fs::create_dir(levels(MOST_LEVELS)).unwrap();
        fs::remove_dir_all(to.path().join("d")).unwrap();
        assert_eq!(copy(), Err(Fault::of(Cause::TooDeep)));
    }
}
