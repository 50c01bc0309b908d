//! Mounts of config.json (mount(8), the runtime-spec's table of options): here the list as a whole, and that
//! the mounts of the container and of the host are apart.

mod binds;
mod filesystems;
mod options;
mod propagation;
mod root;
mod targets;

use std::fs;

use integration::config::{array, put_capabilities};
use integration::process::Mount;
use integration::{Bundle, needs_root};
use nix::mount::{MsFlags, mount};
use serde_json::json;

/// The mount at a point of a container, seen from the host.
#[track_caller]
fn mounted(bundle: &Bundle, point: &str) -> Mount {
    let found = bundle.created().mount(point);
    bundle.delete_force().ok();
    found
}

/// A bundle with a tree of two mounts, `source` and `source/below`, made in the host's namespace.
fn with_source_tree(flags: MsFlags) -> Bundle {
    let bundle = Bundle::sleeping();
    let source = bundle.directory().join("source");
    fs::create_dir(&source).unwrap();
    attach(&source, "tmpfs", MsFlags::empty());
    fs::create_dir(source.join("below")).unwrap();
    attach(&source.join("below"), "tmpfs", flags);
    fs::write(source.join("file"), "of the source\n").unwrap();
    bundle
}

fn attach(point: &std::path::Path, kind: &str, flags: MsFlags) {
    mount(Some(kind), point, Some(kind), flags, None::<&str>).unwrap();
}

/// Unmounts the tree before the bundle looks for leaked mounts.
fn detach_source_tree(bundle: &Bundle) {
    let source = bundle.directory().join("source");
    nix::mount::umount2(&source, nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[track_caller]
fn bound(options: &[&str]) -> (Mount, Option<Mount>) {
    bound_from(MsFlags::empty(), options)
}

/// Binds a tree whose lower mount has these flags.
#[track_caller]
fn bound_from(flags: MsFlags, options: &[&str]) -> (Mount, Option<Mount>) {
    let bundle = with_source_tree(flags);
    let source = bundle.directory().join("source").display().to_string();
    let bundle = bundle.mount("/var", "bind", &source, options);
    let process = bundle.created();
    let below = process.mounts().into_iter().find(|mount| mount.point == "/var/below");
    let top = process.mount("/var");
    bundle.delete_force().ok();
    detach_source_tree(&bundle);
    (top, below)
}

#[test]
fn mounts_of_one_target_stack_in_order() {
    needs_root!();
    let bundle = Bundle::sh("ls /opt; cat /opt/marker").mount("/opt", "tmpfs", "tmpfs", &[]).mount(
        "/opt",
        "bind",
        "decoy",
        &["bind"],
    );
    assert_eq!(bundle.run().ok(), "marker\nnull\nptmx\ndecoy\n");
}

#[test]
fn a_hundred_mounts_are_made() {
    needs_root!();
    let bundle = Bundle::sh("grep -c ' /many/' /proc/self/mountinfo").edit(|config| {
        let mounts = array(config, "/mounts");
        for number in 0..100 {
            mounts.push(json!({"destination": format!("/many/{number}"), "type": "bind",
                               "source": "decoy", "options": ["bind", "ro"]}));
        }
    });
    assert_eq!(bundle.run().ok(), "100\n");
}

#[test]
fn what_a_container_mounts_stays_inside() {
    needs_root!();
    let script = "mount -t tmpfs inner /tmp && mount -t tmpfs inner /var && grep -c ' inner ' /proc/self/mountinfo";
    let bundle = Bundle::sh(script).edit(|config| put_capabilities(config, &["CAP_SYS_ADMIN"]));
    assert_eq!(bundle.run().ok(), "2\n");
}

#[test]
fn nothing_of_the_host_is_mounted_inside() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let root = process.mount("/");
    assert_eq!(std::path::Path::new(&root.root), bundle.rootfs("").components().as_path());
    for mount in process.mounts() {
        let below = |top: &str| {
            let rest = mount.point.strip_prefix(top);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        assert!(
            mount.point == "/" || ["/proc", "/dev", "/sys"].into_iter().any(below),
            "{mount:?}"
        );
    }
}
