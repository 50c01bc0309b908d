//! What shall be executed, as whom, where, and with what limits.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use integration::config::put_user_namespace;
use integration::{Bundle, has_apparmor, has_selinux};
use serde_json::{Value, json};

use super::place::{Inode, program, put};
use super::{CREATE, RUN, Row, START, Setting, check, row};

fn args(args: &'static [&'static str]) -> impl Fn(Bundle) -> Bundle {
    move |bundle| bundle.args(args)
}

/// A file of the root filesystem that shall be executed.
fn executes(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(bundle.args(&["/bin/bad"]))
            .then(|bundle| put(&bundle.rootfs("bin/bad"), inode))
    }
}

fn bytes(bytes: &'static [u8]) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(bundle.args(&["/bin/bad"]))
            .then(|bundle| program(&bundle.rootfs("bin/bad"), bytes))
    }
}

#[test]
fn programs() {
    check(&[
        row(
            "a name that is nowhere",
            "{start}: exec: \"nosuch\": executable file not found in $PATH",
            args(&["nosuch"]),
        ),
        row(
            "a name that is nowhere, run",
            "{start}: exec: \"nosuch\": executable file not found in $PATH",
            args(&["nosuch"]),
        )
        .command(RUN),
        row(
            "an empty name",
            "{start}: exec: \"\": executable file not found in $PATH",
            args(&[""]),
        ),
        row(
            "a path that is nowhere",
            "{start}: exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory",
            args(&["/bin/nosuch"]),
        ),
        row(
            "a path below a file",
            "{start}: exec: \"/etc/passwd/x\": not a directory",
            args(&["/etc/passwd/x"]),
        ),
        row("a directory", "{start}: exec: \"/etc\": is a directory", args(&["/etc"])),
        row(
            "a relative path that is nowhere",
            "{start}: exec: \"./nosuch\": stat ./nosuch: no such file or directory",
            args(&["./nosuch"]),
        ),
        row(
            "a directory's name in PATH",
            "{start}: exec: \"dir\": executable file not found in $PATH",
            |bundle: Bundle| {
                Setting::from(bundle.args(&["dir"]))
                    .then(|bundle| put(&bundle.rootfs("bin/dir"), Inode::Directory))
            },
        ),
        row(
            "not executable",
            "{start}: exec: \"/etc/passwd\": permission denied",
            args(&["/etc/passwd"]),
        ),
        row("a FIFO", "{start}: exec: \"/bin/bad\": permission denied", executes(Inode::Fifo)),
        row("a socket", "{start}: exec: \"/bin/bad\": permission denied", executes(Inode::Socket))
            .runc("finds out at the execve, after start"),
        row("a device", "{start}: exec: \"/bin/bad\": permission denied", executes(Inode::Device)),
        row(
            "a loop of links",
            "{start}: exec: \"/bin/bad\": too many levels of symbolic links",
            executes(Inode::Loop),
        ),
        row(
            "a link to nothing",
            "{start}: exec: \"/bin/bad\": stat /bin/bad: no such file or directory",
            executes(Inode::Dangling),
        ),
        row(
            "a name of 256 characters",
            "{start}: exec: \"{*}\": executable file not found in $PATH",
            |bundle: Bundle| bundle.args(&[&"x".repeat(256)]),
        ),
        row(
            "a path of 5000 characters",
            "{start}: exec: \"{*}\": file name too long",
            |bundle: Bundle| bundle.args(&[&"/x".repeat(2500)]),
        ),
        row(
            "no PATH",
            "{start}: exec: \"true\": executable file not found in $PATH",
            |bundle: Bundle| bundle.set("/process/env", json!([])),
        ),
        row(
            "a user who may not execute it",
            "{start}: exec: \"/bin/bad\": permission denied",
            |bundle: Bundle| {
                let bundle = bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
                Setting::from(bundle.args(&["/bin/bad"])).then(|bundle| {
                    program(&bundle.rootfs("bin/bad"), b"");
                    let mode = fs::Permissions::from_mode(0o700);
                    fs::set_permissions(bundle.rootfs("bin/bad"), mode).unwrap();
                })
            },
        )
        .crun("finds out at the execve, after start"),
    ]);
}

#[test]
fn formats() {
    // Whether the kernel can execute it shows at the execve, which is start's.
    let start = |row: Row| row.after(&[CREATE]).command(START);
    check(&[
        start(
            row("no bytes, start", "exec /bin/bad: exec format error", bytes(b""))
                .crun("start has returned before the execve fails")
                .runc("start has returned before the execve fails"),
        ),
        start(
            row("garbage, start", "exec /bin/bad: exec format error", bytes(b"\x00\x01garbage"))
                .crun("start has returned before the execve fails")
                .runc("start has returned before the execve fails"),
        ),
        start(
            row(
                "no interpreter, start",
                "exec /bin/bad: no such file or directory",
                bytes(b"#!/nosuch\n"),
            )
            .crun("start has returned before the execve fails")
            .runc("start has returned before the execve fails"),
        ),
        start(
            row(
                "an interpreter that is a directory, start",
                "exec /bin/bad: permission denied",
                bytes(b"#!/etc\n"),
            )
            .crun("start has returned before the execve fails")
            .runc("start has returned before the execve fails"),
        ),
        start(
            row(
                "a script that interprets itself, start",
                "exec /bin/bad: too many levels of symbolic links",
                bytes(b"#!/bin/bad\n"),
            )
            .crun("start has returned before the execve fails")
            .runc("start has returned before the execve fails"),
        ),
        start(
            row(
                "half an ELF file, start",
                "exec /bin/bad: exec format error",
                bytes(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
            )
            .crun("start has returned before the execve fails")
            .runc("start has returned before the execve fails"),
        ),
        row("no bytes, run", "exec /bin/bad: exec format error", bytes(b"")).command(RUN),
        row("garbage, run", "exec /bin/bad: exec format error", bytes(b"\x00\x01garbage"))
            .command(RUN),
        row(
            "no interpreter, run",
            "exec /bin/bad: no such file or directory",
            bytes(b"#!/nosuch\n"),
        )
        .command(RUN),
    ]);
}

fn set(pointer: &'static str, value: Value) -> impl Fn(Bundle) -> Bundle {
    move |bundle| bundle.set(pointer, value.clone())
}

#[test]
fn identities() {
    check(&[
        row(
            "a user by name",
            "{bundle}/config.json: process.user: invalid type: string \"root\", expected struct User at line 5 column 13",
            set("/process/user", json!("root")),
        ).crun("1.8.1 takes it for root"),
        row(
            "a user that is not mapped",
            "{bundle}/config.json: process.user.uid: cannot setuid to unmapped uid 5000 in user namespace (allowed: an id that the mappings of the user namespace contain)",
            |bundle: Bundle| {
                bundle
                    .set("/process/user", json!({ "uid": 5000, "gid": 0 }))
                    .edit(|config| put_user_namespace(config, 100_000, 1000))
            },
        ),
        row(
            "a group that is not mapped",
            "{bundle}/config.json: process.user.additionalGids[0]: cannot setgroups to unmapped gid 5000 in user namespace (allowed: an id that the mappings of the user namespace contain)",
            |bundle: Bundle| {
                bundle
                    .set("/process/user", json!({ "uid": 0, "gid": 0, "additionalGids": [5000] }))
                    .edit(|config| put_user_namespace(config, 100_000, 1000))
            },
        ),
        row(
            "more groups than the kernel takes",
            "{bundle}/config.json: process.user.additionalGids: has 70000 groups (allowed: at most 65536 groups)",
            set(
                "/process/user",
                json!({ "uid": 0, "gid": 0, "additionalGids": Vec::from_iter(0..70_000) }),
            ),
        ),
        row(
            "a limit above the hard one",
            "{bundle}/config.json: process.rlimits[0].soft: RLIMIT_CPU: soft limit 2 exceeds hard limit 1 (allowed: a soft limit up to the hard limit)",
            set("/process/rlimits", json!([{ "type": "RLIMIT_CPU", "soft": 2, "hard": 1 }])),
        ),
        row(
            "more files than the kernel has",
            "{start}: process.rlimits[0]: set the limits 1099511627776 and 1099511627776: prlimit64: operation not permitted",
            set(
                "/process/rlimits",
                json!([{ "type": "RLIMIT_NOFILE", "soft": 1u64 << 40, "hard": 1u64 << 40 }]),
            ),
        ),
        row(
            "an OOM score below the kernel's",
            "{bundle}/config.json: process.oomScoreAdj: -1001 is out of range (allowed: -1000 to 1000)",
            set("/process/oomScoreAdj", json!(-1001)),
        ),
        row(
            "a profile without AppArmor",
            "unable to apply apparmor profile: nosuch: AppArmor is not enabled on this host",
            set("/process/apparmorProfile", json!("nosuch")),
        )
        .needs(!has_apparmor(), "a kernel without AppArmor"),
        row(
            "a label without SELinux",
            "selinux label is specified in config, but selinux is disabled or not supported",
            set("/process/selinuxLabel", json!("a:b:c:d")),
        )
        .needs(!has_selinux(), "a kernel without SELinux"),
        row(
            "an unknown capability is left out",
            "",
            set("/process/capabilities", json!({ "bounding": ["CAP_NOSUCH"] })),
        )
        .code(0),
        row(
            "an unknown user of a number is fine",
            "",
            set("/process/user", json!({ "uid": 4242, "gid": 4242 })),
        )
        .code(0),
    ]);
}

fn cwd(path: &'static str) -> impl Fn(Bundle) -> Bundle {
    set("/process/cwd", json!(path))
}

fn cwd_is(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(cwd("/var/cwd")(bundle)).then(|bundle| put(&bundle.rootfs("var/cwd"), inode))
    }
}

#[test]
fn working_directories() {
    check(&[
        row(
            "cwd is a file",
            "{start}: process.cwd: chdir to cwd (\"/var/cwd\"): chdir: not a directory",
            cwd_is(Inode::File),
        ),
        row(
            "cwd is a FIFO",
            "{start}: process.cwd: chdir to cwd (\"/var/cwd\"): chdir: not a directory",
            cwd_is(Inode::Fifo),
        ),
        row(
            "cwd is a socket",
            "{start}: process.cwd: chdir to cwd (\"/var/cwd\"): chdir: not a directory",
            cwd_is(Inode::Socket),
        ),
        row(
            "cwd is a device",
            "{start}: process.cwd: chdir to cwd (\"/var/cwd\"): chdir: not a directory",
            cwd_is(Inode::Device),
        ),
        row(
            "cwd is a loop of links",
            "{start}: process.cwd: make directory /var/cwd: openat2: too many levels of symbolic links",
            cwd_is(Inode::Loop),
        ),
        row(
            "cwd is below a file",
            "{start}: process.cwd: make directory /etc/passwd/x: openat2: not a directory",
            cwd("/etc/passwd/x"),
        ),
        row(
            "cwd is a descriptor",
            "{start}: process.cwd: make directory /proc/self/fd/7: openat2: too many levels of symbolic links",
            cwd("/proc/self/fd/7"),
        ),
        row(
            "cwd is behind a descriptor",
            "{start}: process.cwd: make directory /proc/self/fd/7/../../..: openat2: too many levels of symbolic links",
            cwd("/proc/self/fd/7/../../.."),
        ),
        row(
            "cwd is a pipe",
            "{start}: process.cwd: make directory /proc/self/fd/2: openat2: too many levels of symbolic links",
            cwd("/proc/self/fd/2"),
        ),
        row(
            "cwd is a directory that only root may enter, and root enters it",
            "",
            |bundle: Bundle| {
                let bundle = bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
                let bundle = cwd("/var/cwd")(bundle).set("/process/capabilities", json!({}));
                Setting::from(bundle).then(|bundle| {
                    let path = bundle.rootfs("var/cwd");
                    fs::create_dir(&path).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
                })
            },
        )
        .code(0),
        row(
            "cwd has a name that is too long",
            "{start}: process.cwd: make directory /{*}: openat2: file name too long",
            |bundle: Bundle| bundle.set("/process/cwd", json!(format!("/{}", "x".repeat(256)))),
        ),
        row(
            "cwd is too long",
            "{start}: process.cwd: make directory {*}: openat2: file name too long",
            |bundle: Bundle| bundle.set("/process/cwd", json!("/x".repeat(2500))),
        )
        .runc("1.1.5 makes such directories, one in the other")
        .crun("1.8.1 makes such directories, one in the other"),
        row("cwd leads out, and so to the root's own", "", |bundle: Bundle| {
            Setting::from(cwd("/var/cwd")(bundle)).then(|bundle| {
                symlink("../../../../../../../../etc", bundle.rootfs("var/cwd")).unwrap();
            })
        })
        .code(0),
    ]);
}
