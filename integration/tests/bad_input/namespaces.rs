//! Namespaces that shall be joined.

use std::path::{Path, PathBuf};
use std::process::Command;

use integration::config::{array, drop_namespace, put_namespace, put_user_namespace};
use integration::{Bundle, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::place::{Inode, put};
use super::{RUN, Setting, check, row};

/// A namespace by its path; `{bundle}` is the bundle's directory.
fn joins(kind: &'static str, path: &'static str) -> impl Fn(Bundle) -> Bundle {
    move |bundle| {
        let path = path.replace("{bundle}", &bundle.directory().to_string_lossy());
        bundle.edit(|config| {
            put_namespace(config, json!({ "type": kind, "path": path }));
            config.as_object_mut().unwrap().remove("hostname");
        })
    }
}

fn joins_inode(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(joins("network", "{bundle}/net")(bundle))
            .then(|bundle| put(&bundle.directory().join("net"), inode))
    }
}

#[test]
fn paths() {
    check(&[
        row(
            "no such path",
            "{start}: linux.namespaces[4].path: open(/nonexistent): no such file or directory",
            joins("network", "/nonexistent"),
        ),
        row(
            "no such path, run",
            "{start}: linux.namespaces[4].path: open(/nonexistent): no such file or directory",
            joins("network", "/nonexistent"),
        )
        .command(RUN),
        row(
            "a path below a file",
            "{start}: linux.namespaces[4].path: open({bundle}/config.json/x): not a directory",
            joins("network", "{bundle}/config.json/x"),
        ),
        row(
            "a process that is gone",
            "{start}: linux.namespaces[4].path: open(/proc/4194304/ns/net): no such file or directory",
            joins("network", "/proc/4194304/ns/net"),
        ),
        row(
            "another type",
            "{start}: linux.namespaces[4].path: /proc/self/ns/uts is not a network namespace",
            joins("network", "/proc/self/ns/uts"),
        ),
        row(
            "a mount namespace that is a user namespace",
            "{start}: linux.namespaces[4].path: /proc/self/ns/user is not a mount namespace",
            joins("mount", "/proc/self/ns/user"),
        ),
        row(
            "a user namespace that is another type",
            "{start}: linux.namespaces[5].path: /proc/self/ns/net is not a user namespace",
            joins("user", "/proc/self/ns/net"),
        ),
        row(
            "a pid namespace that is another type",
            "{start}: linux.namespaces[4].path: /proc/self/ns/net is not a pid namespace",
            joins("pid", "/proc/self/ns/net"),
        ),
        row(
            "a file",
            "{start}: linux.namespaces[4].path: {bundle}/net is not a network namespace",
            joins_inode(Inode::File),
        ),
        row(
            "a directory",
            "{start}: linux.namespaces[4].path: {bundle}/net is not a network namespace",
            joins_inode(Inode::Directory),
        ),
        row(
            "a FIFO",
            "{start}: linux.namespaces[4].path: {bundle}/net is not a network namespace",
            joins_inode(Inode::Fifo),
        )
        .crun("waits for a writer")
        .runc("waits for a writer"),
        row(
            "a socket",
            "{start}: linux.namespaces[4].path: open({bundle}/net): no such device or address",
            joins_inode(Inode::Socket),
        ),
        row(
            "a device",
            "{start}: linux.namespaces[4].path: open({bundle}/net): no such device or address",
            joins_inode(Inode::Device),
        ),
        row(
            "a loop of links",
            "{start}: linux.namespaces[4].path: open({bundle}/net): too many levels of symbolic links",
            joins_inode(Inode::Loop),
        ),
        row(
            "a link to nothing",
            "{start}: linux.namespaces[4].path: open({bundle}/net): no such file or directory",
            joins_inode(Inode::Dangling),
        ),
        row(
            "the user namespace that the caller is in",
            "{start}: linux.namespaces[5]: join the namespace: setns: invalid argument",
            joins("user", "/proc/self/ns/user"),
        ),
        row(
            "a user namespace to join with other mappings",
            "{start}: linux.namespaces[5]: join the namespace: setns: invalid argument",
            |bundle: Bundle| {
                bundle.edit(|config| {
                    put_user_namespace(config, 100_000, 1000);
                    put_namespace(config, json!({ "type": "user", "path": "/proc/self/ns/user" }));
                })
            },
        ),
        row(
            "an unknown type",
            "{bundle}/config.json: linux.namespaces[5].type: namespace does not exist: foo: {*}",
            |bundle: Bundle| bundle.edit(|config| put_namespace(config, json!({ "type": "foo" }))),
        ),
        row("a type twice", "{bundle}/config.json: {*}", |bundle: Bundle| {
            bundle.edit(|config| {
                array(config, "/linux/namespaces").push(json!({ "type": "pid" }));
            })
        })
        .crun("1.8.1 takes it"),
        row(
            "a new user namespace without mappings",
            "{bundle}/config.json: {*}",
            |bundle: Bundle| bundle.edit(|config| put_namespace(config, json!({ "type": "user" }))),
        ),
        row(
            "a host name in a namespace that is the caller's",
            "{bundle}/config.json: hostname: unable to set hostname without a private UTS namespace (allowed: a hostname together with a uts namespace)",
            |bundle: Bundle| bundle.edit(|config| drop_namespace(config, "uts")),
        ),
    ]);
}

/// A pid namespace whose first process has ended: only its mount keeps it.
struct Dead(PathBuf);

impl Dead {
    fn new(path: &Path) -> Self {
        std::fs::write(path, "").unwrap();
        let arguments = ["--pid", "--fork", "sleep", "4713"];
        let mut holder = Command::new("unshare").args(arguments).spawn().unwrap();
        let mut child = 0;
        assert!(until(|| {
            let path = format!("/proc/{0}/task/{0}/children", holder.id());
            child = std::fs::read_to_string(path).unwrap().trim().parse().unwrap_or(0);
            child > 0
        }));
        let namespace = format!("/proc/{child}/ns/pid");
        mount(Some(&*namespace), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        // Its parent has waited for it when it ends.
        holder.wait().unwrap();
        Self(path.to_path_buf())
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("umount");
    }
}

#[test]
fn a_namespace_that_is_dead() {
    check(&[row(
        "a pid namespace without its first process",
        "{start}: linux.namespaces: make the namespaces: clone3 (has the first process of the joined pid namespace ended?): cannot allocate memory",
        |bundle: Bundle| {
            let setting = Setting::from(joins("pid", "{bundle}/dead")(bundle));
            let dead = Dead::new(&setting.bundle.directory().join("dead"));
            setting.keep(dead)
        },
    )]);
}
