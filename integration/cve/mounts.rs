//! The wrong mount, the wrong pseudo-file: what stands in `/proc`, `/sys` and `/dev` in place of what a
//! runtime means.

use std::fs;
use std::path::{Path, PathBuf};

use integration::config::array;
use integration::{Bundle, Kind, Process, finish};
use serde_json::{Value, json};

use crate::probe::{Verdict, attacker, ends, holds, is, link, needs_strace, needs_tare, require};
use crate::probe::{told, traced, was_attacked};

/// Refused: a container that runs is the evidence.
#[track_caller]
fn refused(bundle: Bundle, what: &str) -> Verdict {
    let outcome = bundle.run();
    told(&outcome);
    ends(bundle, require(outcome.code != 0, || format!("runs with {what}: {outcome:?}")))
}

/// T-B1. CVE-2019-16884: a volume over a part of `/proc`, so that a label is written to a false file.
/// CVE-2015-3631 was the same with any special path.
#[test]
fn cve_2019_16884_nothing_is_mounted_over_parts_of_proc() {
    needs_tare!();
    let probe = || {
        for target in
            ["/proc", "/proc/self/attr", "/proc/sys/kernel", "/proc/../proc/sys", "/proc/1"]
        {
            let bundle = Bundle::new().mount(target, "bind", "decoy", &["bind"]);
            refused(bundle, &format!("a volume on {target}"))?;
        }
        for to in ["/proc", "../proc", "/var/../proc/."] {
            let bundle = Bundle::new().writes(&[""]).mount(
                "/var/link/sys/kernel",
                "bind",
                "decoy",
                &["bind"],
            );
            link(&bundle, "var/link", to);
            refused(bundle, &format!("a volume behind {to}"))?;
        }
        allowed_in_proc()
    };
    holds(probe, &[("crun 1.8.1", "runs with a volume on /proc")]);
}

/// What lxcfs mounts there stays possible.
fn allowed_in_proc() -> Verdict {
    let bundle = Bundle::sh("cat /proc/uptime").mount(
        "/proc/uptime",
        "bind",
        "decoy/marker",
        &["bind", "ro"],
    );
    assert_eq!(bundle.run().ok(), "decoy\n");
    Ok(())
}

/// T-B2. CVE-2023-27561, CVE-2023-28642 and CVE-2019-19921 (runc), CVE-2025-54867 (youki): `/proc` and
/// `/sys` of the image are links. No peer here
/// falls; that this image runs without the link is tested first.
#[test]
fn cve_2023_27561_linked_proc_and_sys_are_refused() {
    needs_tare!();
    let probe = || {
        for name in ["proc", "sys"] {
            let bundle = Bundle::new().writes(&["bad"]);
            fs::create_dir(bundle.rootfs("bad")).unwrap();
            bundle.run().ok();
            link(&bundle, name, "/bad");
            let outcome = bundle.run();
            let said = outcome.stderr.contains("must be mounted on ordinary directory");
            assert!(said || !is(Kind::Tare), "{outcome:?}");
            refused(bundle, &format!("a link for /{name}"))?;
        }
        Ok(())
    };
    holds(probe, &[]);
}

/// T-B3. CVE-2025-31133 (runc), CVE-2025-62161 (youki): masks are the container's `/dev/null`, whatever
/// that is.
#[test]
fn cve_2025_31133_a_false_dev_null_never_unmasks() {
    needs_tare!();
    let probe = || ["link", "file", "missing"].into_iter().try_for_each(masked);
    holds(probe, &[("runc 1.1.5", "the mask shows")]);
}

/// A masked path of a container whose /dev has this in place of /dev/null is the null device.
fn masked(kind: &str) -> Verdict {
    for mounted in [true, false] {
        let bundle = Bundle::sh("stat -c %t:%T /etc/secret; cat /etc/secret")
            .writes(&["etc", "dev"])
            .set("/linux/maskedPaths", json!(["/etc/secret"]))
            .edit(|config| {
                let mounts = array(config, "/mounts");
                mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            });
        let (bundle, devices) = if mounted {
            let devices = bundle.directory().join("devices");
            fs::create_dir(&devices).unwrap();
            (bundle.mount("/dev", "bind", "devices", &["rbind"]), devices)
        } else {
            let devices = bundle.rootfs("dev");
            (bundle, devices)
        };
        match kind {
            "link" => std::os::unix::fs::symlink("/etc/shown", devices.join("null")).unwrap(),
            "file" => fs::write(devices.join("null"), "shown\n").unwrap(),
            _ => {}
        }
        fs::write(bundle.rootfs("etc/shown"), "shown\n").unwrap();
        fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
        let outcome = bundle.run();
        told(&outcome);
        let right = outcome.code != 0 || outcome.stdout == "1:3\n";
        let is_shown = outcome.stdout.contains("secret") || outcome.stdout.contains("shown");
        let evidence = || format!("{kind}: the mask shows {outcome:?}");
        ends(bundle, require(right && !is_shown, evidence))?;
    }
    Ok(())
}

const PORT_START: &str = "net/ipv4/ip_unprivileged_port_start";

/// What a fresh look at the container's network namespace shows of a sysctl.
fn sysctl(process: Process) -> String {
    let net = format!("--net=/proc/{}/ns/net", process.0);
    let mut look = std::process::Command::new("nsenter");
    finish(look.args([&net, "cat", &format!("/proc/sys/{PORT_START}")])).ok()
}

#[track_caller]
fn is_set_despite(attack: &str, bundle: Bundle, decoy: &Path) -> Verdict {
    let bundle = attacker(bundle, attack);
    let verdict = is_set(&bundle, decoy);
    was_attacked(&bundle);
    ends(bundle, verdict)
}

/// The container has the sysctl, or there is none; the decoy has not received it.
#[track_caller]
fn is_set(bundle: &Bundle, decoy: &Path) -> Verdict {
    let outcome = bundle.create();
    told(&outcome);
    let received = fs::read_to_string(decoy).unwrap();
    let set = if outcome.code == 0 { sysctl(bundle.process()) } else { "77\n".into() };
    require(received == "decoy\n", || format!("the decoy receives {received}"))?;
    require(set == "77\n", || format!("the sysctl is {set}"))
}

/// A bundle that sets a sysctl, and a decoy of the file that has it, in this directory of the decoy.
fn with_sysctl(place: &str) -> (Bundle, PathBuf) {
    let bundle = Bundle::sleeping()
        .set("/linux/sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "77"}));
    let file = bundle.decoy().join(place);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "decoy\n").unwrap();
    (bundle, file)
}

/// T-B4. CVE-2025-52881 (runc), CVE-2025-62596 (youki), CVE-2015-1334 (LXC): a hook does what a racing
/// container would do, and covers where a sysctl is written.
#[test]
fn cve_2025_52881_a_covered_sysctl_is_not_written_elsewhere() {
    needs_tare!();
    let net = || {
        let (bundle, file) = with_sysctl("ipv4/ip_unprivileged_port_start");
        is_set_despite("mount --bind $decoy $root/proc/sys/net", bundle, &file)
    };
    holds(net, &[("runc 1.1.5", "the decoy receives 77")]);
    let proc = || {
        let (bundle, file) = with_sysctl(&format!("sys/{PORT_START}"));
        is_set_despite("mount --bind $decoy $root/proc", bundle, &file)
    };
    holds(proc, &[("runc 1.1.5", "the decoy receives 77")]);
}

/// T-B4. The same without a hook: the image has files in place of a procfs. The peers that are known to
/// fall refuse this mount: the probe above shows that the decoy is looked at.
#[test]
fn cve_2025_52881_a_proc_of_the_image_is_not_written() {
    needs_tare!();
    let probe = || {
        let (bundle, file) = with_sysctl(&format!("sys/{PORT_START}"));
        let source = bundle.decoy().join("sys").display().to_string();
        let bundle = bundle
            .edit(|config| {
                array(config, "/mounts").retain(|mount| mount["destination"] != "/proc");
                config["linux"]["maskedPaths"] = json!([]);
                config["linux"]["readonlyPaths"] = json!([]);
            })
            .mount("/proc/sys", "bind", &source, &["bind"]);
        let verdict = is_set(&bundle, &file);
        ends(bundle, verdict)
    };
    holds(probe, &[]);
}

/// T-B8. GHSA-3q8j-pf29-vwv8 (youki): between two mounts by path a component can be exchanged. No call that
/// mounts has the path of what is masked or made read-only.
#[test]
fn ghsa_3q8j_pf29_vwv8_restricted_paths_are_mounted_on_by_descriptor() {
    needs_tare!();
    needs_strace!();
    let probe = || {
        let bundle =
            Bundle::sh("touch /var/of-ro/x || echo readonly; cat /var/of-mask /var/of-dir/x")
                .writes(&["var"])
                .set("/linux/readonlyPaths", json!(["/var/of-ro"]))
                .set("/linux/maskedPaths", json!(["/var/of-mask", "/var/of-dir"]));
        for directory in ["var/of-ro", "var/of-dir"] {
            fs::create_dir(bundle.rootfs(directory)).unwrap();
        }
        for file in ["var/of-mask", "var/of-dir/x"] {
            fs::write(bundle.rootfs(file), "secret\n").unwrap();
        }
        let calls = "trace=mount,move_mount,open_tree,mount_setattr";
        let command = traced(&bundle, &["-y", "-e", calls], &bundle.command_for_bundle(&["run"]));
        let outcome = bundle.finish(&mut { command });
        assert_eq!(outcome.stdout, "readonly\n", "{outcome:?}");
        let trace = fs::read_to_string(bundle.directory().join("trace")).unwrap();
        assert!(trace.contains("mount("), "{trace}");
        // A descriptor has its path behind it, in angle brackets; what is in quotation marks is a path that
        // the kernel walks, also from the directory of a descriptor.
        let named = |text: &str| ["of-ro", "of-mask", "of-dir"].iter().any(|n| text.contains(n));
        let by_path: Vec<_> =
            trace.lines().filter(|line| line.split('"').skip(1).step_by(2).any(named)).collect();
        for name in ["of-ro", "of-mask", "of-dir"] {
            let is_on = |line: &str| line.contains("mount(") && line.contains(name);
            assert!(trace.lines().any(is_on), "no mount on {name} was traced: {trace}");
        }
        ends(bundle, require(by_path.is_empty(), || format!("by path: {by_path:#?}")))
    };
    holds(probe, &[("runc 1.1.5", "by path")]);
}

/// T-D8. CVE-2015-3630, CVE-2018-10892 and their kin: what engines found out that containers must not see
/// is in the template.
#[test]
fn cve_2015_3630_the_template_restricts_what_leaks() {
    needs_tare!();
    const MASKED: [&str; 9] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ];
    const READONLY: [&str; 5] =
        ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let probe = || {
        let bundle = Bundle::new();
        finish(bundle.command(&["spec"]).current_dir(bundle.directory())).ok();
        let text = fs::read(bundle.directory().join("config.json")).unwrap();
        let template: Value = serde_json::from_slice(&text).unwrap();
        for (property, paths) in [("maskedPaths", &MASKED[..]), ("readonlyPaths", &READONLY)] {
            let listed = template["linux"][property].as_array().unwrap();
            for path in paths {
                require(listed.contains(&json!(path)), || format!("{property} lacks {path}"))?;
            }
        }
        Ok(())
    };
    let lacks = "maskedPaths lacks /proc/interrupts";
    holds(probe, &[("runc 1.1.5", lacks), ("crun 1.8.1", lacks)]);
}
