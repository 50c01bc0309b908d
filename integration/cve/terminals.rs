//! The wrong terminal: what stands in `/dev/console`, `/dev/pts/ptmx` and `/dev/pts/N`, and whose terminal
//! a container can type at.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use integration::config::array;
use integration::terminal::ConsoleSocket;
use integration::{Bundle, Kind, Outcome};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use serde_json::json;

use crate::probe::{
    Verdict, attacker, ends, holds, is, needs_tare, require, swapping, told, was_attacked,
};

fn at_terminal() -> Bundle {
    Bundle::sleeping().set("/process/terminal", json!(true))
}

/// The same without a file system of its own on /dev.
fn with_dev_of_the_image() -> Bundle {
    at_terminal().writes(&["dev"]).edit(|config| {
        array(config, "/mounts").retain(|mount| mount["destination"] != "/dev");
    })
}

/// The socket has the terminal's other end: without it the container would be hung up.
#[track_caller]
fn create(bundle: &Bundle) -> (Outcome, ConsoleSocket) {
    let socket = ConsoleSocket::listen(bundle);
    let create = ["create", "--console-socket", socket.path()];
    let outcome = bundle.create_by(&mut bundle.command_for_bundle(&create));
    told(&outcome);
    (outcome, socket)
}

/// Creates; if there is a container then, a terminal is on /dev/console and nowhere else, and its streams
/// are that terminal.
#[track_caller]
fn has_its_terminal(bundle: &Bundle) -> Verdict {
    let (outcome, _socket) = create(bundle);
    if outcome.code != 0 {
        // The kernel's word for what is no terminal.
        let is_other = outcome.stderr.to_lowercase().contains("inappropriate ioctl");
        return require(!is_other, || format!("opened by its path: {}", outcome.stderr));
    }
    let process = bundle.process();
    for mount in process.mounts() {
        let is_terminal = mount.kind == "devpts" && mount.root != "/" && mount.root != "/ptmx";
        // A mount goes along when its target is renamed.
        let is_console = matches!(&*mount.point, "/dev/console" | "/dev/console-was");
        require(is_terminal == is_console, || format!("covered: {mount:?}"))?;
    }
    let streams = process.descriptors();
    let right = (0..3).all(|number| streams[&number].starts_with("/dev/pts/"));
    require(right, || format!("streams: {streams:?}"))
}

/// T-B6. CVE-2025-52565 (runc) and its kin: the link is followed, so that something else is covered, or
/// made.
#[test]
fn cve_2025_52565_a_linked_console_is_not_followed() {
    needs_tare!();
    let probe = || {
        for target in ["/etc/victim", "/etc/new", "../../decoy/marker", "/proc/self/exe"] {
            let bundle = with_dev_of_the_image();
            fs::write(bundle.rootfs("etc/victim"), "victim\n").unwrap();
            symlink(target, bundle.rootfs("dev/console")).unwrap();
            let verdict = has_its_terminal(&bundle);
            ends(bundle, verdict)?;
        }
        Ok(())
    };
    let covered = "point: \"/etc/victim\"";
    holds(probe, &[("runc 1.1.5", covered), ("crun 1.8.1", covered)]);
}

/// T-B6. A device of the image is covered, never opened.
#[test]
fn cve_2025_52565_a_console_that_is_a_device_is_covered_not_opened() {
    needs_tare!();
    let probe = || {
        let bundle = with_dev_of_the_image();
        // No driver has this number: to open it fails.
        let console = bundle.rootfs("dev/console");
        mknod(&console, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(240, 77)).unwrap();
        let (outcome, _socket) = create(&bundle);
        ends(bundle, require(outcome.code == 0, || format!("opened: {outcome:?}")))
    };
    holds(probe, &[("runc 1.1.5", "opened"), ("crun 1.8.1", "opened")]);
}

fn make_impostor(kind: &str, path: &Path) {
    let mode = Mode::from_bits_truncate(0o666);
    match kind {
        "fifo" => mkfifo(path, mode).unwrap(),
        "file" => fs::write(path, "").unwrap(),
        "null" => mknod(path, SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap(),
        "link" => symlink("/dev/ptmx", path).unwrap(),
        _ => {}
    }
}

/// T-B6. What is no multiplexer of a devpts is not opened: it could block, or be a device.
#[test]
fn cve_2025_52565_a_foreign_multiplexer_is_refused() {
    needs_tare!();
    let probe = || {
        for kind in ["fifo", "file", "null", "link", "nothing"] {
            let bundle = at_terminal().edit(|config| {
                let mounts = array(config, "/mounts");
                mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
                mounts.push(json!({
                    "destination": "/dev", "type": "bind", "source": "dev", "options": ["bind"],
                }));
            });
            fs::create_dir_all(bundle.directory().join("dev/pts")).unwrap();
            make_impostor(kind, &bundle.directory().join("dev/pts/ptmx"));
            refused(bundle, kind)?;
        }
        for kind in ["fifo", "file", "null"] {
            let bundle = at_terminal().mount("/dev/pts/ptmx", "bind", "impostor", &["bind"]);
            make_impostor(kind, &bundle.directory().join("impostor"));
            refused(bundle, kind)?;
        }
        Ok(())
    };
    holds(probe, &[]);
}

#[track_caller]
fn refused(bundle: Bundle, kind: &str) -> Verdict {
    let (outcome, _socket) = create(&bundle);
    let said = !is(Kind::Tare) || outcome.stderr.contains("/dev/pts/ptmx");
    assert!(said || outcome.code == 0, "{outcome:?}");
    ends(bundle, require(outcome.code != 0, || format!("{kind}: {outcome:?}")))
}

/// T-B7. CVE-2025-52565: the terminal is opened by its path, where an attacker has put a link. The hook
/// does at once what a race would have to hit.
#[test]
fn cve_2025_52565_a_terminal_is_not_opened_by_its_path() {
    needs_tare!();
    let probe = || {
        let bundle = at_terminal().writes(&["etc/victim"]);
        fs::write(bundle.rootfs("etc/victim"), "victim\n").unwrap();
        let false_pts = bundle.directory().join("decoy/pts");
        fs::create_dir_all(false_pts.join("real")).unwrap();
        fs::write(false_pts.join("ptmx"), "").unwrap();
        for number in 0..4 {
            symlink("/etc/victim", false_pts.join(number.to_string())).unwrap();
        }
        let bundle = attacker(
            bundle,
            "mount --bind $root/dev/pts $decoy/pts/real; mount --bind $decoy/pts/real/ptmx $decoy/pts/ptmx; \
             mount --rbind $decoy/pts $root/dev/pts",
        );
        let verdict = has_its_terminal(&bundle);
        was_attacked(&bundle);
        ends(bundle, verdict)
    };
    let opened = "opened by its path";
    holds(probe, &[("runc 1.1.5", opened), ("crun 1.8.1", opened)]);
}

/// T-B7. The target of the console is a file when it is looked at, and a link when it is mounted on.
#[test]
fn cve_2025_52565_a_console_that_is_exchanged_meanwhile_is_not_followed() {
    needs_tare!();
    let probe = || {
        let bundle = at_terminal().edit(|config| {
            let mounts = array(config, "/mounts");
            mounts.retain(|mount| mount["destination"] != "/dev");
            mounts.insert(
                1,
                json!({"destination": "/dev", "type": "bind", "source": "dev", "options": ["bind"]}),
            );
        });
        let dev = bundle.directory().join("dev");
        for name in ["pts", "shm", "mqueue"] {
            fs::create_dir_all(dev.join(name)).unwrap();
        }
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&dev.join("null"), SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
        symlink("pts/ptmx", dev.join("ptmx")).unwrap();
        let (one, other) = (dev.join("console"), dev.join("console-was"));
        fs::write(&one, "").unwrap();
        fs::write(bundle.rootfs("etc/victim"), "victim\n").unwrap();
        symlink("/etc/victim", &other).unwrap();
        let verdict = swapping(&one, &other, || {
            (0..integration::rounds(20, 2000)).try_for_each(|_| {
                let verdict = has_its_terminal(&bundle);
                told(&bundle.delete_force());
                fs::remove_file(bundle.directory().join("console.sock")).unwrap();
                verdict
            })
        });
        ends(bundle, verdict)
    };
    holds(probe, &[("runc 1.1.5", "covered")]);
}
