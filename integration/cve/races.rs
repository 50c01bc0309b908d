//! What is one thing when it is looked at and another when it is used: two names are exchanged without a
//! pause (CVE-2021-30465 and after). strace(1), where it is there, makes the windows wide.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use integration::config::array;
use integration::{Bundle, Kind, rounds};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use serde_json::json;

use crate::probe::{
    Verdict, ends, has_strace, holds, is, link, needs_tare, require, swapping, told,
};

const MOVE_MOUNT: [&str; 2] = ["-e", "inject=move_mount:delay_enter=1000"];
const OPENAT2: [&str; 2] = ["-e", "inject=openat2:delay_enter=1000"];

/// The command for this verb with a pause before some calls, in which the other thread gets its turn. The
/// tracer is a child, so that it holds nobody up.
fn delayed(bundle: &Bundle, verb: &str, options: &[&str]) -> Command {
    let inner = bundle.command_for_bundle(&[verb]);
    if !has_strace() {
        return inner;
    }
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]).args(options);
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

/// A volume in which `a` and a link to the decoy are exchanged, and a mount below `a`. Every mount of the
/// container's is below its root: a hook notes them before the root changes (oracle O2).
fn exchanged(below: &str) -> Verdict {
    let bundle =
        Bundle::new().writes(&[""]).mount(&format!("/vol/a/{below}"), "tmpfs", "tmpfs", &[]);
    fs::create_dir_all(bundle.rootfs("vol/a/sub")).unwrap();
    link(&bundle, "vol/b", bundle.decoy());
    let note = bundle.directory().join("mountinfo");
    let script = format!(
        "pid=$(tr -d '\\n' | sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); cat /proc/$pid/mountinfo > {}",
        note.display()
    );
    let hook =
        json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] });
    let bundle = bundle.edit(|config| config["hooks"] = json!({ "createRuntime": [hook] }));
    bundle.write();
    let (one, other) = (bundle.rootfs("vol/a"), bundle.rootfs("vol/b"));
    let made = bundle.rootfs("vol/a/new").display().to_string();
    let mut runs = 0;
    let verdict = swapping(&one, &other, || {
        // A peer has to fall: in every fourth round or so it does.
        let most = if is(Kind::Tare) { rounds(30, 2500) } else { 150 };
        (0..most).try_for_each(|round| {
            let outcome = match (is(Kind::Tare), round % 10) {
                (true, 0) => bundle.finish(&mut delayed(&bundle, "run", &MOVE_MOUNT)),
                (true, 1) => bundle.finish(&mut delayed(&bundle, "run", &OPENAT2)),
                (true, _) => bundle.run(),
                (false, _) => bundle.finish(&mut delayed(
                    &bundle,
                    "run",
                    &["-P", &made, "-e", "inject=mkdirat:delay_enter=30000"],
                )),
            };
            told(&outcome);
            runs += usize::from(outcome.code == 0);
            let noted = fs::read_to_string(&note).unwrap_or_default();
            let points = noted.lines().filter_map(|line| line.split(' ').nth(4));
            let outside: Vec<_> = points.filter(|point| is_outside(&bundle, point)).collect();
            require(outside.is_empty(), || format!("mounted outside: {outside:?}"))?;
            require(!bundle.decoy().join("new").exists(), || "decoy/new is made".into())
        })
    });
    assert!(runs > 0 || verdict.is_err(), "no container was made");
    ends(bundle, verdict)
}

/// Whether a mount is in the bundle, but not in its root filesystem.
pub(crate) fn is_outside(bundle: &Bundle, point: &str) -> bool {
    let point = Path::new(point);
    point.starts_with(bundle.directory()) && !point.starts_with(bundle.rootfs(""))
}

/// T-A3. CVE-2021-30465 (runc): a target that is there. No peer here falls: `oracles` shows that such a
/// mount is seen.
#[test]
fn cve_2021_30465_a_target_that_is_exchanged_meanwhile_does_not_lead_out() {
    needs_tare!();
    holds(|| exchanged("sub"), &[]);
}

/// T-A4. CVE-2024-45310 (runc): a target that has to be made.
#[test]
fn cve_2024_45310_a_target_that_is_made_meanwhile_does_not_lead_out() {
    needs_tare!();
    holds(|| exchanged("new/er"), &[("runc 1.1.5", "decoy/new")]);
}

/// The standard streams of a container whose /dev has `null` in place of the null device.
fn streams(bundle: &Bundle, create: &mut Command) -> Verdict {
    let outcome = bundle.create_by(create);
    told(&outcome);
    if outcome.code != 0 {
        return Ok(());
    }
    // The caller's standard input is /dev/null.
    let data = fs::metadata(format!("/proc/{}/fd/0", bundle.process().0)).unwrap();
    let is_null = data.file_type().is_char_device() && data.rdev() == makedev(1, 3);
    require(is_null, || format!("a stream is {:?}", bundle.process().descriptors()))
}

/// T-B3. CVE-2025-31133: what is verified and what is opened are the same null device. No peer here falls;
/// tare did, when it opened what it had verified by its path again.
#[test]
fn cve_2025_31133_a_null_device_that_is_exchanged_is_no_stream() {
    needs_tare!();
    let probe = || {
        let bundle = Bundle::sleeping().edit(|config| {
            let mounts = array(config, "/mounts");
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            mounts.push(json!({
                "destination": "/dev", "type": "bind", "source": "devices", "options": ["bind"],
            }));
        });
        let devices = bundle.directory().join("devices");
        fs::create_dir(&devices).unwrap();
        let (null, other) = (devices.join("null"), devices.join("other"));
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&null, SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
        mkfifo(&other, mode).unwrap();
        let verdict = swapping(&null, &other, || {
            (0..rounds(10, 500)).try_for_each(|_| {
                let verdict = streams(&bundle, &mut delayed(&bundle, "create", &OPENAT2));
                told(&bundle.delete_force());
                verdict
            })
        });
        ends(bundle, verdict)
    };
    holds(probe, &[]);
}
