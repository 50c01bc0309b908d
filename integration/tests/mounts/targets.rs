//! Targets: made where they are missing, resolved inside the root filesystem.

use std::fs;

use integration::{Bundle, needs_root, peers_differ};

#[test]
fn a_missing_target_is_made() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes directories with the sticky bit");
    let script =
        "stat -c '%F %a %u' /new /new/directory; stat -c '%F' /other/file; cat /other/file";
    let bundle = Bundle::sh(script);
    let file = bundle.decoy().join("marker").display().to_string();
    let bundle = bundle.mount("/new/directory", "tmpfs", "tmpfs", &["mode=711"]).mount(
        "/other/file",
        "bind",
        &file,
        &["bind"],
    );
    let text = bundle.run().ok();
    assert_eq!(text, "directory 755 0\ndirectory 711 0\nregular file\ndecoy\n");
    assert!(bundle.rootfs("new/directory").is_dir());
    assert_eq!(fs::metadata(bundle.rootfs("other/file")).unwrap().len(), 0);
}

#[test]
fn a_target_of_the_wrong_kind_is_refused() {
    needs_root!();
    let bundle = Bundle::new().mount("/etc/passwd", "tmpfs", "tmpfs", &[]);
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("not a directory"), "{text}");
}

#[test]
fn a_target_may_go_through_links_of_the_root_filesystem() {
    needs_root!();
    let bundle = Bundle::sh("ls /var/real; ls /link").mount("/link", "bind", "decoy", &["bind"]);
    fs::create_dir(bundle.rootfs("var/real")).unwrap();
    std::os::unix::fs::symlink("/var/real", bundle.rootfs("link")).unwrap();
    assert_eq!(bundle.run().ok(), "marker\nnull\nptmx\nmarker\nnull\nptmx\n");
}
