//! Much of everything: what is too much for the kernel is an error, what is not works, and takes no more
//! memory than it must.

use std::fs;
use std::time::Duration;

use integration::Bundle;
use integration::config::array;
use serde_json::json;

use super::{RUN, Row, Setting, check, row};

#[test]
fn arguments_and_environment() {
    let many = |bundle: Bundle, count: usize| {
        bundle.args(&Vec::from_iter(["true"].into_iter().chain(std::iter::repeat_n("x", count))))
    };
    check(&[
        row(
            "an argument of 4 MB",
            "{bundle}/config.json: process.args[1]: argument list too long: 4000000 bytes \
             (allowed: args and env whose strings are each below 32 pages)",
            |bundle: Bundle| bundle.args(&["true", &"x".repeat(4_000_000)]),
        )
        .crun("finds out at start")
        .runc("finds out at start"),
        row(
            "a variable of 4 MB",
            "{bundle}/config.json: process.env[1]: argument list too long: 4000002 bytes \
             (allowed: args and env whose strings are each below 32 pages)",
            |bundle: Bundle| {
                let long = format!("A={}", "x".repeat(4_000_000));
                bundle.set("/process/env", json!(["PATH=/bin", long]))
            },
        )
        .crun("finds out at start")
        .runc("finds out at start"),
        row("100000 arguments", "", move |bundle| many(bundle, 100_000)).command(RUN).code(0),
        row(
            "a million arguments",
            "{bundle}/config.json: process: argument list too long: \
             args and env take 10000106 bytes \
             (allowed: args and env of 6 MiB together, or a quarter of RLIMIT_STACK)",
            move |bundle| many(bundle, 1_000_000),
        )
        .crun("finds out at start")
        .runc("finds out at start")
        .waits(Duration::from_secs(4)),
        row("100000 variables", "", |bundle: Bundle| {
            let mut variables: Vec<String> = (0..100_000).map(|n| format!("A{n}=")).collect();
            variables.push("PATH=/bin".into());
            bundle.set("/process/env", json!(variables))
        })
        .crun("takes longer than ten seconds")
        .runc("takes longer than ten seconds")
        .command(RUN)
        .code(0),
    ]);
}

#[test]
fn paths_and_mounts() {
    check(&[
        row("a working directory of 4095 characters", "", |bundle: Bundle| {
            bundle.set("/process/cwd", json!(format!("/{}", "./".repeat(2047))))
        })
        .command(RUN)
        .code(0),
        row("a component of 255 characters", "", |bundle: Bundle| {
            let name = "x".repeat(255);
            Setting::from(bundle.mount(&format!("/var/{name}"), "tmpfs", "tmpfs", &[]))
                .then(|bundle| fs::create_dir(bundle.rootfs("var").join(&name)).unwrap())
        })
        .command(RUN)
        .code(0),
        row("a passwd of 3 GiB", "", |bundle: Bundle| {
            Setting::from(bundle).then(|bundle| {
                for name in ["passwd", "group"] {
                    let file = fs::File::options()
                        .write(true)
                        .open(bundle.rootfs("etc").join(name))
                        .unwrap();
                    file.set_len(3 << 30).unwrap();
                }
            })
        })
        .runc("1.1.5 fails")
        .command(RUN)
        .code(0),
        many_mounts(),
        row("a seccomp profile of 50000 names", "", |bundle: Bundle| {
            let names: Vec<String> = (0..50_000).map(|n| format!("call{n}")).collect();
            bundle.edit(|config| {
                config["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO" }],
                });
            })
        })
        .command(RUN)
        .code(0),
    ]);
}

fn many_mounts() -> Row {
    row("2000 mounts", "", |bundle: Bundle| {
        let bundle = bundle.edit(|config| {
            let mounts = array(config, "/mounts");
            mounts.extend((0..2000).map(|n| json!({
                "destination": format!("/var/m{n}"), "type": "bind", "source": "decoy", "options": ["bind", "ro"],
            })));
        });
        Setting::from(bundle).then(|bundle| {
            (0..2000).for_each(|n| fs::create_dir(bundle.rootfs("var").join(format!("m{n}"))).unwrap());
        })
    }).crun("1.8.1 fails")
    .command(RUN)
    .code(0)
    .waits(Duration::from_secs(5))
}
