//! Bind mounts: their sources, and what of the source's mount they keep.

use std::fs;

use integration::config::put_user_namespace;
use integration::{Bundle, needs_root, peers_differ};
use nix::mount::MsFlags;

use super::{attach, bound, detach_source_tree, mounted};

#[test]
fn bind_takes_one_mount_and_rbind_the_tree() {
    needs_root!();
    assert!(bound(&["bind"]).1.is_none());
    let (top, below) = bound(&["rbind"]);
    assert_eq!(top.kind, "tmpfs");
    assert_eq!(below.unwrap().kind, "tmpfs");
}

#[test]
fn flags_of_a_bind_mount_are_its_own() {
    needs_root!();
    for flag in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        let (top, below) = bound(&["rbind", flag]);
        assert!(top.has(flag), "{flag}: {top:?}");
        assert!(!below.as_ref().unwrap().has(flag), "{flag}: {below:?}");
    }
}

#[test]
fn locked_flags_of_the_source_are_kept_in_a_user_namespace() {
    needs_root!();
    peers_differ!("runc", "1.1.5 does not repeat the locked flags, which is an error");
    peers_differ!("crun", "1.8.1 remounts outside of the user namespace, where nothing is locked");
    let bundle = Bundle::sleeping();
    let source = bundle.directory().join("source");
    fs::create_dir(&source).unwrap();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    attach(&source, "tmpfs", flags);
    let bundle = bundle.edit(|config| put_user_namespace(config, 100_000, 65_536)).mount(
        "/opt",
        "bind",
        &source.display().to_string(),
        &["bind", "ro"],
    );
    let found = mounted(&bundle, "/opt");
    for flag in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        assert!(found.has(flag), "{flag}: {found:?}");
    }
    detach_source_tree(&bundle);
}

#[test]
fn directories_and_files_are_bound() {
    needs_root!();
    let bundle = Bundle::sh("cat /opt/marker /etc/passwd; echo more >> /tmp/target")
        .writes(&["/tmp/target"]);
    let decoy = bundle.decoy().join("marker").display().to_string();
    let written = bundle.directory().join("written");
    fs::write(&written, "").unwrap();
    let directory = bundle.decoy().display().to_string();
    let bundle = bundle
        .mount("/opt", "bind", &directory, &["bind", "ro"])
        .mount("/etc/passwd", "none", &decoy, &["bind", "ro"])
        .mount("/tmp/target", "", &written.display().to_string(), &["rbind"]);
    assert_eq!(bundle.run().ok(), "decoy\ndecoy\n");
    assert_eq!(fs::read_to_string(&written).unwrap(), "more\n");
}

#[test]
fn a_relative_bind_source_starts_at_the_bundle() {
    needs_root!();
    let bundle = Bundle::sh("cat /opt/marker").mount("/opt", "bind", "decoy", &["bind", "ro"]);
    assert_eq!(bundle.run().ok(), "decoy\n");
}

#[test]
fn a_missing_source_is_refused() {
    needs_root!();
    let bundle = Bundle::new().mount("/opt", "bind", "/nonexistent", &["bind"]);
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("/nonexistent") && text.contains("no such file or directory"), "{text}");
}
