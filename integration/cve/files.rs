//! The wrong file: what a path of the image or of a volume leads to. The decoy beside each root filesystem
//! is compared when a container ends, and so are the root filesystem and the host's mounts.

use std::fs;
use std::path::{Path, PathBuf};

use integration::Bundle;
use integration::config::array;
use serde_json::json;

use crate::probe::{Verdict, ends, holds, link, needs_tare, require, runs, starts};

/// Without a file system of its own on /dev or below.
fn with_dev_of_the_image() -> Bundle {
    Bundle::new().writes(&[""]).edit(|config| {
        let mounts = array(config, "/mounts");
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    })
}

/// The decoy, by a link that starts at the host's root, and by one that climbs.
fn ways_out(bundle: &Bundle) -> [PathBuf; 2] {
    let decoy = bundle.decoy();
    let climb = Path::new("../../../../../../../../..").join(decoy.strip_prefix("/").unwrap());
    [decoy, climb]
}

/// T-A1. CVE-2026-41579 (runc), CVE-2026-47766 (crun); CVE-2015-3627, CVE-2015-3629 and CVE-2025-24965
/// are older files that were written where a link of the image led.
#[test]
fn cve_2026_41579_a_linked_dev_does_not_lead_out() {
    needs_tare!();
    let probe = || {
        for way in 0..2 {
            for run in [runs, starts] {
                let bundle = with_dev_of_the_image();
                link(&bundle, "dev", &ways_out(&bundle)[way]);
                run(bundle)?;
            }
        }
        Ok(())
    };
    holds(probe, &[("runc 1.1.5", "decoy/ptmx"), ("crun 1.8.1", "decoy/zero")]);
}

/// T-A1. CVE-2026-47766: the devices of the configuration are made where a link leads.
#[test]
fn cve_2026_47766_a_device_behind_a_link_does_not_lead_out() {
    needs_tare!();
    let probe = || {
        for (directory, path) in [("dev", "/dev/dev0"), ("var/link", "/var/link/dev0")] {
            let device =
                json!([{"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 438}]);
            let bundle = with_dev_of_the_image().set("/linux/devices", device);
            link(&bundle, directory, bundle.decoy());
            runs(bundle)?;
        }
        Ok(())
    };
    holds(probe, &[("crun 1.8.1", "decoy/dev0")]);
}

/// T-A2. CVE-2015-1335 (LXC), CVE-2015-3629: targets of mounts that have to be made. Also the part of
/// CVE-2024-45310 that is no race. No peer here falls: `oracles` shows that a change is seen.
#[test]
fn cve_2015_1335_targets_behind_links_do_not_lead_out() {
    needs_tare!();
    let probe = || {
        for way in 0..2 {
            let bundle =
                Bundle::new().writes(&[""]).mount("/var/link/new/dir", "tmpfs", "tmpfs", &[]);
            link(&bundle, "var/link", &ways_out(&bundle)[way]);
            runs(bundle)?;
        }
        for name in ["new", "marker", "new/file"] {
            for way in 0..2 {
                let bundle = Bundle::new().writes(&[""]).mount(
                    "/var/link",
                    "bind",
                    "config.json",
                    &["bind", "ro"],
                );
                link(&bundle, "var/link", ways_out(&bundle)[way].join(name));
                runs(bundle)?;
            }
        }
        dots()
    };
    holds(probe, &[]);
}

/// `..` at the root stays there.
fn dots() -> Verdict {
    let bundle = Bundle::sh("cat /decoy/inside/marker").writes(&["decoy"]).mount(
        "/../../decoy/inside",
        "bind",
        "decoy",
        &["bind", "ro"],
    );
    let outcome = bundle.run();
    let inside = outcome.stdout == "decoy\n";
    ends(bundle, require(inside, || format!("not inside: {outcome:?}")))
}

/// T-A5. CVE-2019-18837 (crun): links that a runtime follows by itself. Also the overflow in crun before
/// 1.28, which has no number.
#[test]
fn cve_2019_18837_chains_of_links_end_like_in_the_kernel() {
    needs_tare!();
    // The kernel follows 40, but counts on when it has to begin anew, as it may twice.
    let probe = || {
        for (length, follows) in [(13, true), (41, false)] {
            let bundle = Bundle::sh("grep -c /var/end /proc/mounts").writes(&[""]).mount(
                "/var/l0",
                "tmpfs",
                "tmpfs",
                &[],
            );
            fs::create_dir(bundle.rootfs("var/end")).unwrap();
            for number in 0..length {
                let next =
                    if number + 1 == length { "end".into() } else { format!("l{}", number + 1) };
                link(&bundle, &format!("var/l{number}"), next);
            }
            let outcome = bundle.run();
            let right = if follows { outcome.stdout == "1\n" } else { outcome.code != 0 };
            ends(bundle, require(right, || format!("{length}: {outcome:?}")))?;
        }
        Ok(())
    };
    holds(probe, &[("runc 1.1.5", "41: Outcome { code: 0")]);
}
