//! Text that the kernel writes. Others choose what stands in it: commands, mount points, names of cgroups.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use arbitrary::{Result, Unstructured};

use crate::cgroup::{Layout, covers, layout_of, members, place};
use crate::init::copy_up::first_name;
use crate::process::Stat;

/// One of the parsers: with text that follows its grammar, or none.
pub(super) fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    match bytes.int_in_range(0..=6)? {
        0 => mount_table(bytes),
        1 => {
            let (mounts, groups) = bytes.arbitrary::<(&[u8], &[u8])>()?;
            check_layout(mounts, groups, Path::new("x"));
            Ok(())
        }
        2 => cgroups_path(bytes),
        3 => stat(bytes),
        4 => {
            if let Some(stat) = Stat::parse(bytes.peek_bytes(bytes.len()).unwrap_or_default()) {
                assert!(stat.state.is_ascii() && !stat.state.is_ascii_whitespace());
            }
            Ok(())
        }
        5 => ranges(bytes),
        _ => {
            entries(bytes.bytes(bytes.len())?);
            Ok(())
        }
    }
}

/// Bytes that a name or a path can have.
fn path(bytes: &mut Unstructured<'_>, excluded: &[u8]) -> Result<Vec<u8>> {
    let mut path = vec![b'/'];
    for _ in 0..bytes.int_in_range(0..=12)? {
        let byte = match bytes.ratio(1, 2)? {
            true => *bytes.choose(b"/ab. \\0\t\n:,=-\xff")?,
            false => bytes.arbitrary()?,
        };
        if byte != 0 && !excluded.contains(&byte) {
            path.push(byte);
        }
    }
    Ok(path)
}

/// As the kernel writes a path into the mount table: seq_path(), mangle().
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => text.push(byte),
        }
    }
    text
}

const LABELS: &[&str] =
    &["", "name=systemd", "cpu,cpuacct", "memory", "name=a.b-c", "devices", "pids"];

/// A table and memberships as the kernel writes them: every hierarchy that is mounted is found, at one of its
/// mounts, with the paths that it has.
fn mount_table(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut table = Vec::new();
    let mut groups = Vec::new();
    let mut expected = Vec::new();
    for (number, label) in LABELS.iter().enumerate() {
        if bytes.arbitrary()? {
            continue;
        }
        let own = path(bytes, b"\n")?;
        groups.extend_from_slice(format!("{number}:{label}:").as_bytes());
        groups.extend_from_slice(&own);
        groups.push(b'\n');
        let mut mounts = Vec::new();
        for _ in 0..bytes.int_in_range(0..=2)? {
            let (root, mountpoint) = (path(bytes, b"")?, path(bytes, b"")?);
            let fields =
                *bytes.choose(&["", "shared:9 ", "shared:1 master:2 propagate_from:3 "])?;
            let kind = if label.is_empty() { "cgroup2" } else { "cgroup" };
            let head = [b"35 31 0:32 ", &escaped(&root)[..], b" ", &escaped(&mountpoint)].concat();
            let options = escaped(label.as_bytes());
            let tail = format!(" rw {fields}- {kind} {kind} rw,xattr,");
            table.extend_from_slice(&[&head[..], tail.as_bytes(), &options, b"\n"].concat());
            mounts.push((as_path(&mountpoint), as_path(&root)));
        }
        if !mounts.is_empty() {
            expected.push((*label, as_path(&own), mounts));
        }
        if bytes.arbitrary()? {
            let stick = escaped(&path(bytes, b"")?);
            table.extend_from_slice(
                &[b"23 22 8:2 / ", &stick[..], b" rw - vfat cgroup rw,cpu\n"].concat(),
            );
        }
    }
    let found = found(&layout_of(&table, &groups).unwrap());
    let table = table.escape_ascii();
    assert_eq!(found.len(), expected.len(), "{found:?}\n{expected:?}\n{table}");
    for (label, own, mounts) in expected {
        let (_, found_own, mount) = found.iter().find(|(found, ..)| found == label).unwrap();
        assert_eq!(*found_own, own, "{table}");
        assert!(mounts.contains(mount), "{mount:?} is not among {mounts:?}\n{table}");
    }
    Ok(())
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The hierarchies of a layout: what they are called, the caller's cgroup, mount point and root.
fn found(layout: &Layout) -> Vec<(String, PathBuf, (PathBuf, PathBuf))> {
    let (v1, unified) = match layout.clone() {
        Layout::None => (Vec::new(), None),
        Layout::V2(unified) => (Vec::new(), Some(unified)),
        Layout::V1 { hierarchies, unified } => (hierarchies, unified),
    };
    let label = |name: Option<String>, controllers: Vec<String>| match name {
        Some(name) => format!("name={name}"),
        None => controllers.join(","),
    };
    let v1 =
        v1.into_iter().map(|h| (label(h.name, h.controllers), h.own, (h.mountpoint, h.mount_root)));
    let unified = unified.into_iter().map(|u| (String::new(), u.own, (u.mountpoint, u.mount_root)));
    v1.chain(unified).collect()
}

/// Whatever the layout: a container's cgroup is below a mount point, and no `..` leads out.
fn check_layout(mounts: &[u8], groups: &[u8], path: &Path) {
    let layout = match layout_of(mounts, groups) {
        Ok(layout) => layout,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let Ok(placement) = place(&layout, Some(path), "box") else { return };
    assert_eq!(placement.places().count(), found(&layout).len());
    for place in placement.places() {
        let mut names = place.below.components();
        assert!(names.clone().next().is_some(), "{place:?}");
        assert!(names.all(|name| matches!(name, Component::Normal(_))), "{place:?}");
        if place.mountpoint.is_absolute() {
            place.verify().unwrap();
            assert!(place.directory().starts_with(&place.mountpoint), "{place:?}");
        }
    }
}

/// `linux.cgroupsPath` in a hierarchy of which a part is mounted.
fn cgroups_path(bytes: &mut Unstructured<'_>) -> Result<()> {
    let (root, own) = (path(bytes, b"\n")?, path(bytes, b"\n")?);
    let own = if bytes.arbitrary()? { [&root[..], &own].concat() } else { own };
    let kind = *bytes.choose(&["cgroup2 cgroup2 rw", "cgroup cgroup rw,cpu"])?;
    let label = if kind.starts_with("cgroup2") { "" } else { "cpu" };
    let mounts = [b"1 1 0:1 ", &escaped(&root)[..], b" /cg rw - ", kind.as_bytes()].concat();
    let groups = [format!("1:{label}:").as_bytes(), &own].concat();
    let mut wanted = path(bytes, b"")?;
    if bytes.arbitrary()? {
        wanted.remove(0);
    }
    check_layout(&mounts, &groups, &as_path(&wanted));
    if let Err(error) = place(&layout_of(&mounts, &groups).unwrap(), Some(&as_path(&wanted)), "box")
    {
        assert_eq!(error.property(), Some("linux.cgroupsPath"));
    }
    Ok(())
}

/// `/proc/PID/stat` of a process that calls itself what it likes.
fn stat(bytes: &mut Unstructured<'_>) -> Result<()> {
    let (state, start_time, exit_code) =
        (*bytes.choose(b"RSDZTtXIP")?, bytes.arbitrary::<u64>()?, bytes.arbitrary::<i32>()?);
    let mut fields: Vec<String> = Vec::new();
    for _ in 4..=52 {
        fields.push(bytes.arbitrary::<i32>()?.to_string());
    }
    fields[22 - 4] = start_time.to_string();
    fields[52 - 4] = exit_code.to_string();
    let command = bytes.bytes(bytes.len().min(64))?;
    let head = [b"42 (", command, b") ", &[state, b' ']].concat();
    let text = [&head[..], fields.join(" ").as_bytes(), b"\n"].concat();
    let stat = Stat::parse(&text).unwrap();
    assert_eq!((stat.state, stat.start_time, stat.exit_code), (state, start_time, exit_code));
    Ok(())
}

/// Lists of processors and nodes, `0,2-3`: what is read back lies within what was asked for.
fn ranges(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut numbers = [false; 24];
    let mut texts = Vec::new();
    for _ in 0..bytes.int_in_range(0..=6)? {
        let first = bytes.int_in_range(0..=23_usize)?;
        let last = bytes.int_in_range(first..=23)?;
        numbers[first..=last].fill(true);
        let blank = if bytes.ratio(1, 8)? { " " } else { "" };
        texts.push(if first == last {
            format!("{blank}{first}")
        } else {
            format!("{first}-{last}{blank}")
        });
    }
    let list = members(&texts.join(",")).unwrap();
    for first in 0..24_u32 {
        for last in first..24 {
            let all = (first..=last).all(|number| numbers[usize::try_from(number).unwrap()]);
            assert_eq!(covers(&list, first, last), all, "{texts:?} {first}-{last}");
        }
    }
    // Whatever else is there ends too.
    if let Some(list) = members(&String::from_utf8_lossy(bytes.bytes(bytes.len())?)) {
        covers(&list, 0, u32::MAX);
    }
    Ok(())
}

/// Entries of a directory, as getdents64(2) has them: each step goes on.
fn entries(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((name, next)) = first_name(rest) {
        assert!(next.len() < rest.len());
        let entry = &rest[..rest.len() - next.len()];
        let ended = [name.bytes(), &[0]].concat();
        assert!(entry.windows(ended.len()).any(|part| part == ended), "{}", entry.escape_ascii());
        rest = next;
    }
}
